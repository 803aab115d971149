"""What the ledger takes when it has grown: a long chain verified, one large block applied, a proof from a large log."""

import hashlib
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median

from sqlalchemy import Connection, insert

from benchmarks.chain_home import ChainHome, chain_home, random_anchors
from benchmarks.served import DidNotRun
from chain import queries
from chain.block import FinalBlock, Header, Vote, block_hash, sign_header, sign_vote
from chain.committed import Committed
from chain.genesis import Genesis
from chain.keys import SigningKey
from chain.log import TILE_WIDTH, Tiles, extended_tiles, inclusion_path
from chain.merkle import HASH_SIZE
from chain.state_machine import Candidate, StateMachine
from chain.store import LedgerStore
from chain.tables import log_tile
from gateway.key_files import delegate_key_paths, read_key
from jobs.audit import Audit, run_audit

_PROOFS = 200
_LEAVES = 1 << 16  # written in one go


def measure(folder: Path, *, blocks: int, largest: int, log_size: int) -> dict[str, float]:
    """`blocks` blocks of one transaction are verified with all processes that an audit has; `log_size` transactions are only hashes."""
    with chain_home(folder) as home:
        _fill(home, blocks)
        seconds = _verified(home)
        applied = _applied(home, largest)
        proof_ms = _proof_ms(folder / "log.db", home.genesis, log_size)
    return {
        "chain_blocks": blocks,
        "chain_blocks_verified_per_s": round(blocks / seconds, 1),
        "largest_block_transactions": largest,
        "largest_block_applied_ms": round(applied * 1000, 1),
        "log_size": log_size,
        "log_proof_ms": round(proof_ms, 3),
    }


def _fill(home: ChainHome, blocks: int) -> None:
    """Blocks as the delegates would make them, without their watermarks: nobody signs for this chain again."""
    committed = Committed.load(StateMachine(home.genesis), home.store)
    keys = {key.public: key for key in map(read_key, delegate_key_paths(home.settings.keys_path))}
    _set_synchronous(home, "OFF")  # filling is not what is measured
    for slot in range(1, blocks + 1):
        home.slot = slot
        _finalise(home, committed, keys, home.signed(random_anchors(1)))
    _set_synchronous(home, "FULL")


def _set_synchronous(home: ChainHome, mode: str) -> None:
    """Of the one connection that the store's thread uses."""
    with home.store.engine.connect() as connection:
        connection.exec_driver_sql(f"PRAGMA synchronous={mode}")


def _finalise(home: ChainHome, committed: Committed, keys: dict[bytes, SigningKey], transactions: Sequence[bytes]) -> None:
    machine, tip, chain_id = committed.machine, committed.tip, home.genesis.chain_id
    candidates = [Candidate(home.source + number, raw) for number, raw in enumerate(transactions)]
    home.source += len(transactions)
    built = machine.build(tip, committed.state, home.slot, candidates)
    assert built.proposal is not None
    header, hash_ = Header.from_bytes(built.proposal.header), block_hash(chain_id, built.proposal.header)
    votes = tuple(Vote(index, sign_vote(keys[key], chain_id, header.height, hash_)) for index, key in enumerate(tip.acting.keys))
    signature = sign_header(keys[header.producer], chain_id, built.proposal.header)
    final = FinalBlock(header, hash_, signature, built.proposal.transactions, votes)
    home.store.finalise(final, built.execution)
    committed.advance(final, built.execution)


def _verified(home: ChainHome) -> float:
    """Seconds by the clock of `audit run --level ledger`."""
    started = time.perf_counter()
    report = run_audit(Audit(home.settings, int(time.time())), ("ledger",))
    seconds = time.perf_counter() - started
    if report.exit_code != 0:
        raise DidNotRun(f"an audit of what was just written is not clean: {report.findings[:1] or report.could_not_check[:1]}")
    return seconds


def _applied(home: ChainHome, transactions_in_it: int) -> float:
    """Seconds by the clock in which a block of so many is executed, its signatures verified, and made durable; the median of three."""
    committed = Committed.load(StateMachine(home.genesis), home.store)
    keys = {key.public: key for key in map(read_key, delegate_key_paths(home.settings.keys_path))}
    seconds = []
    for _ in range(3):
        home.slot += 1
        transactions = home.signed(random_anchors(transactions_in_it))
        started = time.perf_counter()
        _finalise(home, committed, keys, transactions)
        seconds.append(time.perf_counter() - started)
    return median(seconds)


def _proof_ms(path: Path, genesis: Genesis, size: int) -> float:
    """Milliseconds by the clock that an inclusion path takes, each read from the database anew; the median of many places."""
    store = LedgerStore.create(f"sqlite:///{path}", genesis)
    try:
        _write_log(store, size)
        with store.engine.connect() as connection:
            return median(_timed_path(connection, number * size // _PROOFS, size) for number in range(_PROOFS)) * 1000
    finally:
        store.close()


def _timed_path(connection: Connection, index: int, size: int) -> float:
    started = time.perf_counter()
    inclusion_path(queries.tile_reader(connection), index, size)
    return time.perf_counter() - started


def _write_log(store: LedgerStore, size: int) -> None:
    """The tiles of a log of so many leaves that nobody made."""
    open_tiles: Tiles = {}
    for start in range(0, size, _LEAVES):
        leaves = [hashlib.sha256(index.to_bytes(8, "big")).digest() for index in range(start, min(start + _LEAVES, size))]
        open_tiles |= extended_tiles(lambda level, number: open_tiles.get((level, number), b""), start, leaves)  # noqa: B023 - called at once
        is_last = start + _LEAVES >= size
        done = {at: hashes for at, hashes in open_tiles.items() if is_last or len(hashes) == TILE_WIDTH * HASH_SIZE}
        with store.engine.begin() as connection:
            connection.execute(insert(log_tile), [{"level": at[0], "number": at[1], "hashes": hashes} for at, hashes in done.items()])
        for at in done:
            del open_tiles[at]
