"""What the state holds: the kinds of entries, their keys and their values. Numbers and layouts are for ever."""

from enum import IntEnum
from functools import lru_cache
from hashlib import sha256
from typing import NamedTuple

from chain.encoding import decode, encode
from chain.format import MOST
from chain.transactions import PartyBody, Role


class EntryKind(IntEnum):
    """The first byte of what an entry's key is the hash of."""

    TRANSACTION = 0  # tx id -> null: done once, where no natural key says so
    PARTY = 1  # client id -> PartyEntry
    ANCHOR = 2  # container digest -> AnchorEntry
    SIGNING_KEY = 3  # public key -> client id of the one party that has or had it
    GRANT = 4  # grant id -> GrantEntry
    ACCESS_BATCH = 5  # gateway's client id, place among its batches -> AccessBatchEntry
    SEQUENCE = 6  # gateway's client id -> SequenceEntry
    STAKE = 7  # holder's key -> chain.stake_entries.StakeEntry
    DELEGATE = 8  # delegate's key -> DelegateEntry
    ROLL = 9  # nothing -> RollEntry; there only where delegates are elected
    ELECTED = 10  # nothing -> hash of the set of delegates that was elected last
    DELEGATE_SET = 11  # hash of a set -> its delegates' keys by index
    AUDIT_REPORT = 12  # digest of a report -> AuditReportEntry
    COSIGNER = 13  # delegate's key -> chain.stake_entries.CosignerEntry


SEEN = encode(None)


@lru_cache(maxsize=2 * MOST.transactions)  # a block's are asked for again and again, by each of the delegates here
def entry_key(kind: int, natural_key: bytes) -> bytes:
    """SHA-256(kind byte || natural key)."""
    return sha256(bytes([kind]) + natural_key).digest()


def natural_key_named(kind: EntryKind, name: str) -> bytes:
    """The natural key that `name` spells: a client id for a party and a sequence, `client-id/place` for an access batch, nothing for the
    roll and the elected set, 64 lower-case hex digits for all others. Raises ValueError, which says what it should be.
    """
    if kind in (EntryKind.ROLL, EntryKind.ELECTED):
        if name:
            raise ValueError("there is one entry of this kind: it has no name")
        return b""
    if kind in (EntryKind.PARTY, EntryKind.SEQUENCE):
        return name.encode()
    if kind is EntryKind.ACCESS_BATCH:
        gateway, _, place = name.partition("/")
        if not place.isdecimal() or not place.isascii() or len(place) > 18:
            raise ValueError("an access batch is named by its gateway's client id, a slash and its place, from 0")
        return encode([gateway, int(place)])
    digest = bytes.fromhex(name)
    if len(digest) != 32 or digest.hex() != name:
        raise ValueError("it is named by 64 lower-case hex digits")
    return digest


def party_key(client_id: str) -> bytes:
    return entry_key(EntryKind.PARTY, client_id.encode())


def anchor_key(container_digest: bytes) -> bytes:
    return entry_key(EntryKind.ANCHOR, container_digest)


def signing_key_key(public: bytes) -> bytes:
    return entry_key(EntryKind.SIGNING_KEY, public)


def transaction_key(tx_id: bytes) -> bytes:
    return entry_key(EntryKind.TRANSACTION, tx_id)


def grant_key(grant_id: bytes) -> bytes:
    return entry_key(EntryKind.GRANT, grant_id)


def access_batch_key(gateway: str, place: int) -> bytes:
    """Places count up from 0, so that a batch is found by halving, and two neighbours show that no other lies between them."""
    return entry_key(EntryKind.ACCESS_BATCH, encode([gateway, place]))


def audit_report_key(digest: bytes) -> bytes:
    return entry_key(EntryKind.AUDIT_REPORT, digest)


def sequence_key(gateway: str) -> bytes:
    return entry_key(EntryKind.SEQUENCE, gateway.encode())


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


class Revocation(NamedTuple):
    """Where a grant ended: in the log, and in the commit sequence of its gateway."""

    log_index: int
    sequence: int


class GrantEntry(NamedTuple):
    """A grant as it stands. Sequence numbers are those of `gateway` (client id), the one that committed it."""

    log_index: int
    commitment: bytes
    gateway: str
    sequence: int
    revoked: Revocation | None

    def is_in_force_at(self, sequence: int) -> bool:
        """Whether what the gateway committed under `sequence` came after the grant and before its revoke, if there was one.

        What the terms say besides, their expiry above all, is for those who can open them.
        """
        return self.sequence < sequence and (self.revoked is None or sequence < self.revoked.sequence)

    def to_value(self) -> bytes:
        revoked = None if self.revoked is None else list(self.revoked)
        return encode([self.log_index, self.commitment, self.gateway, self.sequence, revoked])

    @classmethod
    def from_value(cls, value: bytes) -> "GrantEntry":
        log_index, commitment, gateway, sequence, revoked = decode(value)
        return cls(log_index, commitment, gateway, sequence, None if revoked is None else Revocation(*revoked))


class AccessBatchEntry(NamedTuple):
    """A batch of a gateway's access log: where it is recorded, the numbers it spans, and its tree."""

    log_index: int
    first: int
    last: int
    leaves: int
    root: bytes

    def to_value(self) -> bytes:
        return encode([self.log_index, self.first, self.last, self.leaves, self.root])

    @classmethod
    def from_value(cls, value: bytes) -> "AccessBatchEntry":
        return cls(*decode(value))


class SequenceEntry(NamedTuple):
    """How far a gateway's commit sequence is recorded: its last number (0: none) and how many batches there are."""

    last: int = 0
    batches: int = 0

    def to_value(self) -> bytes:
        return encode([self.last, self.batches])

    @classmethod
    def from_value(cls, value: bytes) -> "SequenceEntry":
        return cls(*decode(value))


class AuditReportEntry(NamedTuple):
    """A report that is recorded, and the client id of the gateway that made it."""

    log_index: int
    gateway: str
    exit_code: int

    def to_value(self) -> bytes:
        return encode([self.log_index, self.gateway, self.exit_code])

    @classmethod
    def from_value(cls, value: bytes) -> "AuditReportEntry":
        return cls(*decode(value))
