"""What the state holds: the kinds of entries, their keys and their values. Numbers and layouts are for ever."""

from enum import IntEnum
from hashlib import sha256
from typing import NamedTuple

from chain.encoding import decode, encode
from chain.transactions import PartyBody, Role


class EntryKind(IntEnum):
    """The first byte of what an entry's key is the hash of."""

    TRANSACTION = 0  # tx id -> null: done once, where no natural key says so
    PARTY = 1  # client id -> PartyEntry
    ANCHOR = 2  # container digest -> AnchorEntry
    SIGNING_KEY = 3  # public key -> client id of the one party that has or had it


SEEN = encode(None)


def entry_key(kind: EntryKind, natural_key: bytes) -> bytes:
    """SHA-256(kind byte || natural key)."""
    return sha256(bytes([kind]) + natural_key).digest()


def party_key(client_id: str) -> bytes:
    return entry_key(EntryKind.PARTY, client_id.encode())


def anchor_key(container_digest: bytes) -> bytes:
    return entry_key(EntryKind.ANCHOR, container_digest)


def signing_key_key(public: bytes) -> bytes:
    return entry_key(EntryKind.SIGNING_KEY, public)


def transaction_key(tx_id: bytes) -> bytes:
    return entry_key(EntryKind.TRANSACTION, tx_id)


class PartyEntry(NamedTuple):
    """A party as it stands. `log_index` is the PARTY transaction that set its keys, none for the genesis."""

    log_index: int | None
    name: str
    role: Role
    signing_key: bytes | None
    attestation_key: bytes | None
    suspended: bool

    @classmethod
    def of(cls, body: PartyBody, log_index: int | None) -> "PartyEntry":
        return cls(log_index, body.name, body.role, body.signing_key, body.attestation_key, suspended=False)

    def to_value(self) -> bytes:
        return encode([self.log_index, self.name, int(self.role), self.signing_key, self.attestation_key, self.suspended])

    @classmethod
    def from_value(cls, value: bytes) -> "PartyEntry":
        log_index, name, role, signing_key, attestation_key, suspended = decode(value)
        return cls(log_index, name, Role(role), signing_key, attestation_key, suspended)


class AnchorEntry(NamedTuple):
    """Where a container was anchored, and its root."""

    log_index: int
    root: bytes

    def to_value(self) -> bytes:
        return encode([self.log_index, self.root])

    @classmethod
    def from_value(cls, value: bytes) -> "AnchorEntry":
        return cls(*decode(value))
