"""Proofs of what is final, for anyone: each reads one moment of the ledger, a few rows of it, however long the log and large the state.

`start` is the height of the header that the checker has pinned: handovers begin there, and nothing older is proven against; 0 is the
genesis. Every method raises `ProofError` where there is nothing to prove.
"""

from bisect import bisect_left

from msgspec.structs import asdict
from sqlalchemy import Connection

from chain import queries
from chain.block import Header
from chain.database import LedgerDamaged, snapshot
from chain.delegates import Delegates
from chain.entries import EntryKind, entry_key
from chain.execution import transaction_id
from chain.genesis import Genesis
from chain.log import consistency_path, inclusion_path, read_head
from chain.merkle import ProofError, sides_of
from chain.merkle import inclusion_path as path_in
from chain.proof import ConsistencyProof, Finality, LogProof
from chain.state import bucket_of, entry_leaf
from chain.state_proof import ProvenEntry, StateProof, verify_state
from chain.state_tiles import branch_of
from chain.store import LedgerStore


class Prover:
    """See `chain.ledger.Ledger.prover`."""

    def __init__(self, store: LedgerStore, genesis: Genesis, delegates: Delegates) -> None:
        self._store, self._genesis, self._delegates = store, genesis, delegates

    def index_of(self, tx_id: bytes) -> int:
        """The log index of the transaction with this identity."""
        with self._store.engine.connect() as connection:
            for index in queries.index_rows(connection, [tx_id]).get(queries.tx_prefix(tx_id), ()):
                raw = queries.log_entries(connection, index, index + 1, self._store.packs)
                if raw and transaction_id(raw[0], self._genesis.chain_id) == tx_id:
                    return index
        raise ProofError("the ledger has recorded no such transaction")

    def finality(self, height: int, start: int = 0) -> Finality:
        """That the block of this height is final. Its bytes are the same for ever."""
        with snapshot(self._store.engine) as connection:
            return self._final(connection, height, start)

    def inclusion(self, index: int, *, height: int | None = None, size: int | None = None, start: int = 0) -> LogProof:
        """That the log holds a transaction: against the block of `height`, the first that closes the log at `size`, or without either
        the one that recorded it (or the pinned one, if that is later). Its bytes are the same for ever.
        """
        with snapshot(self._store.engine) as connection:
            if height is None:
                height = _closing(connection, index, start) if size is None else _of_size(connection, size)
            final = self._final(connection, height, start)
            transaction = queries.log_entries(connection, index, index + 1, self._store.packs)
            if not transaction:
                raise ProofError("the ledger has recorded no such transaction")
            path = inclusion_path(queries.tile_reader(connection), index, Header.from_bytes(final.header).log_size)
        return LogProof(**asdict(final), transaction=transaction[0], index=index, path=tuple(path))

    def consistency(self, first: int, second: int | None = None, start: int = 0) -> ConsistencyProof:
        """That the log of size `first`, of any size from 1, is how the log goes on: to the first block that closes it at size `second`
        (its bytes are the same for ever), or to the last block.
        """
        with snapshot(self._store.engine) as connection:
            height = queries.height_of(connection) if second is None else _of_size(connection, second)
            final = self._final(connection, height, start)
            read = queries.tile_reader(connection)
            path = consistency_path(read, first, Header.from_bytes(final.header).log_size)
            root = read_head(read, first).root()
        return ConsistencyProof(**asdict(final), size=first, root=root, path=tuple(path))

    def state(self, kind: EntryKind, name: bytes, start: int = 0) -> StateProof:
        """What the state holds under a natural key, or that it holds nothing there: after the last block, as no older state is kept.

        Raises `LedgerDamaged` if what is stored does not give that block's state root.
        """
        key = entry_key(kind, name)
        with snapshot(self._store.engine) as connection:
            final = self._final(connection, queries.height_of(connection), start)
            bucket_entries = sorted(queries.bucket_entries(connection, [bucket_of(key)]))
            branch = branch_of(queries.state_tile_reader(connection), bucket_of(key))
        entries = _shown(key, bucket_entries)
        try:
            verify_state(key, entries, branch, Header.from_bytes(final.header))
        except ProofError as error:
            raise LedgerDamaged(f"the stored state proves nothing: {error}") from error
        return StateProof(**asdict(final), kind=kind, name=name, entries=entries, branch=tuple(branch))

    def _final(self, connection: Connection, height: int, start: int) -> Finality:
        stored = queries.header_and_votes(connection, height) if height else None
        if stored is None:
            raise ProofError("there is no such final block yet")
        if height < start:
            raise ProofError(f"the block of height {height} is older than the pinned one")
        quorum = self._delegates.named(connection, Header.from_bytes(stored[0]).delegates_hash).quorum
        return Finality(stored[0], stored[1][:quorum], self._delegates.handovers(height, max(0, start - 1)))


def _closing(connection: Connection, index: int, start: int) -> int:
    height = queries.height_of_entry(connection, index) if index >= 0 else None
    if height is None:
        raise ProofError("the ledger has recorded no such transaction")
    return max(height, start)


def _of_size(connection: Connection, size: int) -> int:
    """The first block after which the log has this size."""
    height = queries.height_of_entry(connection, size - 1) if size > 0 else None
    stored = None if height is None else queries.header_and_votes(connection, height)
    if height is None or stored is None or Header.from_bytes(stored[0]).log_size != size:
        raise ProofError(f"no final block closes the log at size {size}; every header says its own log_size")
    return height


def _shown(key: bytes, entries: list[tuple[bytes, bytes]]) -> tuple[ProvenEntry, ...]:
    """The entry under `key`, or its neighbours, each with its path."""
    place = bisect_left(entries, (key, b""))
    is_there = place < len(entries) and entries[place][0] == key
    places = [place] if is_there else [at for at in (place - 1, place) if 0 <= at < len(entries)]
    leaves = [entry_leaf(*entry) for entry in entries]
    paths = (zip(sides_of(at, len(leaves)), path_in(leaves, at), strict=True) for at in places)
    return tuple(ProvenEntry(*entries[at], tuple(path)) for at, path in zip(places, paths, strict=True))
