"""The ledger's database as its one writer sees it. Every method is one transaction: after a crash it has happened or it has not.

Where several hosts share the database, the writer is who holds the lease; every transaction that writes checks that first (`LeaseLost`).

A block's way: `put_proposal` (unsigned), `put_signature`, `finalise`. Whatever of it a crash leaves, the engine picks up there.
"""

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager

from sqlalchemy import Connection, Engine, bindparam, delete, insert, select, union_all, update

from chain import queries
from chain.archive import ObjectReader, Packs
from chain.block import FinalBlock, Proposal
from chain.database import LedgerDamaged, LedgerMissing, check_newest, connect
from chain.encoding import encode
from chain.execution import Execution
from chain.genesis import Genesis
from chain.lease import Lease
from chain.recording import record_block, write_genesis
from chain.state_machine import Candidate, Rejection, StateMachine
from chain.tables import chain, log_entry, pack, pool, proposal, recorded_source, rejected, watermark
from chain.watermark import Duty, is_new_mark

# Made once: building a statement takes as long as running it.
_SUBMIT, _PROPOSE = insert(pool), insert(proposal)
_CANDIDATES = select(pool.c.source, pool.c.raw).order_by(pool.c.number).limit(bindparam("most"))
_SIGN = update(proposal).where(proposal.c.height == bindparam("at")).values(signature=bindparam("made"))
_KNOWN = union_all(
    *(select(of.c.source).where(of.c.source.between(bindparam("first"), bindparam("last"))) for of in (pool, rejected, recorded_source))
)


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
                write_genesis(connection, entries)
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
                connection.execute(_SUBMIT, rows)

    def candidates(self, limit: int) -> list[Candidate]:
        """The first `limit` transactions of the pool in the order of arrival."""
        with self.engine.connect() as connection:
            rows = connection.execute(_CANDIDATES, {"most": limit})
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
                connection.execute(_PROPOSE, row)
            for rejection in rejections:
                _reject(connection, height, rejection)

    def put_signature(self, height: int, signature: bytes) -> None:
        """The producer has signed the stored proposal."""
        with self._writing() as connection:
            connection.execute(_SIGN, {"at": height, "made": signature})

    def drop_proposal(self, height: int) -> None:
        """Forgets the stored proposal if its producer never signed it here: nobody votes for one that is not signed."""
        with self._writing() as connection:
            connection.execute(delete(proposal).where(proposal.c.height == height, proposal.c.signature.is_(None)))

    def finalise(self, final: FinalBlock, execution: Execution) -> None:
        """The block with its votes and all that follows from it, in one transaction; pool and proposal let go of it."""
        with self._writing() as connection:
            record_block(connection, final, execution)

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
    return set(connection.scalars(_KNOWN, {"first": min(sources), "last": max(sources)})) if sources else set()


def _reject(connection: Connection, height: int, rejection: Rejection) -> None:
    refused = select(pool.c.tx_id).where(pool.c.source == rejection.source)
    row = {"source": rejection.source, "tx_id": connection.scalar(refused), "reason": rejection.reason.value, "height": height}
    connection.execute(insert(rejected), [row])
    connection.execute(delete(pool).where(pool.c.source == rejection.source))
