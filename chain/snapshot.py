"""A snapshot: the state at a final block, and all that a copy of the chain needs to go on from there without the blocks before.

Whoever gives it is not believed. That its block is final follows from the genesis, or from a header that the reader knows, by handovers and
votes; everything else follows from that block's header: the blocks before it by their hashes, the log's edge by the log root, each entry by
the state root (docs/design/ledger.md, snapshot).
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from tempfile import TemporaryDirectory
from typing import IO, Any

from msgspec import Struct
from sqlalchemy import Connection, func, insert, select

from chain import queries
from chain.block import BlockInvalid, Header, Vote, bitmap, listed_votes, verify_header_signature, verify_quorum
from chain.committed import Committed
from chain.database import LedgerDamaged, snapshot
from chain.delegate_set import DelegateSet
from chain.delegates import Delegates
from chain.election import ATTENDANCE_BLOCKS
from chain.genesis import Genesis
from chain.keys import SignatureInvalid
from chain.log import TILE_BITS, TILE_WIDTH, Tiles, read_head
from chain.merkle import HASH_SIZE, ProofError
from chain.proof import Handover, Known, verify_finality, verify_handovers
from chain.record_file import FileInvalid, header_in, read_records, votes_in, write_record
from chain.replay import Base
from chain.schedule import epoch_seed_height
from chain.state import State, bucket_of
from chain.state_machine import StateMachine
from chain.store import LedgerStore
from chain.tables import beginning, block, log_tile, state_entry

FORMAT = "fhir-anchor snapshot 1"
ENTRIES = 1000  # in a record
_OTHER_HEIGHT = "the snapshot's last block is not the one that it is of"

Progress = Callable[[int, int], None]  # how much is done, of how much


class _Part:
    """What a record begins with."""

    HANDOVER, BLOCK, TILE, ENTRIES, END = range(1, 6)


class TrailBlock(Struct, frozen=True):
    """A block without its transactions."""

    header: bytes
    signature: bytes
    votes: tuple[Vote, ...]


class Edge(Struct, frozen=True):
    """All of a snapshot but its entries, checked."""

    header: Header
    trail: tuple[TrailBlock, ...]  # up to and including the header's block
    tiles: Tiles  # the last of each level that is not full


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
    last, first = None, _first_needed(genesis, height)
    for row in connection.execute(select(block).where(block.c.height >= first, block.c.height <= height).order_by(block.c.height)):
        last = Header.from_bytes(row.header)
        write_record(file, [_Part.BLOCK, row.header, row.signature, listed_votes(queries.votes_from(row.votes))])
    if last is None or last.height != height:
        raise LedgerDamaged(f"the block of height {height} is missing")
    read = queries.tile_reader(connection)
    for level, number, count in _edge_tiles(last.log_size):
        write_record(file, [_Part.TILE, level, number, read(level, number)[: count * HASH_SIZE]])
    return last


def _first_needed(genesis: Genesis, height: int) -> int:
    """The first height whose header or votes the block after `height` depends on."""
    return max(1, min(epoch_seed_height(height + 1, genesis.epoch_blocks) or height, height - ATTENDANCE_BLOCKS + 1))


def _edge_tiles(size: int) -> Iterator[tuple[int, int, int]]:
    """Level, number and hashes of each tile that is not full in a log of `size`: what appending to it takes."""
    level = 0
    while size:
        if size % TILE_WIDTH:
            yield level, size >> TILE_BITS, size % TILE_WIDTH
        level, size = level + 1, size >> TILE_BITS


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
                if _header(header).height > known.height:
                    acting.append(_handed_over(Handover(header, _votes(votes), tuple(keys)), genesis, acting[-1]))
            case [_Part.BLOCK, bytes(header), bytes(signature), list(votes)] if not tiles:
                if len(trail) > height - _first_needed(genesis, height):
                    raise FileInvalid(_OTHER_HEIGHT)
                trail.append(TrailBlock(header, signature, _votes(votes)))
            case [_Part.TILE, int(level), int(number), bytes(hashes)] if due is not None:
                tiles[level, number] = hashes
            case _:
                raise FileInvalid("the snapshot has a record of another kind than is due")
        if trail and due is None and (last := _header(trail[-1].header)).height == height:
            due = sum(1 for _ in _edge_tiles(last.log_size))
        if due is not None and len(tiles) == due:
            break
    return _verified(genesis, acting, height, tuple(trail), tiles)


def _handed_over(handover: Handover, genesis: Genesis, known: Known) -> Known:
    try:
        return verify_handovers([handover], genesis, known)
    except ProofError as error:
        raise FileInvalid(f"the snapshot's block is not final: {error}") from None


def _verified(genesis: Genesis, acting: Sequence[Known], height: int, trail: tuple[TrailBlock, ...], tiles: Tiles) -> Edge:
    if not trail:
        raise FileInvalid("the snapshot has no block")
    known = acting[-1]
    try:
        header = verify_finality(trail[-1].header, trail[-1].votes[: known.acting.quorum], genesis, known)
        verify_quorum(genesis.chain_id, known.acting, header.height, header.hash(), trail[-1].votes)
    except (ProofError, BlockInvalid) as error:
        raise FileInvalid(f"the snapshot's block is not final: {error}") from None
    if header.height != height:
        raise FileInvalid(_OTHER_HEIGHT)
    headers = [_header(one.header) for one in trail]
    _check_trail(genesis, headers, trail)
    _check_signatures(genesis, {one.acting.hash: one.acting for one in acting}, headers, trail)
    _check_tiles(header, tiles)
    return Edge(header, trail, tiles)


def _check_trail(genesis: Genesis, headers: list[Header], trail: tuple[TrailBlock, ...]) -> None:
    """Each block is the one that its successor names, with the votes that it names; and they reach back as far as is needed."""
    for one, votes, following in zip(headers, (row.votes for row in trail), headers[1:], strict=False):
        if one.hash() != following.previous or one.height != following.height - 1:
            raise FileInvalid(f"the snapshot's block of height {one.height} is not the one before its successor")
        bits = 8 * len(following.voters)
        if max((vote.delegate for vote in votes), default=0) >= bits or bitmap(votes, bits) != following.voters:
            raise FileInvalid(f"the snapshot's votes of height {one.height} are not those that its successor names")
    first = _first_needed(genesis, headers[-1].height)
    if headers[0].height != first:
        raise FileInvalid(f"the snapshot's blocks do not begin at height {first}")


def _check_signatures(genesis: Genesis, sets: Mapping[bytes, DelegateSet], headers: list[Header], trail: tuple[TrailBlock, ...]) -> None:
    """The copy shows them to others. Who acted before the reader began is not known to it: there the hashes are all that is checked."""
    for header, one in zip(headers, trail, strict=True):
        try:
            verify_header_signature(header.producer, genesis.chain_id, one.header, one.signature)
            if header.delegates_hash in sets:
                verify_quorum(genesis.chain_id, sets[header.delegates_hash], header.height, header.hash(), one.votes)
        except (BlockInvalid, SignatureInvalid) as error:
            raise FileInvalid(f"the snapshot's block of height {header.height}: {error}") from None


def _check_tiles(header: Header, tiles: Tiles) -> None:
    due = {(level, number): count for level, number, count in _edge_tiles(header.log_size)}
    if {at: len(hashes) for at, hashes in tiles.items()} != {at: count * HASH_SIZE for at, count in due.items()}:
        raise FileInvalid("the snapshot's log tiles are not the edge of its header's log")
    if read_head(lambda level, number: tiles.get((level, number), b""), header.log_size).root() != header.log_root:
        raise FileInvalid("the snapshot's log tiles do not give the log root of its header")


def _header(raw: bytes) -> Header:
    return header_in(raw, "the snapshot has a header that is none")


def _votes(listed: list[Any]) -> tuple[Vote, ...]:
    votes = votes_in(listed, "the snapshot")
    if any(not 0 <= vote.delegate < 8 * HASH_SIZE for vote in votes):
        raise FileInvalid("the snapshot has a vote of a delegate that cannot be")
    return votes


def _row(one: TrailBlock) -> dict[str, object]:
    header = _header(one.header)
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
