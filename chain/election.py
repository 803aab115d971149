"""What the last block of an epoch decides: who is jailed for absence, and who acts in the epoch after the next one.

See docs/design/ledger.md, epochs. The set that was elected an epoch ago begins to act with the next block, so that a set is known,
and named by headers, for one epoch before.
"""

from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

from chain.delegate_set import DelegateSet
from chain.encoding import decode, encode
from chain.genesis import MIN_ELECTED, Genesis
from chain.keys import ChainId
from chain.stake_entries import (
    ELECTED_KEY,
    ROLL_KEY,
    DelegateEntry,
    RollEntry,
    StakeEntry,
    Standing,
    delegate_at,
    delegate_set_key,
    roll_at,
)
from chain.stake_rules import write_delegate, write_stake
from chain.state import Overlay

ATTENDANCE_BLOCKS = 100  # what a delegate's absence is counted over


class Attended(NamedTuple):
    """Of one block: who acted then, and the bitmap of the votes that made it final."""

    delegates: DelegateSet
    voters: bytes

    def voted(self) -> set[bytes]:
        """The keys of those who voted."""
        bits = int.from_bytes(self.voters, "little")
        return {key for index, key in enumerate(self.delegates.keys) if bits >> index & 1}


def end_epoch(overlay: Overlay, genesis: Genesis, following: DelegateSet, attendance: Iterable[Attended]) -> DelegateSet:
    """Changes the state as the last block of an epoch does, after its transactions; returns the set for the epoch after the next.

    `following` is the set of the next epoch: it stays on where fewer than four can be elected, and in its order where nobody changes.
    """
    for key in absent(attendance):
        entry = delegate_at(overlay, key)
        if entry is not None and entry.standing is Standing.STANDS and not entry.jailed:
            write_delegate(overlay, key, entry._replace(jailed=True))
    elected = elected_set(genesis, ranked(electable(overlay)), following)
    if elected.hash != following.hash:
        _write_set(overlay, elected)
        overlay.set(ELECTED_KEY, encode(elected.hash))
    return elected


def absent(attendance: Iterable[Attended]) -> list[bytes]:
    """Who voted on fewer than half of those of the blocks on which it could."""
    could: Counter[bytes] = Counter()
    did: Counter[bytes] = Counter()
    for block in attendance:
        could.update(block.delegates.keys)
        did.update(block.voted())
    return sorted(key for key, count in could.items() if 2 * did[key] < count)


def electable(overlay: Overlay) -> list[tuple[bytes, DelegateEntry]]:
    """Every delegate that stands, is not jailed, and that somebody with weight approves of."""
    roll = roll_at(overlay)
    entries = [(key, delegate_at(overlay, key)) for key in (roll.delegates if roll else ())]
    return [(key, entry) for key, entry in entries if entry is not None and entry.approval and not entry.jailed]


def ranked(delegates: Iterable[tuple[bytes, DelegateEntry]]) -> list[bytes]:
    """The most approved first; among equals the smaller key."""
    return [key for key, _ in sorted(delegates, key=lambda item: (-item[1].approval, item[0]))]


def elected_set(genesis: Genesis, ranking: list[bytes], following: DelegateSet) -> DelegateSet:
    """The first 3f+1 of the ranking, as many as there are seats for."""
    size = min(genesis.seats, len(ranking))
    size -= (size - 1) % 3
    if size < MIN_ELECTED or set(ranking[:size]) == set(following.keys):
        return following
    return DelegateSet.of(genesis.chain_id, sorted(ranking[:size]))


def found_stake(overlay: Overlay, genesis: Genesis) -> None:
    """The state that a genesis with stake begins with: every holder approves of every delegate of the genesis."""
    keys = tuple(sorted(delegate.key for delegate in genesis.delegates))
    for stake in genesis.stakes:
        write_stake(overlay, stake.key, StakeEntry(stake.weight, keys))
    for delegate in genesis.delegates:
        write_delegate(overlay, delegate.key, DelegateEntry(None, delegate.name, None, genesis.total_stake))
    overlay.set(ROLL_KEY, RollEntry(genesis.total_stake, keys).to_value())
    overlay.set(ELECTED_KEY, encode(genesis.first_set.hash))
    _write_set(overlay, genesis.first_set)


def read_set(overlay: Overlay, chain_id: ChainId, hash_: bytes) -> DelegateSet | None:
    """The set that has acted, acts or will act under this hash."""
    value = overlay.get(delegate_set_key(hash_))
    return None if value is None else DelegateSet.of(chain_id, decode(value))


def _write_set(overlay: Overlay, delegates: DelegateSet) -> None:
    overlay.set(delegate_set_key(delegates.hash), encode(list(delegates.keys)))
