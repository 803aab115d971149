"""The ledger's database as its one writer sees it. Every method is one transaction: after a crash it has happened or it has not.

Where several hosts share the database, the writer is who holds the lease; every transaction that writes checks that first (`LeaseLost`).

A block's way: `put_proposal` (unsigned), `put_signature`, `finalise`. Whatever of it a crash leaves, the engine picks up there.
"""

from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager

from sqlalchemy import Connection, Engine, bindparam, delete, insert, select, update

from chain import queries
from chain.archive import ObjectReader, Packs
from chain.block import FinalBlock, Proposal
from chain.database import LedgerDamaged, LedgerMissing, check_newest, connect
from chain.encoding import encode
from chain.execution import Execution
from chain.format import MOST
from chain.genesis import Genesis
from chain.lease import Lease
from chain.log import Tiles, extended_tiles
from chain.state import bucket_of
from chain.state_machine import Candidate, Rejection, StateMachine
from chain.state_tiles import TOP, changed_places, patched
from chain.tables import (
    block,
    chain,
    log_entry,
    log_tile,
    pack,
    party_history,
    pool,
    proposal,
    recorded_source,
    rejected,
    state_entry,
    state_tile,
    transaction_index,
    watermark,
)
from chain.watermark import Duty, is_new_mark


class Submission(Candidate, frozen=True, gc=False):
    """A candidate with its identity."""

    tx_id: bytes


class LedgerStore:
    """One chain's database."""

    def __init__(self, engine: Engine, archive: ObjectReader | None = None) -> None:
        """`archive` reads what lies in the object store of the ledger's old transactions, if any do."""
        self.engine, self.packs = engine, Packs(archive)
        self.lease: Lease | None = None  # of the engine, where there may be other hosts

    @classmethod
    def create(cls, url: str, genesis: Genesis, *, with_state: bool = True) -> "LedgerStore":
        """A new database that holds the state of the genesis, or none yet. Raises `LedgerMissing` if there is one already."""
        store = cls(connect(url, create=True))
        entries = StateMachine(genesis).genesis_entries() if with_state else []
        with store.engine.begin() as connection:
            connection.execute(insert(chain), [{"chain_id": genesis.chain_id}])
            if entries:
                connection.execute(insert(state_entry), _state_rows(entries))
        return store

    @classmethod
    def open(
        cls, url: str, genesis: Genesis, *, read_only: bool = False, archive: ObjectReader | None = None, is_any_layout: bool = False
    ) -> "LedgerStore":
        """An existing database. Raises `LedgerMissing` if there is none for this chain.

        To write, it is brought to the newest layout; to read, an earlier one is `LedgerOutdated` unless `is_any_layout`.
        """
        store = cls(connect(url, read_only=read_only), archive)
        with store.engine.connect() as connection:
            if read_only and not is_any_layout:
                check_newest(connection)
            if connection.scalar(select(chain.c.chain_id)) != genesis.chain_id:
                raise LedgerMissing("the ledger belongs to another genesis")
        return store

    @property
    def is_shared(self) -> bool:
        """Whether other hosts may open the same database."""
        return self.engine.dialect.name != "sqlite"

    def close(self) -> None:
        self.engine.dispose()

    def submit(self, submissions: Sequence[Submission]) -> None:
        """Adds to the pool what has not been submitted before: a source counts once, whatever has become of it."""
        with self._writing() as connection:
            known = _known_sources(connection, [item.source for item in submissions])
            new = {item.source: item for item in submissions if item.source not in known}
            if new:
                rows = [{"source": item.source, "tx_id": item.tx_id, "raw": item.raw} for item in new.values()]
                connection.execute(insert(pool), rows)

    def candidates(self, limit: int) -> list[Candidate]:
        """The first `limit` transactions of the pool in the order of arrival."""
        with self.engine.connect() as connection:
            rows = connection.execute(select(pool.c.source, pool.c.raw).order_by(pool.c.number).limit(limit))
            return [Candidate(row.source, row.raw) for row in rows]

    def proposal(self) -> Proposal | None:
        """The block that is not final yet."""
        with self.engine.connect() as connection:
            return queries.stored_proposal(connection)

    def put_proposal(self, height: int, built: Proposal | None, rejections: Sequence[Rejection]) -> None:
        """Stores what building gave: the unsigned block, if any, and the refused transactions with their reasons.

        Raises `LedgerDamaged` for another height than the next: nothing may ever be signed for one that is final.
        """
        with self._writing() as connection:
            if height != queries.height_of(connection) + 1:
                raise LedgerDamaged(f"a block is proposed for height {height}, which is not the next one")
            if built is not None:
                row = {"height": height, "header": built.header, "transactions": encode(built.transactions)}
                connection.execute(insert(proposal), [row])
            for rejection in rejections:
                _reject(connection, height, rejection)

    def put_signature(self, height: int, signature: bytes) -> None:
        """The producer has signed the stored proposal."""
        with self._writing() as connection:
            connection.execute(update(proposal).where(proposal.c.height == height).values(signature=signature))

    def drop_proposal(self, height: int) -> None:
        """Forgets the stored proposal if its producer never signed it here: nobody votes for one that is not signed."""
        with self._writing() as connection:
            connection.execute(delete(proposal).where(proposal.c.height == height, proposal.c.signature.is_(None)))

    def finalise(self, final: FinalBlock, execution: Execution) -> None:
        """The block with its votes and all that follows from it, in one transaction; pool and proposal let go of it."""
        first = final.first_log_index
        with self._writing() as connection:
            row = {
                "height": final.header.height,
                "log_size": final.header.log_size,
                "header": final.header.to_bytes(),
                "signature": final.signature,
                "votes": queries.votes_to(final.votes),
            }
            connection.execute(insert(block), [row])
            if final.transactions:
                rows = [{"log_index": index, "raw": raw} for index, raw in enumerate(final.transactions, first)]
                connection.execute(insert(log_entry), rows)
                _write_tiles(connection, first, [item.leaf_hash for item in execution.recorded])
                _index_and_forget(connection, first, execution)
            _write_state(connection, execution)
            _write_state_tiles(connection, execution)
            connection.execute(delete(proposal).where(proposal.c.height == final.header.height))

    def put_mark(self, delegate: bytes, duty: Duty, height: int, block_hash: bytes) -> None:
        """The shared mark of a delegate's key, before it signs. Raises `DoubleSign` and writes nothing if it may not."""
        is_it = (watermark.c.delegate == delegate, watermark.c.duty == duty.value)
        with self._writing() as connection:
            row = connection.execute(select(watermark.c.height, watermark.c.block_hash).where(*is_it)).one_or_none()
            if not is_new_mark(duty, None if row is None else (row.height, row.block_hash), (height, block_hash)):
                return
            mark = {"height": height, "block_hash": block_hash}
            if row is None:
                connection.execute(insert(watermark).values(delegate=delegate, duty=duty.value, **mark))
            else:
                connection.execute(update(watermark).where(*is_it).values(**mark))

    def put_pack(self, number: int, digest: bytes, indices: range) -> None:
        """The transactions with these log indices lie in the object store now, and go. Raises `LedgerDamaged` if they were not here."""
        with self._writing() as connection:
            connection.execute(insert(pack), [{"number": number, "digest": digest}])
            gone = delete(log_entry).where(log_entry.c.log_index >= indices.start, log_entry.c.log_index < indices.stop)
            if connection.execute(gone).rowcount != len(indices):
                raise LedgerDamaged(f"transactions of pack {number} are not here")

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        with self.engine.begin() as connection:
            if self.lease is not None:
                self.lease.check(connection)
            yield connection

    def read_buckets(self, buckets: Collection[int]) -> Iterator[tuple[bytes, bytes]]:
        """The state entries of the given buckets; what `State` reads through."""
        with self.engine.connect() as connection:
            yield from queries.bucket_entries(connection, buckets)


def _known_sources(connection: Connection, sources: Sequence[int]) -> set[int]:
    """Those of `sources` that have been submitted before; sources are row numbers, so those of one call lie close together."""
    known: set[int] = set()
    for table in (pool, rejected, recorded_source) if sources else ():
        known.update(connection.scalars(select(table.c.source).where(table.c.source.between(min(sources), max(sources)))))
    return known


def _reject(connection: Connection, height: int, rejection: Rejection) -> None:
    refused = select(pool.c.tx_id).where(pool.c.source == rejection.source)
    row = {"source": rejection.source, "tx_id": connection.scalar(refused), "reason": rejection.reason.value, "height": height}
    connection.execute(insert(rejected), [row])
    connection.execute(delete(pool).where(pool.c.source == rejection.source))


def _state_rows(entries: Iterable[tuple[bytes, bytes]]) -> list[dict[str, object]]:
    return [{"bucket": bucket_of(key), "entry_key": key, "value": value} for key, value in entries]


def _write_state(connection: Connection, execution: Execution) -> None:
    """Inserts new entries and updates old ones, never "either": an entry that is there against expectation stops the block."""
    overlay = execution.overlay
    new = _state_rows((key, value) for key, value in overlay.changes.items() if overlay.is_new(key))
    old = [(key, value) for key, value in overlay.changes.items() if not overlay.is_new(key)]
    if new:
        connection.execute(insert(state_entry), new)
    if old:
        change = update(state_entry).where(state_entry.c.bucket == bindparam("b"), state_entry.c.entry_key == bindparam("k"))
        rows = [{"b": bucket_of(key), "k": key, "v": value} for key, value in old]
        connection.execute(change.values(value=bindparam("v")), rows)


def _write_state_tiles(connection: Connection, execution: Execution) -> None:
    """What changes of the state's tree; all of it where none is stored yet: at the first block, or the first after the migration."""
    changes = changed_places(execution.overlay.nodes())
    stored = queries.some_state_tiles(connection, {TOP, *changes})
    if TOP not in stored:
        changes = changed_places(execution.overlay.all_nodes())
    new = [{"number": number, "hashes": patched(b"", changes[number])} for number in changes.keys() - stored.keys()]
    old = [{"n": number, "h": patched(tile, changes[number])} for number, tile in stored.items() if number in changes]
    if new:
        connection.execute(insert(state_tile), new)
    if old:
        connection.execute(update(state_tile).where(state_tile.c.number == bindparam("n")).values(hashes=bindparam("h")), old)


def _write_tiles(connection: Connection, size: int, leaf_hashes: list[bytes]) -> None:
    read = queries.tile_reader(connection)
    tiles: Tiles = extended_tiles(read, size, leaf_hashes)
    new = [{"level": at[0], "number": at[1], "hashes": hashes} for at, hashes in tiles.items() if not read(*at)]
    old = [{"l": at[0], "n": at[1], "h": hashes} for at, hashes in tiles.items() if read(*at)]
    if new:
        connection.execute(insert(log_tile), new)
    if old:
        grow = update(log_tile).where(log_tile.c.level == bindparam("l"), log_tile.c.number == bindparam("n"))
        connection.execute(grow.values(hashes=bindparam("h")), old)


def _index_and_forget(connection: Connection, first: int, execution: Execution) -> None:
    """Each recorded transaction goes into the index, and its source from the pool to those known. A second source of one transaction stays,
    to be refused.
    """
    recorded = list(enumerate(execution.recorded, first))
    rows = [{"tx_prefix": queries.tx_prefix(item.tx_id), "log_index": index} for index, item in recorded]
    connection.execute(insert(transaction_index), rows)
    parties = [{"party": item.party, "log_index": index} for index, item in recorded if item.party is not None]
    if parties:
        connection.execute(insert(party_history), parties)
    pooled = _pooled_sources(connection)
    sources = [pooled[item.tx_id] for item in execution.recorded if item.tx_id in pooled]
    if sources:
        connection.execute(insert(recorded_source), [{"source": source} for source in sources])
        connection.execute(delete(pool).where(pool.c.source == bindparam("s")), [{"s": source} for source in sources])


def _pooled_sources(connection: Connection) -> dict[bytes, int]:
    """Transaction ids and sources at the head of the pool: the block was built from there, and what was refused has left."""
    query = select(pool.c.tx_id, pool.c.source).order_by(pool.c.number).limit(MOST.transactions)
    return {row.tx_id: row.source for row in reversed(connection.execute(query).all())}
