"""Verifying a whole ledger: every block again from the genesis, or from a snapshot that proves itself, then every derived row against
what that gives.

See docs/design/ledger.md, findings.
"""

from collections.abc import Iterable, Iterator
from concurrent.futures import Executor
from heapq import merge
from itertools import groupby
from operator import itemgetter

from sqlalchemy import Connection, func, select

from chain import queries
from chain.archive import span
from chain.block import block_hash
from chain.database import snapshot
from chain.encoding import EncodingError
from chain.file_integrity import file_faults
from chain.findings import Code, Finding
from chain.genesis import Genesis
from chain.log import TILE_WIDTH
from chain.replay import Base, Replay
from chain.snapshot import Progress
from chain.state import State
from chain.state_machine import StateMachine
from chain.state_tiles import tiles_of
from chain.store import LedgerStore
from chain.stored_rows import StoredRows
from chain.tables import block, log_entry, log_tile, pack, transaction_index

_MISSING = 10_000  # heights that are named one by one; a single row far beyond the others must not keep an audit busy for ever
_TOLD = 64  # blocks from one report of progress to the next
StateRow = tuple[int, bytes, bytes]  # bucket, entry key, value


def verify_chain(
    store: LedgerStore,
    genesis: Genesis,
    known: Iterable[tuple[int, bytes]] = (),
    executor: Executor | None = None,
    progress: Progress = lambda _height, _of: None,
    base: Base | None = None,
) -> Iterator[Finding]:
    """Every finding, as it is found; none means that the ledger is whole.

    `known` are heights and block hashes learnt elsewhere: from a delegate's watermark, a receipt, another copy. Without one a ledger
    that was cut short together with all that is derived from it is a valid, shorter ledger. The whole check sees one moment of the ledger.
    An executor of processes verifies the signatures of the blocks that come next: half of the work.
    `progress` is told heights that have been replayed, and the last one. `base` is what a copy began with that did not at genesis.
    """
    with snapshot(store.engine) as connection:
        is_whole = True
        for fault in file_faults(connection):
            is_whole = False
            yield fault
        try:
            replay = Replay(StateMachine(genesis), base)
            yield from _check_rows(connection, replay, known, StoredRows(connection, genesis.chain_id, store.packs, executor), progress)
            yield from _check_bounds(connection, base)
        except Exception:  # whatever comes of reading a damaged place, which has been named
            if is_whole:
                raise


def _check_rows(
    connection: Connection, replay: Replay, known: Iterable[tuple[int, bytes]], rows: StoredRows, progress: Progress
) -> Iterator[Finding]:
    highest, start = queries.height_of(connection), replay.tip.log.size
    blocks = connection.scalar(select(func.count()).where(block.c.height > replay.tip.height)) or 0
    last = min(highest, replay.tip.height + blocks + _MISSING)
    for height in range(replay.tip.height + 1, last + 1):
        yield from replay.block(rows, height)
        if height % _TOLD == 0 or height == last:
            progress(height, last)
    if last < highest:
        yield Finding(Code.BLOCK_MISSING, f"height {last + 1}", f"of what goes on up to height {highest} too much is missing to look at it")
    yield from rows.faults
    yield from _check_packs(connection, replay.tip.log.size)
    yield from _check_known(connection, replay.machine.genesis, last, known)
    yield from _check_log_end(connection, replay, last, start)
    yield from _check_state_entries(connection, replay, last)
    yield from _check_index(connection, replay)


def _check_known(connection: Connection, genesis: Genesis, last: int, known: Iterable[tuple[int, bytes]]) -> Iterator[Finding]:
    pending = None
    try:
        proposal = queries.stored_proposal(connection)
        pending = None if proposal is None else block_hash(genesis.chain_id, proposal.header)
    except EncodingError:
        yield Finding(Code.BLOCK_INVALID, f"height {last + 1}", "the stored proposal does not decode")
    for height, hash_ in sorted(set(known)):
        header = connection.scalar(select(block.c.header).where(block.c.height == height))
        if header is None and height > last and not (height == last + 1 and hash_ == pending):
            yield Finding(Code.BLOCK_MISSING, f"height {height}", "the ledger ends before a block that is known elsewhere")
        elif header is not None and block_hash(genesis.chain_id, header) != hash_:
            yield Finding(Code.BLOCK_INVALID, f"height {height}", "the block is not the one that is known elsewhere")


def _check_bounds(connection: Connection, base: Base | None) -> Iterator[Finding]:
    """Rows before the first: no replay comes to them."""
    height, size, headers = (0, 0, {}) if base is None else (base.tip.height, base.tip.log.size, base.headers)
    if queries.beginning_of(connection) != height:
        yield Finding(Code.INDEX_MISMATCH, f"height {height}", "the ledger says that it begins elsewhere")
    before = {row.height: row.header for row in connection.execute(select(block.c.height, block.c.header).where(block.c.height <= height))}
    if extra := before.keys() - headers.keys():
        yield Finding(Code.BLOCK_INVALID, f"height {min(extra)}", f"blocks that lie before the first: {len(extra)}")
    for at, header in headers.items():
        if before.get(at) != header:
            yield Finding(Code.BLOCK_INVALID, f"height {at}", "the header is not the one that the copy began with")
    entries = connection.scalar(select(func.count()).where(log_entry.c.log_index < size))
    if entries:
        yield Finding(Code.LOG_MISMATCH, f"transaction {size - 1}", f"transactions that lie before the first: {entries}")


def _check_packs(connection: Connection, size: int) -> Iterator[Finding]:
    """Rows of packs that no replay comes to."""
    for number in connection.scalars(select(pack.c.number)):
        if number < 0 or span(number).stop > size:
            yield Finding(Code.INDEX_MISMATCH, f"pack {number}", "the log has no transactions for it")


def _check_log_end(connection: Connection, replay: Replay, last: int, start: int) -> Iterator[Finding]:
    size = replay.tip.log.size
    beyond = connection.scalar(select(func.count()).where(log_entry.c.log_index >= size))
    if beyond:
        yield Finding(Code.BLOCK_MISSING, f"height {last + 1}", f"the log holds {beyond} transactions that no block records")
    read = queries.tile_reader(connection)
    for (level, number), hashes in sorted(replay.tiles.items()):
        if read(level, number) != hashes:
            yield Finding(Code.LOG_MISMATCH, f"log tile {level}/{number}", "the tile is missing or altered")
    stored, due = connection.scalar(select(func.count()).select_from(log_tile)), _tile_count(start, size)
    if stored != due:
        yield Finding(Code.LOG_MISMATCH, "log tiles", f"there are {stored} where the log has {due}")


def _check_state_entries(connection: Connection, replay: Replay, last: int) -> Iterator[Finding]:
    stored = queries.state_rows(connection)
    if replay.is_state_sound:
        for key, fault in _differing(stored, replay.state_rows()):
            yield Finding(Code.STATE_MISMATCH, f"state entry {key.hex()}", fault)
        yield from _check_state_tiles(connection, replay)
    elif State(lambda _: (), ((key, value) for _, key, value in stored)).root() != replay.last_state_root:
        yield Finding(Code.STATE_MISMATCH, f"height {last}", "the stored state is not the header's; entries cannot be checked one by one")


def _check_state_tiles(connection: Connection, replay: Replay) -> Iterator[Finding]:
    """None are stored before the first block, nor before the first after the migration that brought them."""
    stored = queries.state_tiles(connection)
    due = tiles_of(replay.state_nodes()) if stored else {}
    for number in sorted(stored.keys() | due.keys()):
        if stored.get(number) != due.get(number):
            yield Finding(Code.STATE_MISMATCH, f"state tile {number}", "the tile is missing, altered or foreign")


def _differing(stored: Iterable[StateRow], due: Iterable[StateRow]) -> Iterator[tuple[bytes, str]]:
    """Merges two streams of one order, and names the entry keys of rows that are in one only."""
    tagged = merge(((bucket, key, 0, value) for bucket, key, value in stored), ((bucket, key, 1, value) for bucket, key, value in due))
    for (_, key), group in groupby(tagged, itemgetter(0, 1)):
        values = {side: value for _, _, side, value in group}
        if len(values) == 1:
            yield key, "the entry is missing" if 1 in values else "no transaction made this entry"
        elif values[0] != values[1]:
            yield key, "the entry is altered"


def _check_index(connection: Connection, replay: Replay) -> Iterator[Finding]:
    """Each recorded transaction has had its row compared; what is more than those is foreign. Parties are few."""
    rows = connection.scalar(select(func.count()).select_from(transaction_index)) or 0
    if rows > replay.indexed:
        yield Finding(Code.INDEX_MISMATCH, "transaction index", f"{rows - replay.indexed} rows belong to no recorded transaction")
    differing = {index for _, index in queries.party_rows(connection) ^ replay.party_rows}
    for index in sorted(differing - replay.refused):
        yield Finding(Code.INDEX_MISMATCH, f"transaction {index}", "its row in the history of its party is missing or altered")


def _tile_count(start: int, size: int) -> int:
    """The tiles that a log of `size` has, but for those that were full at `start` and are not here."""
    count = 0
    while size:
        count += -(-size // TILE_WIDTH) - start // TILE_WIDTH
        start, size = start // TILE_WIDTH, size // TILE_WIDTH
    return count
