"""Ed25519 (RFC 8032) by pycryptodome, and the ledger's labels (docs/design/ledger.md)."""

from functools import lru_cache
from hashlib import sha256

from Crypto.PublicKey.ECC import EccKey
from Crypto.Signature import eddsa

from gateway.independent.faults import Invalid

BLOCK = b"fhir-anchor/block/v1"
DELEGATES = b"fhir-anchor/delegates/v1"
TRANSACTION = b"fhir-anchor/transaction/v1"
TRANSACTION_ID = b"fhir-anchor/transaction-id/v1"
VOTE = b"fhir-anchor/vote/v1"

_FIELD_PRIME = 2**255 - 19
_GROUP_ORDER = 2**252 + 27742317777372353535851937790883648493


def labelled(label: bytes, chain_id: bytes, message: bytes) -> bytes:
    return label + b"\x00" + chain_id + message


def labelled_hash(label: bytes, chain_id: bytes, message: bytes) -> bytes:
    return sha256(labelled(label, chain_id, message)).digest()


@lru_cache(maxsize=1024)
def public_key(raw: bytes, what: str) -> EccKey:
    """A key in canonical form, of the prime-order group: pycryptodome alone would take the identity and points of small order."""
    if len(raw) != 32 or int.from_bytes(raw, "little") & ((1 << 255) - 1) >= _FIELD_PRIME:
        raise Invalid(f"{what} is not an Ed25519 public key in canonical form")
    try:
        key = eddsa.import_public_key(raw)
    except ValueError as error:
        raise Invalid(f"{what} is not an Ed25519 public key") from error
    point = key.pointQ
    if point.is_point_at_infinity() or not (point * _GROUP_ORDER).is_point_at_infinity():
        raise Invalid(f"{what} is an Ed25519 public key that no signer would use")
    return key


@lru_cache(maxsize=1024)  # receipts of one batch share votes and transactions; what does not hold is not remembered
def check(key: bytes, message: bytes, signature: bytes, what: str) -> None:
    """Raises Invalid unless `signature` (64 bytes) is `key`'s (32 bytes) over `message`."""
    if len(signature) != 64:
        raise Invalid(f"{what} does not have 64 bytes")
    public_key(
        signature[:32], f"the first half of {what}"
    )  # pycryptodome multiplies by the cofactor: it would not see what R has beyond the group
    try:
        eddsa.new(public_key(key, f"the key of {what}"), "rfc8032").verify(message, signature)
    except ValueError as error:
        raise Invalid(f"{what} is not valid") from error
