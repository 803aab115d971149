"""The ledger to read: what is final, and proofs of it. Opens read-only, in as many processes as wanted, while the engine writes."""

import math
from bisect import bisect_right
from typing import Literal

from msgspec import Struct
from sqlalchemy import Connection, func, select

from chain import queries
from chain.archive import ObjectReader
from chain.block import FinalBlock, Header, Proposal, block_hash
from chain.database import LedgerDamaged
from chain.delegates import Delegates
from chain.entries import (
    AccessBatchEntry,
    AnchorEntry,
    AuditReportEntry,
    GrantEntry,
    PartyEntry,
    SequenceEntry,
    access_batch_key,
    anchor_key,
    audit_report_key,
    grant_key,
    party_key,
    sequence_key,
)
from chain.execution import Execution
from chain.genesis import Genesis
from chain.log import LogHead, read_head
from chain.merkle import ProofError
from chain.proof import LogProof
from chain.prover import Prover
from chain.refusal import Reason, TransactionRefused
from chain.state import UnhashedState, bucket_of
from chain.store import LedgerStore
from chain.tables import pack, pool, rejected
from chain.transactions import PartyBody, Role, parse_transaction


class Rejected(Struct, frozen=True):
    """A submitted transaction that was not recorded and will not be."""

    source: int
    tx_id: bytes
    reason: Reason
    height: int  # of the block that it was refused for


class Ledger:
    """Reads one chain. Every answer is about final blocks."""

    def __init__(self, store: LedgerStore, genesis: Genesis) -> None:
        self._store, self.genesis = store, genesis
        self.delegates = Delegates(store, genesis)
        self.prover = Prover(store, genesis, self.delegates)

    @classmethod
    def open(cls, url: str, genesis: Genesis, archive: ObjectReader | None = None) -> "Ledger":
        """Read-only. Raises `LedgerMissing` if there is no ledger of this chain at `url` (`sqlite:///path`)."""
        return cls(LedgerStore.open(url, genesis, read_only=True, archive=archive), genesis)

    def close(self) -> None:
        self._store.close()

    def head(self) -> Header | None:
        """The last header, none before the first block."""
        with self._store.engine.connect() as connection:
            stored = queries.header_and_votes(connection, queries.height_of(connection))
            return None if stored is None else Header.from_bytes(stored[0])

    def height(self) -> int:
        """The height of the last block, 0 before the first; reads no header."""
        with self._store.engine.connect() as connection:
            return queries.height_of(connection)

    def ahead_by(self, now: float) -> int:
        """How many seconds after the instant `now` the last block's slot begins: a clock that was ahead made it. 0 if it has begun."""
        head = self.head()
        return 0 if head is None else max(0, math.ceil(head.time - now))

    def block(self, height: int) -> FinalBlock | None:
        """The block at `height`, if it is there, whole."""
        with self._store.engine.connect() as connection:
            return queries.block_at(connection, height, self._store.packs) if height > queries.beginning_of(connection) else None

    def header(self, height: int) -> Header | None:
        """The header of a block that is here, whole or without its transactions."""
        with self._store.engine.connect() as connection:
            stored = queries.header_and_votes(connection, height)
            return None if stored is None else Header.from_bytes(stored[0])

    def bounds(self) -> tuple[int, int]:
        """The height of the first header that is here, and the one after which blocks are whole: 1 and 0 but in a copy that began with a
        snapshot.
        """
        with self._store.engine.connect() as connection:
            return queries.first_height(connection), queries.beginning_of(connection)

    def proposal(self) -> Proposal | None:
        """The block that is not final yet."""
        with self._store.engine.connect() as connection:
            return queries.stored_proposal(connection)

    def stage(self) -> tuple[int, bytes, bool]:
        """How far the chain is: the height of the last block, the hash of the proposal for the next (empty where there is none), and
        whether its producer has signed it. Cheap enough to be asked many times a second.
        """
        with self._store.engine.connect() as connection:
            height, found = queries.height_of(connection), queries.proposal_header(connection)
        return (height, b"", False) if found is None else (height, block_hash(self.genesis.chain_id, found[0]), found[1])

    def anchor(self, container_digest: bytes) -> AnchorEntry | None:
        """Where a container was anchored, and its root."""
        value = self._state_value(anchor_key(container_digest))
        return None if value is None else AnchorEntry.from_value(value)

    def anchor_of(self, container_digest: bytes) -> int | None:
        """The log index of the ANCHOR of a container."""
        entry = self.anchor(container_digest)
        return None if entry is None else entry.log_index

    def party(self, client_id: str) -> PartyEntry | None:
        """A party with the keys it has now."""
        value = self._state_value(party_key(client_id))
        return None if value is None else PartyEntry.from_value(value)

    def party_of(self, client_id: str) -> int | Literal["genesis"] | None:
        """The log index of the PARTY transaction that gave a party its present keys, or that it is of the genesis."""
        party = self.party(client_id)
        if party is None:
            return None
        return "genesis" if party.log_index is None else party.log_index

    def party_history(self, client_id: str) -> list[int]:
        """The log indices of all PARTY transactions about a party, oldest first: for what an earlier key signed."""
        with self._store.engine.connect() as connection:
            return queries.party_log_indices(connection, party_key(client_id))

    def grant(self, grant_id: bytes) -> GrantEntry | None:
        """A grant as it stands, with the log indices of its CONSENT_GRANT and, if it was revoked, of its CONSENT_REVOKE."""
        value = self._state_value(grant_key(grant_id))
        return None if value is None else GrantEntry.from_value(value)

    def access_batch_of(self, gateway: str, sequence: int) -> int | None:
        """The log index of the ACCESS_BATCH that spans a number of the commit sequence of the gateway with this client id.

        The batch need not hold a leaf of that number. None as long as no batch spans it, and for ever if it is a grant's or a revoke's.
        """
        with self._store.engine.connect() as connection:
            places = range(_sequence(connection, gateway).batches)
            place = bisect_right(places, sequence, key=lambda at: _access_batch(connection, gateway, at).first) - 1
            batch = None if place < 0 else _access_batch(connection, gateway, place)
        return None if batch is None or batch.last < sequence else batch.log_index

    def audit_report(self, digest: bytes) -> AuditReportEntry | None:
        """Where the report with this digest (SHA-256) is recorded, if it is."""
        value = self._state_value(audit_report_key(digest))
        return None if value is None else AuditReportEntry.from_value(value)

    def last_sequence(self, gateway: str) -> int:
        """The last number of a gateway's commit sequence that is recorded, 0 before the first: only higher ones can follow."""
        with self._store.engine.connect() as connection:
            return _sequence(connection, gateway).last

    def log_keys(self) -> list[bytes]:
        """The keys that sign the log's checkpoints: the attestation keys of the genesis's gateways as they are now."""
        gateways = [self.party(party.client_id) for party in self.genesis.parties if party.role is Role.GATEWAY]
        return [one.attestation_key for one in gateways if one is not None and one.attestation_key is not None and not one.suspended]

    def past_log_keys(self) -> list[bytes]:
        """Every key that has signed the log's checkpoints, now and earlier; in a copy that began with a snapshot, those since then."""
        gateways = [party for party in self.genesis.parties if party.role is Role.GATEWAY]
        changes = [index for party in gateways for index in self.party_history(party.client_id)]
        bodies = [parse_transaction(raw).body for index in changes for raw in self.entries(index, index + 1)]
        found = [party.attestation_key for party in gateways]
        found += [body.attestation_key for body in bodies if isinstance(body, PartyBody)]
        return [*self.log_keys(), *(key for key in found if key is not None)]

    def log_size(self) -> int:
        """How many transactions the log has."""
        head = self.head()
        return 0 if head is None else head.log_size

    def log_root(self, size: int) -> bytes | None:
        """The root of the log as it was at `size`; none where it is not known here: not so far yet, or before a copy's beginning."""
        with self._store.engine.connect() as connection:
            try:
                return read_head(queries.tile_reader(connection), size).root()
            except ProofError:
                return None

    def tile(self, level: int, number: int) -> bytes:
        """The hashes of a tile of the log, as many as there are (`chain.log`)."""
        with self._store.engine.connect() as connection:
            return queries.tile_reader(connection)(level, number)

    def entries(self, first: int, end: int) -> list[bytes]:
        """The transactions from log index `first` up to, not including, `end`, as far as they are there."""
        with self._store.engine.connect() as connection:
            return queries.log_entries(connection, first, end, self._store.packs)

    def prove(self, log_index: int, at_height: int | None = None, start: int = 0) -> LogProof:
        """The proof that a transaction is recorded, against the block that recorded it or, to share a header, against a later one.

        See `chain.prover`. The same question has the same answer for ever: the first quorum of the block's votes stands in it.
        """
        return self.prover.inclusion(log_index, height=at_height, start=start)

    def refusal(self, transaction: bytes) -> Reason | None:
        """Why the next block could not record a transaction, as the state is now and whatever else waits; none if it could."""
        with self._store.engine.connect() as connection:
            state = UnhashedState(lambda buckets: queries.bucket_entries(connection, buckets))
            execution = Execution(self.genesis.chain_id, queries.height_of(connection) + 1, LogHead(), state)
            try:
                execution.record(execution.read([transaction])[0])
            except TransactionRefused as refusal:
                return refusal.reason
        return None

    def has_pack(self, number: int, digest: bytes) -> bool:
        """Whether old transactions lie in the object store in a pack of this number and digest."""
        with self._store.engine.connect() as connection:
            return connection.scalar(select(pack.c.digest).where(pack.c.number == number)) == digest

    def is_pooled(self, tx_id: bytes) -> bool:
        """Whether a transaction of this identity waits in the pool."""
        with self._store.engine.connect() as connection:
            return connection.scalar(select(func.count()).where(pool.c.tx_id == tx_id)) != 0

    def pending(self) -> int:
        """How many transactions wait in the pool."""
        with self._store.engine.connect() as connection:
            return connection.scalar(select(func.count()).select_from(pool)) or 0

    def rejected(self) -> list[Rejected]:
        """What was refused, in the order of sources."""
        with self._store.engine.connect() as connection:
            rows = connection.execute(select(rejected).order_by(rejected.c.source))
            return [Rejected(row.source, row.tx_id, Reason(row.reason), row.height) for row in rows]

    def rejected_count(self) -> int:
        """How many transactions were refused: who holds stake can have many refused."""
        with self._store.engine.connect() as connection:
            return connection.scalar(select(func.count()).select_from(rejected)) or 0

    def _state_value(self, key: bytes) -> bytes | None:
        with self._store.engine.connect() as connection:
            return _value(connection, key)


def _value(connection: Connection, key: bytes) -> bytes | None:
    return queries.state_value(connection, bucket_of(key), key)


def _sequence(connection: Connection, gateway: str) -> SequenceEntry:
    value = _value(connection, sequence_key(gateway))
    return SequenceEntry() if value is None else SequenceEntry.from_value(value)


def _access_batch(connection: Connection, gateway: str, place: int) -> AccessBatchEntry:
    value = _value(connection, access_batch_key(gateway, place))
    if value is None:
        raise LedgerDamaged(f"access batch {place} of {gateway} is missing from the state")
    return AccessBatchEntry.from_value(value)
