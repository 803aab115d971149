"""A snapshot: the state at a final block, and all that a copy of the chain needs to go on from there without the blocks before.

Whoever gives it is not believed. That its block is final follows from the genesis, or from a header that the reader knows, by handovers and
votes; everything else follows from that block's header: the blocks before it by their hashes, the log's edge by the log root, each entry by
the state root (docs/design/ledger.md, snapshot).
"""

from collections.abc import Callable, Iterator
from itertools import islice
from tempfile import TemporaryDirectory
from typing import IO, Any

from sqlalchemy import Connection, func, insert, select

from chain import queries
from chain.block import Header, Vote, listed_votes
from chain.committed import Committed
from chain.database import LedgerDamaged, snapshot
from chain.delegates import Delegates
from chain.genesis import Genesis
from chain.log import Tiles
from chain.merkle import HASH_SIZE
from chain.proof import Handover, Known
from chain.record_file import FileInvalid, read_records, votes_in, write_record
from chain.replay import Base
from chain.snapshot_edge import OTHER_HEIGHT, Edge, TrailBlock, edge_tiles, first_needed, handed_over, header_of, verified_edge
from chain.state import State, bucket_of
from chain.state_machine import StateMachine
from chain.store import LedgerStore
from chain.tables import beginning, block, log_tile, state_entry

FORMAT = "fhir-anchor snapshot 1"
ENTRIES = 1000  # in a record

Progress = Callable[[int, int], None]  # how much is done, of how much


class _Part:
    """What a record begins with."""

    HANDOVER, BLOCK, TILE, ENTRIES, END = range(1, 6)


def write_snapshot(store: LedgerStore, genesis: Genesis, file: IO[bytes], progress: Progress) -> Header:
    """The ledger's last block with its state, at one moment. Raises `LedgerDamaged` where there is no block yet."""
    delegates = Delegates(store, genesis)
    with snapshot(store.engine) as connection:
        height = queries.height_of(connection)
        if not height:
            raise LedgerDamaged("there is no block yet; a new copy begins at genesis")
        header = _written_edge(connection, genesis, delegates, height, file)
        total, done = connection.scalar(select(func.count()).select_from(state_entry)) or 0, 0
        rows = queries.state_rows(connection)
        while some := [[key, value] for _, key, value in islice(rows, ENTRIES)]:
            write_record(file, [_Part.ENTRIES, some])
            done += len(some)
            progress(done, total)
        write_record(file, [_Part.END, done])
    return header


def begin_copy(url: str, genesis: Genesis, file: IO[bytes], known: Known | None = None) -> Header:
    """A new ledger database at `url` that begins with a snapshot; its header. `known` is what the reader begins with, else the genesis.

    Raises `FileInvalid`, `FormatUnknown`, and `LedgerMissing` if there is a database; what it leaves of one that does not hold is useless.
    """
    records = read_records(file)
    edge = _read_edge(records, genesis, known or Known.at_genesis(genesis))
    store = LedgerStore.create(url, genesis, with_state=False)
    try:
        with store.engine.begin() as connection:
            connection.execute(insert(beginning), [{"height": edge.header.height}])
            connection.execute(insert(block), [_row(one) for one in edge.trail])
            if edge.tiles:
                tiles = [{"level": at[0], "number": at[1], "hashes": hashes} for at, hashes in edge.tiles.items()]
                connection.execute(insert(log_tile), tiles)
            state = State(lambda _: (), _written_entries(connection, records))
            if state.root() != edge.header.state_root:
                raise FileInvalid("its entries do not give the state root of its header")
    finally:
        store.close()
    return edge.header


def load_base(file: IO[bytes], genesis: Genesis) -> Base:
    """What a copy that began with this snapshot is verified from, checked again. Raises as `begin_copy`."""
    with TemporaryDirectory() as folder:
        url = f"sqlite:///{folder}/ledger.db"
        begin_copy(url, genesis, file)
        store = LedgerStore.open(url, genesis)
        try:
            tip = Committed.load(StateMachine(genesis), store).tip
            with store.engine.connect() as connection:
                entries = [(key, value) for _, key, value in queries.state_rows(connection)]
                tiles = {(row.level, row.number): row.hashes for row in connection.execute(select(log_tile))}
                headers = {row.height: row.header for row in connection.execute(select(block))}
        finally:
            store.close()
    return Base(tip, entries, tiles, headers)


def _written_edge(connection: Connection, genesis: Genesis, delegates: Delegates, height: int, file: IO[bytes]) -> Header:
    write_record(file, [FORMAT, genesis.chain_id, height])
    for handover in delegates.handovers(height):
        write_record(file, [_Part.HANDOVER, handover.header, listed_votes(handover.votes), list(handover.delegates)])
    last, first = None, first_needed(genesis, height)
    for row in connection.execute(select(block).where(block.c.height >= first, block.c.height <= height).order_by(block.c.height)):
        last = Header.from_bytes(row.header)
        write_record(file, [_Part.BLOCK, row.header, row.signature, listed_votes(queries.votes_from(row.votes))])
    if last is None or last.height != height:
        raise LedgerDamaged(f"the block of height {height} is missing")
    read = queries.tile_reader(connection)
    for level, number, count in edge_tiles(last.log_size):
        write_record(file, [_Part.TILE, level, number, read(level, number)[: count * HASH_SIZE]])
    return last


def _read_edge(records: Iterator[Any], genesis: Genesis, known: Known) -> Edge:
    """Raises `FileInvalid` unless all holds; leaves the reader at the first entry."""
    head = next(records, None)
    match head:
        case [str(found), bytes(chain_id), int(height)] if found == FORMAT:
            pass
        case _:
            raise FileInvalid("the file is no snapshot")
    if chain_id != genesis.chain_id:
        raise FileInvalid("the snapshot is of another chain")
    acting = [known]  # and who acts after each handover: what is held of an endless file is verified
    trail: list[TrailBlock] = []
    tiles: Tiles = {}
    due = None
    for record in records:
        match record:
            case [_Part.HANDOVER, bytes(header), list(votes), list(keys)] if not trail and all(type(key) is bytes for key in keys):
                if header_of(header).height > known.height:
                    acting.append(handed_over(Handover(header, _votes(votes), tuple(keys)), genesis, acting[-1]))
            case [_Part.BLOCK, bytes(header), bytes(signature), list(votes)] if not tiles:
                if len(trail) > height - first_needed(genesis, height):
                    raise FileInvalid(OTHER_HEIGHT)
                trail.append(TrailBlock(header, signature, _votes(votes)))
            case [_Part.TILE, int(level), int(number), bytes(hashes)] if due is not None:
                tiles[level, number] = hashes
            case _:
                raise FileInvalid("the snapshot has a record of another kind than is due")
        if trail and due is None and (last := header_of(trail[-1].header)).height == height:
            due = sum(1 for _ in edge_tiles(last.log_size))
        if due is not None and len(tiles) == due:
            break
    return verified_edge(genesis, acting, height, tuple(trail), tiles)


def _votes(listed: list[Any]) -> tuple[Vote, ...]:
    votes = votes_in(listed, "the snapshot")
    if any(not 0 <= vote.delegate < 8 * HASH_SIZE for vote in votes):
        raise FileInvalid("the snapshot has a vote of a delegate that cannot be")
    return votes


def _row(one: TrailBlock) -> dict[str, object]:
    header = header_of(one.header)
    votes = queries.votes_to(one.votes)
    return {"height": header.height, "log_size": header.log_size, "header": one.header, "signature": one.signature, "votes": votes}


def _written_entries(connection: Connection, records: Iterator[Any]) -> Iterator[tuple[bytes, bytes]]:
    """The entries of the file, written as they go by. Raises `FileInvalid` unless they are in order and the file ends behind them."""
    last, count = b"", 0
    for record in records:
        match record:
            case [_Part.ENTRIES, list(listed)]:
                pass
            case [_Part.END, int(told)] if told == count and next(records, None) is None:
                return
            case _:
                break
        rows = []
        for entry in listed:
            if type(entry) is not list or [type(part) for part in entry] != [bytes, bytes] or not last < entry[0]:
                raise FileInvalid(f"entry {count} of the snapshot is none, or not in order")
            last, count = entry[0], count + 1
            rows.append({"bucket": bucket_of(entry[0]), "entry_key": entry[0], "value": entry[1]})
            yield entry[0], entry[1]
        if rows:
            connection.execute(insert(state_entry), rows)
    raise FileInvalid("the snapshot ends before it is whole, or goes on behind its end")
