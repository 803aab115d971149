"""What is read from ledger.db, by the engine, the readers and the audits alike. Each takes a connection and holds nothing."""

from collections.abc import Collection, Iterator, Sequence
from typing import TypeVar

from sqlalchemy import Connection, bindparam, func, select

from chain.archive import Packs, read_transactions
from chain.block import FinalBlock, Header, Proposal, Vote, block_hash, listed_votes, parse_votes
from chain.database import LedgerDamaged
from chain.encoding import EncodingError, decode, encode
from chain.findings import Finding
from chain.log import TileReader
from chain.state_tiles import StateTileReader
from chain.tables import beginning, block, log_tile, pack, party_history, proposal, state_entry, state_tile, transaction_index

_Item = TypeVar("_Item")
# What is asked at every block, made once: building a statement takes as long as running it.
_HEIGHT = select(func.max(block.c.height))
_TILE = select(log_tile.c.hashes).where(log_tile.c.level == bindparam("l"), log_tile.c.number == bindparam("n"))
_PROPOSAL = select(proposal)
_BATCH = 500  # bound parameters in one statement


def height_of(connection: Connection) -> int:
    """The height of the last block, 0 before the first."""
    return connection.scalar(_HEIGHT) or 0


def first_height(connection: Connection) -> int:
    """The height of the first block of which anything is here."""
    return connection.scalar(select(func.min(block.c.height))) or 1


def beginning_of(connection: Connection) -> int:
    """The height after which this copy has whole blocks: of the snapshot that it began with, 0 for the genesis."""
    return connection.scalar(select(func.max(beginning.c.height))) or 0


def height_of_entry(connection: Connection, log_index: int) -> int | None:
    """The height of the block that recorded the transaction at `log_index`."""
    query = select(block.c.height).where(block.c.log_size > log_index).order_by(block.c.log_size, block.c.height).limit(1)
    return connection.scalar(query)


def header_and_votes(connection: Connection, height: int) -> tuple[bytes, tuple[Vote, ...]] | None:
    """The header's bytes and the votes of a block."""
    row = connection.execute(select(block.c.header, block.c.votes).where(block.c.height == height)).first()
    return None if row is None else (row.header, votes_from(row.votes))


def block_at(connection: Connection, height: int, packs: Packs) -> FinalBlock | None:
    """The block at `height`. What is stored is not checked here beyond what decoding needs: `BlockInvalid`, `EncodingError`; but for what
    lies in the object store: `LedgerDamaged`.
    """
    row = connection.execute(select(block).where(block.c.height == height)).first()
    if row is None:
        return None
    header = Header.from_bytes(row.header)
    before = connection.scalar(select(block.c.log_size).where(block.c.height == height - 1)) or 0
    transactions = log_entries(connection, before, row.log_size, packs)
    return FinalBlock(header, block_hash(header.chain_id, row.header), row.signature, tuple(transactions), votes_from(row.votes))


def log_entries(connection: Connection, first: int, end: int, packs: Packs) -> list[bytes]:
    """The transactions from log index `first` up to, not including, `end`, as many as there are. Raises `LedgerDamaged` where they are in
    the object store, and it does not give them as they were.
    """
    faults: list[Finding] = []
    found = read_transactions(connection, packs, range(first, end), faults)
    if faults:
        raise LedgerDamaged(faults[0].detail)
    return [found[index] for index in sorted(found)]


def pack_count(connection: Connection) -> int:
    """How many packs of transactions lie in the object store: they are the first ones."""
    return (connection.scalar(select(func.max(pack.c.number))) or 0) + 1 if connection.scalar(select(func.count()).select_from(pack)) else 0


def log_size_at(connection: Connection, height: int) -> int:
    """The transactions up to and including the block of `height`."""
    return connection.scalar(select(block.c.log_size).where(block.c.height == height)) or 0


def tile_reader(connection: Connection) -> TileReader:
    """Reads tiles, each row once."""
    cache: dict[tuple[int, int], bytes] = {}

    def read(level: int, number: int) -> bytes:
        if (level, number) not in cache:
            cache[level, number] = connection.scalar(_TILE, {"l": level, "n": number}) or b""
        return cache[level, number]

    return read


def state_rows(connection: Connection) -> Iterator[tuple[int, bytes, bytes]]:
    """The whole state as (bucket, entry key, value) in that order, a batch of rows at a time."""
    query = select(state_entry).order_by(state_entry.c.bucket, state_entry.c.entry_key)
    for row in connection.execute(query, execution_options={"yield_per": 10_000}):
        yield row.bucket, row.entry_key, row.value


def bucket_entries(connection: Connection, buckets: Collection[int]) -> Iterator[tuple[bytes, bytes]]:
    """The state entries that lie in the given buckets."""
    query = select(state_entry.c.entry_key, state_entry.c.value)
    for some in batches(sorted(buckets)):
        for row in connection.execute(query.where(state_entry.c.bucket.in_(some))):
            yield row.entry_key, row.value


def state_value(connection: Connection, bucket: int, key: bytes) -> bytes | None:
    """The value of one state entry."""
    return connection.scalar(select(state_entry.c.value).where(state_entry.c.bucket == bucket, state_entry.c.entry_key == key))


def state_tile_reader(connection: Connection) -> StateTileReader:
    """Reads tiles of the state's tree."""
    query = select(state_tile.c.hashes)
    return lambda number: connection.scalar(query.where(state_tile.c.number == number)) or b""


def some_state_tiles(connection: Connection, numbers: Collection[int]) -> dict[int, bytes]:
    """Those of `numbers` that are stored."""
    query = select(state_tile.c.number, state_tile.c.hashes)
    stored = {}
    for some in batches(sorted(numbers)):
        stored.update({row.number: row.hashes for row in connection.execute(query.where(state_tile.c.number.in_(some)))})
    return stored


def state_tiles(connection: Connection) -> dict[int, bytes]:
    """All of them: at most 1,057, of 2 kB."""
    return {row.number: row.hashes for row in connection.execute(select(state_tile))}


def party_log_indices(connection: Connection, party: bytes) -> list[int]:
    """The log indices of the PARTY transactions about the party with this entry key, oldest first."""
    query = select(party_history.c.log_index).where(party_history.c.party == party).order_by(party_history.c.log_index)
    return list(connection.scalars(query))


def tx_prefix(tx_id: bytes) -> bytes:
    """What the index keeps of a transaction's identity: 8 bytes."""
    return tx_id[:8]


def index_rows(connection: Connection, tx_ids: Sequence[bytes]) -> dict[bytes, list[int]]:
    """The log indices that the index has for the prefix of each of these transactions: mostly one, of another transaction hardly ever."""
    query = select(transaction_index)
    rows: dict[bytes, list[int]] = {}
    for some in batches(list(map(tx_prefix, tx_ids))):
        for row in connection.execute(query.where(transaction_index.c.tx_prefix.in_(some))):
            rows.setdefault(row.tx_prefix, []).append(row.log_index)
    return rows


def party_rows(connection: Connection) -> set[tuple[bytes, int]]:
    """All of the history of parties: (entry key, log index)."""
    return {(row.party, row.log_index) for row in connection.execute(select(party_history))}


def stored_proposal(connection: Connection) -> Proposal | None:
    """The block that is not final yet. Raises `EncodingError`."""
    row = connection.execute(_PROPOSAL).first()
    if row is None:
        return None
    transactions = decode(row.transactions)
    if type(transactions) is not list or not all(type(raw) is bytes for raw in transactions):
        raise EncodingError("the proposal's transactions are no list of byte strings")
    return Proposal(row.header, tuple(transactions), row.signature)


def proposal_header(connection: Connection) -> tuple[bytes, bool] | None:
    """The header of the block that is not final yet, and whether its producer has signed it; its transactions are not read."""
    row = connection.execute(select(proposal.c.header, proposal.c.signature.is_not(None).label("is_signed"))).first()
    return None if row is None else (row.header, bool(row.is_signed))


def votes_from(column: bytes) -> tuple[Vote, ...]:
    """The votes as the `block` table has them. Raises `EncodingError`."""
    return parse_votes(decode(column))


def votes_to(votes: Sequence[Vote]) -> bytes:
    """The votes as the `block` table has them."""
    return encode(listed_votes(votes))


def batches(items: Sequence[_Item]) -> Iterator[Sequence[_Item]]:
    """`items` in pieces that one statement can bind."""
    for start in range(0, len(items), _BATCH):
        yield items[start : start + _BATCH]
