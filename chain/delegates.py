"""Who acts, stands and holds stake on the final chain, and the handovers from set to set: the ledger's readers ask here."""

from collections import Counter

from sqlalchemy import Connection

from chain import queries
from chain.block import Header, block_hash
from chain.database import LedgerDamaged
from chain.delegate_set import DelegateSet
from chain.election import ATTENDANCE_BLOCKS, electable, elected_set, ranked, read_set
from chain.encoding import decode
from chain.genesis import Genesis
from chain.merkle import ProofError
from chain.proof import Handover
from chain.schedule import epoch_seed_height, is_last_of_epoch, producer_index
from chain.stake_entries import (
    ELECTED_KEY,
    CosignerEntry,
    DelegateEntry,
    StakeEntry,
    Standing,
    cosigner_at,
    delegate_at,
    roll_at,
    stake_at,
)
from chain.state import Overlay, UnhashedState
from chain.store import LedgerStore


class Delegates:
    """Every answer is about final blocks. On a chain of fixed delegates, those of the genesis act and nobody stands or holds anything."""

    def __init__(self, store: LedgerStore, genesis: Genesis) -> None:
        self._store, self._genesis = store, genesis
        self._handovers: dict[int, Handover | None] = {}  # by the height of the last block of an epoch

    def acting(self) -> DelegateSet:
        """Who acts on the next block."""
        return self._sets()[0]

    def following(self) -> DelegateSet:
        """Who acts in the epoch after the next block's."""
        return self._sets()[1]

    def schedule(self, slots: range) -> list[bytes]:
        """Whose turn each of `slots` is, as long as no later epoch has begun by then."""
        with self._store.engine.connect() as connection:
            seed_height = epoch_seed_height(queries.height_of(connection) + 1, self._genesis.epoch_blocks)
            stored = queries.header_and_votes(connection, seed_height) if seed_height else None
        chain_id, acting = self._genesis.chain_id, self.acting().keys
        seed = block_hash(chain_id, stored[0]) if stored else chain_id
        return [acting[producer_index(chain_id, len(acting), seed, slot)] for slot in slots]

    def delegate(self, key: bytes) -> DelegateEntry | None:
        """A delegate as it stands; none of this is there where delegates are fixed."""
        with self._store.engine.connect() as connection:
            return delegate_at(overlay_on(connection), key)

    def vote(self, height: int, key: bytes) -> tuple[bytes, bytes] | None:
        """The block hash and the signature with which a delegate voted for the final block of a height; none if it did not."""
        with self._store.engine.connect() as connection:
            stored = queries.header_and_votes(connection, height)
            if stored is None:
                return None
            acting = self.named(connection, Header.from_bytes(stored[0]).delegates_hash).keys
        hash_ = block_hash(self._genesis.chain_id, stored[0])
        return next(((hash_, vote.signature) for vote in stored[1] if acting[vote.delegate] == key), None)

    def cosigner(self, key: bytes) -> CosignerEntry | None:
        """With which key a delegate that stands cosigns checkpoints, if it does."""
        with self._store.engine.connect() as connection:
            return cosigner_at(overlay_on(connection), key)

    def stake(self, holder: bytes) -> StakeEntry | None:
        """What a key holds."""
        with self._store.engine.connect() as connection:
            return stake_at(overlay_on(connection), holder)

    def standing(self) -> list[tuple[bytes, DelegateEntry]]:
        """Every delegate that neither resigned nor was removed, the most approved first."""
        with self._store.engine.connect() as connection:
            overlay = overlay_on(connection)
            roll = roll_at(overlay)
            found = [(key, delegate_at(overlay, key)) for key in (roll.delegates if roll else ())]
        return sorted(((key, entry) for key, entry in found if entry is not None), key=lambda item: (-item[1].approval, item[0]))

    def why_not_acting(self, key: bytes) -> str | None:
        """Why a delegate does not vote on the next block, and what changes that; None of one that does."""
        if key in self.acting().keys:
            return None
        with self._store.engine.connect() as connection:
            overlay, height = overlay_on(connection), queries.height_of(connection)
            entry, ranking = delegate_at(overlay, key), ranked(electable(overlay))
        ends_at = (height // self._genesis.epoch_blocks + 1) * self._genesis.epoch_blocks  # the epoch of the next block
        if key in self.following().keys:
            return f"it is elected, and votes from block {ends_at + 1} on"
        if not self._genesis.seats:
            return "the delegates of this chain are those of its genesis, for good, and it is none of them"
        if entry is None:
            return "it is not registered as a delegate"
        elected = elected_set(self._genesis, ranking, self.following()).keys
        if key in elected:
            voting = f"votes from block {ends_at + self._genesis.epoch_blocks + 1} on"
            return f"as the approval stands it is elected with block {ends_at}, and {voting}"
        return _why_not_elected(entry, len(elected))

    def electable(self) -> list[bytes]:
        """Who could be elected as things are, in order."""
        with self._store.engine.connect() as connection:
            return ranked(electable(overlay_on(connection)))

    def _sets(self) -> tuple[DelegateSet, DelegateSet]:
        with self._store.engine.connect() as connection:
            stored = queries.header_and_votes(connection, queries.height_of(connection))
            if stored is None:
                return self._genesis.first_set, self._genesis.first_set
            header = Header.from_bytes(stored[0])
            following = self.named(connection, header.next_delegates_hash)
            if not is_last_of_epoch(header.height, self._genesis.epoch_blocks):
                return self.named(connection, header.delegates_hash), following
            elected = overlay_on(connection).get(ELECTED_KEY)
            return following, following if elected is None else self.named(connection, decode(elected))

    def attendance(self) -> dict[bytes, tuple[int, int]]:
        """For each delegate that acted lately: on how many of the last 100 blocks it voted, and on how many it could."""
        did: Counter[bytes] = Counter()
        could: Counter[bytes] = Counter()
        with self._store.engine.connect() as connection:
            height = queries.height_of(connection)
            for at in range(max(1, height - ATTENDANCE_BLOCKS + 1), height + 1):
                stored = queries.header_and_votes(connection, at)
                if stored is not None:
                    acting = self.named(connection, Header.from_bytes(stored[0]).delegates_hash)
                    could.update(acting.keys)
                    did.update(acting.keys[vote.delegate] for vote in stored[1])
        return {key: (did[key], count) for key, count in could.items()}

    def handovers(self, height: int, since: int = 0) -> tuple[Handover, ...]:
        """Every change of the acting set after the height `since` and before `height`: what proofs against its block need besides it.

        Raises `ProofError` if the ledger does not reach so far.
        """
        if not self._genesis.seats:
            return ()
        with self._store.engine.connect() as connection:
            found = (self._handover(connection, at) for at in self._epoch_ends(since, height))
            return tuple(handover for handover in found if handover is not None)

    def _epoch_ends(self, since: int, height: int) -> range:
        length = self._genesis.epoch_blocks
        return range((since // length + 1) * length, height, length)

    def _handover(self, connection: Connection, height: int) -> Handover | None:
        """The handover after the last block of an epoch, which is for ever what it is, so that each is read once."""
        if height not in self._handovers:
            stored = queries.header_and_votes(connection, height)
            if stored is None:
                raise ProofError(f"the ledger has no block at height {height}")
            header = Header.from_bytes(stored[0])
            if header.delegates_hash == header.next_delegates_hash:
                self._handovers[height] = None
            else:
                acting, following = (self.named(connection, hash_) for hash_ in (header.delegates_hash, header.next_delegates_hash))
                self._handovers[height] = Handover(stored[0], stored[1][: acting.quorum], following.keys)
        return self._handovers[height]

    def named(self, connection: Connection, hash_: bytes) -> DelegateSet:
        """The set of delegates that a header names."""
        first = self._genesis.first_set
        found = first if hash_ == first.hash else read_set(overlay_on(connection), self._genesis.chain_id, hash_)
        if found is None:
            raise LedgerDamaged("a header names a set of delegates that was never elected")
        return found


def _why_not_elected(entry: DelegateEntry, seats: int) -> str:
    if entry.standing is not Standing.STANDS:
        return "it resigned, for good" if entry.standing is Standing.RESIGNED else "it was removed for signing twice, for good"
    if entry.jailed:
        return "it is jailed for its absence, until it says that it is back (UNJAIL)"
    if not entry.approval:
        return "nobody who holds stake approves of it (VOTE)"
    return f"its approval is {entry.approval}, and others have more of it: {seats} are elected"


def overlay_on(connection: Connection) -> Overlay:
    """The final state to look things up in, as the rules see it."""
    return Overlay(UnhashedState(lambda buckets: queries.bucket_entries(connection, buckets)))
