"""What the ledger records: signed transactions (docs/design/ledger.md), their bytes, identity and the rules that need no state.

A transaction is the CBOR map {0: version, 1: kind, 2: body, 3: valid until height, 4: signer, 5: signature}. Its signature is the last
value, so the signed bytes are the same map without it and need no second encoding. Its identity excludes the signature: one signer can make
many valid signatures over one content, and they are one transaction. Its place in the log commits to all bytes, the signature included.
"""

import re
from enum import IntEnum
from typing import Any, ClassVar

from msgspec import Struct

from chain.access_batch import AccessBatchBody
from chain.audit_report import AuditReportBody
from chain.consent import ConsentGrantBody, ConsentRevokeBody
from chain.encoding import EncodingError, decode, encode
from chain.evidence import EvidenceBody
from chain.keys import (
    PUBLIC_KEY_SIZE,
    SIGNATURE_SIZE,
    TRANSACTION,
    TRANSACTION_ID,
    ChainId,
    SigningKey,
    is_valid_public_key,
    labelled_hash,
    verify,
)
from chain.kinds import MAX_HEIGHT, Kind, TransactionInvalid, check_fields, is_count, is_hash, is_name
from chain.stake import DelegateBody, TransferBody, UnjailBody, VoteBody

__all__ = [
    "BODIES",
    "MAX_HEIGHT",
    "MAX_TRANSACTION_BYTES",
    "AccessBatchBody",
    "AnchorBody",
    "AuditReportBody",
    "Body",
    "ConsentGrantBody",
    "ConsentRevokeBody",
    "DelegateBody",
    "EvidenceBody",
    "Kind",
    "PartyAction",
    "PartyBody",
    "Role",
    "StakeBody",
    "Transaction",
    "TransactionInvalid",
    "TransferBody",
    "UnjailBody",
    "VoteBody",
    "parse_transaction",
    "sign_transaction",
]

VERSION = 1
MAX_TRANSACTION_BYTES = 4096
_HEAD = b"\xa6\x00\x01\x01"  # a map of six; 0: 1, 1: the kind follows
_SIGNATURE_HEAD = b"\x05\x58\x40"  # 5: 64 bytes follow, the last of the transaction
_SIGNATURE_TAIL = len(_SIGNATURE_HEAD) + SIGNATURE_SIZE
_MAX_KIND = 23  # as long as it has one byte
_CLIENT_ID = re.compile(r"[a-z0-9][a-z0-9-]{0,99}")


class PartyAction(IntEnum):
    REGISTER = 0
    ROTATE = 1
    SUSPEND = 2


class Role(IntEnum):
    INSTITUTION = 1
    AGENCY = 2
    GATEWAY = 3


class PartyBody(Struct, frozen=True, gc=False):
    """A party is registered, gets new keys, or is stopped for good.

    `signing_key` is the party's own, `attestation_key` the one with which the gateway signs for it; 32 bytes or none, both none to suspend.
    """

    action: PartyAction
    client_id: str
    name: str
    role: Role
    signing_key: bytes | None
    attestation_key: bytes | None

    kind: ClassVar[Kind] = Kind.PARTY

    def to_map(self) -> dict[int, Any]:
        return dict(enumerate((int(self.action), self.client_id, self.name, int(self.role), self.signing_key, self.attestation_key)))

    @classmethod
    def from_map(cls, body: dict[int, Any]) -> "PartyBody":
        """Raises `TransactionInvalid`."""
        check_fields(body, 6)
        if type(body[0]) is not int or type(body[3]) is not int:
            raise TransactionInvalid("PARTY has an unknown action or role")
        try:
            parsed = cls(PartyAction(body[0]), body[1], body[2], Role(body[3]), body[4], body[5])
        except ValueError:
            raise TransactionInvalid("PARTY has an unknown action or role") from None
        parsed.check()
        return parsed

    def check(self) -> None:
        """Raises `TransactionInvalid` unless names and keys are well formed and fit the action."""
        if not isinstance(self.client_id, str) or not _CLIENT_ID.fullmatch(self.client_id):
            raise TransactionInvalid("PARTY has no valid client id")
        if not is_name(self.name):
            raise TransactionInvalid("PARTY has no valid name")
        keys = [key for key in (self.signing_key, self.attestation_key) if key is not None]
        if any(not isinstance(key, bytes) or not is_valid_public_key(key) for key in keys):
            raise TransactionInvalid("PARTY has an unusable public key")
        if len(set(keys)) != len(keys):
            raise TransactionInvalid("PARTY has one key for two purposes")
        if bool(keys) == (self.action is PartyAction.SUSPEND):
            raise TransactionInvalid("PARTY needs a key to register or rotate, and none to suspend")
        if self.role is Role.GATEWAY and self.action is not PartyAction.SUSPEND and self.signing_key is None:
            raise TransactionInvalid("PARTY of a gateway needs a signing key")


class AnchorBody(Struct, frozen=True, gc=False):
    """One container: its SHA-256, its bytes, the root over its bundle roots, and how many bundles and leaves it holds."""

    digest: bytes
    size: int
    root: bytes
    bundles: int
    leaves: int

    kind: ClassVar[Kind] = Kind.ANCHOR

    def to_map(self) -> dict[int, Any]:
        return {0: self.digest, 1: self.size, 2: self.root, 3: self.bundles, 4: self.leaves}

    @classmethod
    def from_map(cls, body: dict[int, Any]) -> "AnchorBody":
        """Raises `TransactionInvalid`."""
        check_fields(body, 5)
        parsed = cls(body[0], body[1], body[2], body[3], body[4])
        parsed.check()
        return parsed

    def check(self) -> None:
        """Raises `TransactionInvalid` unless both hashes have 32 bytes and the counts are possible."""
        if not is_hash(self.digest) or not is_hash(self.root):
            raise TransactionInvalid("ANCHOR has a hash of the wrong size")
        if not (is_count(self.size) and is_count(self.bundles) and is_count(self.leaves)):
            raise TransactionInvalid("ANCHOR has an impossible count")
        if self.leaves < self.bundles:
            raise TransactionInvalid("ANCHOR has fewer leaves than bundles")


StakeBody = DelegateBody | VoteBody | UnjailBody | EvidenceBody | TransferBody  # signed by holders and delegates, all else by gateways
Body = PartyBody | AnchorBody | ConsentGrantBody | ConsentRevokeBody | AccessBatchBody | AuditReportBody | StakeBody
BODIES: dict[int, type[Body]] = {
    Kind.PARTY: PartyBody,
    Kind.ANCHOR: AnchorBody,
    Kind.CONSENT_GRANT: ConsentGrantBody,
    Kind.CONSENT_REVOKE: ConsentRevokeBody,
    Kind.ACCESS_BATCH: AccessBatchBody,
    Kind.AUDIT_REPORT: AuditReportBody,
    Kind.DELEGATE: DelegateBody,
    Kind.VOTE: VoteBody,
    Kind.UNJAIL: UnjailBody,
    Kind.EVIDENCE: EvidenceBody,
    Kind.TRANSFER: TransferBody,
}


class Transaction(Struct, frozen=True, gc=False):
    """A parsed transaction with the bytes it was read from. Its signature has not been verified; see `verify_signature`."""

    body: Body
    valid_until: int  # the last height that may include it
    signer: bytes  # public key
    signature: bytes
    raw: bytes  # the whole encoding

    @property
    def kind(self) -> Kind:
        return self.body.kind

    def unsigned(self) -> bytes:
        """The encoding without the signature: what is signed and identified."""
        return _unsigned(self.raw)

    def tx_id(self, chain_id: ChainId) -> bytes:
        """32 bytes; the same for every signature over the same content."""
        return _tx_id(self.raw, chain_id)

    def verify_signature(self, chain_id: ChainId) -> None:
        """Raises `chain.keys.SignatureInvalid` unless the signer signed this content for this chain."""
        verify(self.signer, TRANSACTION, chain_id, self.unsigned(), self.signature)


def kind_and_id(raw: bytes, chain_id: ChainId) -> tuple[int, bytes]:
    """The number of a transaction's kind, also of one that came after this program, and its identity, by its form alone: whether it was
    admitted is not looked at. Raises `TransactionInvalid`.
    """
    is_framed = raw[: len(_HEAD)] == _HEAD and raw[-_SIGNATURE_TAIL:].startswith(_SIGNATURE_HEAD)
    if len(raw) > MAX_TRANSACTION_BYTES or not is_framed or raw[len(_HEAD)] > _MAX_KIND:
        raise TransactionInvalid("it does not have the form of a transaction")
    return raw[len(_HEAD)], _tx_id(raw, chain_id)


def _unsigned(raw: bytes) -> bytes:
    return b"\xa5" + raw[1:-_SIGNATURE_TAIL]


def _tx_id(raw: bytes, chain_id: ChainId) -> bytes:
    return labelled_hash(TRANSACTION_ID, chain_id, _unsigned(raw))


def parse_transaction(raw: bytes) -> Transaction:
    """Reads and checks all that needs neither state nor signature. Raises `TransactionInvalid`."""
    if len(raw) > MAX_TRANSACTION_BYTES:
        raise TransactionInvalid("a transaction is larger than 4096 bytes")
    try:
        fields = decode(raw)
    except EncodingError as error:
        raise TransactionInvalid(f"a transaction does not decode: {error}") from None
    check_fields(fields, 6)
    version, kind, body, valid_until, signer, signature = fields.values()
    if type(version) is not int or version != VERSION:
        raise TransactionInvalid("a transaction has an unknown version")
    if type(kind) is not int or kind not in BODIES:
        raise TransactionInvalid("a transaction has an unknown kind")
    if type(valid_until) is not int or not 0 < valid_until <= MAX_HEIGHT:
        raise TransactionInvalid("a transaction has an impossible height")
    if type(signer) is not bytes or len(signer) != PUBLIC_KEY_SIZE or type(signature) is not bytes or len(signature) != SIGNATURE_SIZE:
        raise TransactionInvalid("a transaction has a key or signature of the wrong size")
    return Transaction(BODIES[kind].from_map(body), valid_until, signer, signature, raw)


def sign_transaction(body: Body, valid_until: int, key: SigningKey, chain_id: ChainId) -> Transaction:
    """The transaction that records `body`, signed. Raises `TransactionInvalid` if `body` breaks a rule."""
    fields = {0: VERSION, 1: int(body.kind), 2: body.to_map(), 3: valid_until, 4: key.public}
    signature = key.sign(TRANSACTION, chain_id, encode(fields))
    return parse_transaction(encode({**fields, 5: signature}))
