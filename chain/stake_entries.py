"""What the state holds about stake and delegates: the values behind the entry kinds 7 to 11 and 13 of `chain.entries`."""

from enum import IntEnum
from typing import NamedTuple

from chain.encoding import decode, encode
from chain.entries import EntryKind, entry_key
from chain.state import Overlay

ROLL_KEY = entry_key(EntryKind.ROLL, b"")
ELECTED_KEY = entry_key(EntryKind.ELECTED, b"")


def stake_key(holder: bytes) -> bytes:
    return entry_key(EntryKind.STAKE, holder)


def delegate_key(delegate: bytes) -> bytes:
    return entry_key(EntryKind.DELEGATE, delegate)


def cosigner_key(delegate: bytes) -> bytes:
    return entry_key(EntryKind.COSIGNER, delegate)


def delegate_set_key(hash_: bytes) -> bytes:
    return entry_key(EntryKind.DELEGATE_SET, hash_)


class Standing(IntEnum):
    """Whether a delegate can be elected at all."""

    STANDS = 0
    RESIGNED = 1
    REMOVED = 2  # for signing twice


class StakeEntry(NamedTuple):
    """What one key holds: its weight, whom it approves of (ascending), and how many delegates stand that it registered."""

    weight: int
    votes: tuple[bytes, ...] = ()
    sponsored: int = 0

    def to_value(self) -> bytes:
        return encode([self.weight, list(self.votes), self.sponsored])

    @classmethod
    def from_value(cls, value: bytes) -> "StakeEntry":
        weight, votes, sponsored = decode(value)
        return cls(weight, tuple(votes), sponsored)


class DelegateEntry(NamedTuple):
    """A delegate as it stands. `log_index` and `sponsor` (a holder's key) are of its registration, none for the genesis."""

    log_index: int | None
    name: str
    sponsor: bytes | None
    approval: int  # weight of the holders who approve of it
    standing: Standing = Standing.STANDS
    jailed: bool = False

    def to_value(self) -> bytes:
        return encode([self.log_index, self.name, self.sponsor, self.approval, int(self.standing), self.jailed])

    @classmethod
    def from_value(cls, value: bytes) -> "DelegateEntry":
        log_index, name, sponsor, approval, standing, jailed = decode(value)
        return cls(log_index, name, sponsor, approval, Standing(standing), jailed)


class CosignerEntry(NamedTuple):
    """The key with which a delegate cosigns checkpoints now, and the DELEGATE transaction that says so."""

    log_index: int
    key: bytes

    def to_value(self) -> bytes:
        return encode([self.log_index, self.key])

    @classmethod
    def from_value(cls, value: bytes) -> "CosignerEntry":
        return cls(*decode(value))


class RollEntry(NamedTuple):
    """The total of stake, and every delegate that stands (keys, ascending)."""

    total: int
    delegates: tuple[bytes, ...]

    def to_value(self) -> bytes:
        return encode([self.total, list(self.delegates)])

    @classmethod
    def from_value(cls, value: bytes) -> "RollEntry":
        total, delegates = decode(value)
        return cls(total, tuple(delegates))


def stake_at(overlay: Overlay, holder: bytes) -> StakeEntry | None:
    value = overlay.get(stake_key(holder))
    return None if value is None else StakeEntry.from_value(value)


def delegate_at(overlay: Overlay, delegate: bytes) -> DelegateEntry | None:
    value = overlay.get(delegate_key(delegate))
    return None if value is None else DelegateEntry.from_value(value)


def cosigner_at(overlay: Overlay, delegate: bytes) -> CosignerEntry | None:
    """None also of a delegate that resigned or was removed: what it cosigns counts no more."""
    entry, value = delegate_at(overlay, delegate), overlay.get(cosigner_key(delegate))
    return None if value is None or entry is None or entry.standing is not Standing.STANDS else CosignerEntry.from_value(value)


def roll_at(overlay: Overlay) -> RollEntry | None:
    """None on a chain whose delegates are fixed."""
    value = overlay.get(ROLL_KEY)
    return None if value is None else RollEntry.from_value(value)
