"""The ledger's keys: Ed25519 (RFC 8032), one verifier for consensus, and every label that anything of the ledger is hashed or signed under.

All messages are label || 0x00 || chain id || message. The labels hold no zero byte and the chain id has a fixed length, so no two messages
of different meaning or of different chains are ever the same bytes. Notes for foreign tools (`chain.note`) are signed as they are, by keys
of their own: no note holds a zero byte, so none is ever one of these messages either. libsodium refuses public keys of small order, keys
and points in other than canonical form, and signatures with S outside the group order; a second verifier that accepts any of them could
split the chain.
"""

import hmac
from hashlib import sha256
from typing import NewType

from nacl.bindings import crypto_core_ed25519_is_valid_point, crypto_sign, crypto_sign_open, crypto_sign_seed_keypair
from nacl.exceptions import BadSignatureError

from chain.errors import LedgerError

ChainId = NewType("ChainId", bytes)  # SHA-256 of the genesis file's bytes

TRANSACTION = b"fhir-anchor/transaction/v1"  # signed: CBOR of the transaction without its signature
TRANSACTION_ID = b"fhir-anchor/transaction-id/v1"  # hashed: the same bytes
GRANT = b"fhir-anchor/grant/v1"  # signed by a one-time key: CBOR [the gateway's client id, grant id, commitment]
REVOKE = b"fhir-anchor/revoke/v1"  # signed by the same key: CBOR [the gateway's client id, grant id]
GRANT_TERMS = b"fhir-anchor/grant-terms/v1"  # hashed: salt (32 bytes) || terms
HEADER = b"fhir-anchor/header/v1"  # signed by the producer: the header's bytes
BLOCK = b"fhir-anchor/block/v1"  # hashed: the header's bytes
VOTE = b"fhir-anchor/vote/v1"  # signed by a delegate: CBOR [height, block hash]
DELEGATE = b"fhir-anchor/delegate/v1"  # signed by a delegate that lets itself be registered: CBOR [holder's key, delegate's key, name]
COSIGNER = b"fhir-anchor/cosigner/v1"  # signed by a cosigning key that lets itself be registered: CBOR [delegate's key, cosigning key]
DELEGATES = b"fhir-anchor/delegates/v1"  # hashed: CBOR [public key, ...] in the order of their indices
SCHEDULE = b"fhir-anchor/schedule/v1"  # hashed: seed block hash || round (u64)
LOG_KEY = b"fhir-anchor/log-key/v1"  # derived from the gateway's ledger key: the key that signs the log's checkpoints
COSIGNING_KEY = b"fhir-anchor/cosigning-key/v1"  # derived from a delegate's key: the key that cosigns them

PUBLIC_KEY_SIZE = 32
SEED_SIZE = 32
SIGNATURE_SIZE = 64


class SignatureInvalid(LedgerError):
    """The signature was not made by this key over this message under this label and chain."""


class SigningKey:
    """A private key. It never shows itself: no repr, no export, no comparison."""

    __slots__ = ("_secret", "public")

    def __init__(self, public: bytes, secret: bytes) -> None:
        self.public = public
        self._secret = secret

    @classmethod
    def from_seed(cls, seed: bytes) -> "SigningKey":
        """The key whose RFC 8032 private key is `seed` (32 bytes, from the caller's source of randomness)."""
        if len(seed) != SEED_SIZE:
            raise ValueError("an Ed25519 seed has 32 bytes")
        return cls(*crypto_sign_seed_keypair(seed))

    def sign(self, label: bytes, chain_id: ChainId, message: bytes) -> bytes:
        """64 bytes over label || 0x00 || chain id || message."""
        return crypto_sign(labelled(label, chain_id, message), self._secret)[:SIGNATURE_SIZE]

    def sign_note(self, text: bytes) -> bytes:
        """64 bytes over `text` as it is, which holds no zero byte. Only keys that were derived to sign notes sign them."""
        return crypto_sign(text, self._secret)[:SIGNATURE_SIZE]

    def derived(self, label: bytes) -> "SigningKey":
        """A key of its own for another protocol; its seed is HMAC-SHA-256(seed of this one, label), and tells nothing of this one."""
        return SigningKey.from_seed(hmac.digest(self._secret[:SEED_SIZE], label, "sha256"))


def verify(public: bytes, label: bytes, chain_id: ChainId, message: bytes, signature: bytes) -> None:
    """Raises `SignatureInvalid` unless `signature` is `public`'s over the message, and for a key or signature of the wrong size or form."""
    _verify(public, labelled(label, chain_id, message), signature)


def verify_note_signature(public: bytes, text: bytes, signature: bytes) -> None:
    """The same for what `SigningKey.sign_note` signs."""
    _verify(public, text, signature)


def _verify(public: bytes, signed: bytes, signature: bytes) -> None:
    if len(public) != PUBLIC_KEY_SIZE or len(signature) != SIGNATURE_SIZE:
        raise SignatureInvalid("a key or signature has the wrong size")
    try:
        crypto_sign_open(signature + signed, public)
    except BadSignatureError:
        raise SignatureInvalid("the signature does not hold") from None


def is_valid_public_key(public: bytes) -> bool:
    """Whether a key may be enrolled: 32 bytes in canonical form, in the main subgroup, neither the identity nor of small order."""
    return len(public) == PUBLIC_KEY_SIZE and bool(crypto_core_ed25519_is_valid_point(public))


def labelled_hash(label: bytes, chain_id: ChainId, message: bytes) -> bytes:
    """SHA-256(label || 0x00 || chain id || message)."""
    return sha256(labelled(label, chain_id, message)).digest()


def labelled(label: bytes, chain_id: ChainId, message: bytes) -> bytes:
    """The bytes that are hashed or signed."""
    return label + b"\x00" + chain_id + message
