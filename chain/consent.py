"""CONSENT_GRANT and CONSENT_REVOKE (docs/design/ledger.md): what a patient's one-time key says, in a transaction of the
gateway that committed it.

Two signatures, each over what its maker knows. The one-time key signs its act before the gateway commits it; the gateway signs the
transaction, and with it the act's place in the gateway's commit sequence. The same one-time key signs a grant and its revoke and nothing
else, so that grants do not link. Its public key is the grant id. See docs/adr/0015-consent-on-the-ledger.md.
"""

from typing import Any, ClassVar

from msgspec import Struct

from chain.encoding import encode
from chain.keys import GRANT, GRANT_TERMS, REVOKE, SIGNATURE_SIZE, ChainId, SigningKey, is_valid_public_key, labelled_hash, verify
from chain.kinds import Kind, TransactionInvalid, check_fields, is_count, is_hash

SALT_SIZE = 32


class ConsentGrantBody(Struct, frozen=True, gc=False):
    """A grant comes into being. `grant_id` is the one-time public key, `signature` its signature (see `sign_grant`)."""

    grant_id: bytes
    commitment: bytes  # see `commit_terms`
    sequence: int  # in the gateway's commit sequence
    signature: bytes

    kind: ClassVar[Kind] = Kind.CONSENT_GRANT

    def to_map(self) -> dict[int, Any]:
        return {0: self.grant_id, 1: self.commitment, 2: self.sequence, 3: self.signature}

    @classmethod
    def from_map(cls, body: dict[int, Any]) -> "ConsentGrantBody":
        """Raises `TransactionInvalid`."""
        check_fields(body, 4)
        parsed = cls(body[0], body[1], body[2], body[3])
        parsed.check()
        return parsed

    def check(self) -> None:
        """Raises `TransactionInvalid` unless the grant id can be a one-time key and all else has its form."""
        if type(self.grant_id) is not bytes or not is_valid_public_key(self.grant_id):
            raise TransactionInvalid("CONSENT_GRANT has an unusable one-time key")
        if not is_hash(self.commitment):
            raise TransactionInvalid("CONSENT_GRANT has a commitment of the wrong size")
        _check_place(self)

    def verify_signature(self, chain_id: ChainId, gateway: str) -> None:
        """Raises `chain.keys.SignatureInvalid` unless the one-time key granted this to the gateway with the client id `gateway`."""
        verify(self.grant_id, GRANT, chain_id, encode([gateway, self.grant_id, self.commitment]), self.signature)


class ConsentRevokeBody(Struct, frozen=True, gc=False):
    """A grant ends. `signature` is its one-time key's (see `sign_revoke`)."""

    grant_id: bytes
    sequence: int  # in the gateway's commit sequence
    signature: bytes

    kind: ClassVar[Kind] = Kind.CONSENT_REVOKE

    def to_map(self) -> dict[int, Any]:
        return {0: self.grant_id, 1: self.sequence, 2: self.signature}

    @classmethod
    def from_map(cls, body: dict[int, Any]) -> "ConsentRevokeBody":
        """Raises `TransactionInvalid`."""
        check_fields(body, 3)
        parsed = cls(body[0], body[1], body[2])
        parsed.check()
        return parsed

    def check(self) -> None:
        """Raises `TransactionInvalid` unless all has its form; the grant has had its key checked."""
        if not is_hash(self.grant_id):
            raise TransactionInvalid("CONSENT_REVOKE has a grant id of the wrong size")
        _check_place(self)

    def verify_signature(self, chain_id: ChainId, gateway: str) -> None:
        """Raises `chain.keys.SignatureInvalid` unless the one-time key revoked its grant at the gateway with the client id `gateway`."""
        verify(self.grant_id, REVOKE, chain_id, encode([gateway, self.grant_id]), self.signature)


def commit_terms(chain_id: ChainId, salt: bytes, terms: bytes) -> bytes:
    """The commitment to a grant's terms: canonical bytes of the gateway's making, hidden by a random salt of 32 bytes."""
    if len(salt) != SALT_SIZE:
        raise ValueError("a grant's salt has 32 bytes")
    return labelled_hash(GRANT_TERMS, chain_id, salt + terms)


def sign_grant(key: SigningKey, chain_id: ChainId, gateway: str, commitment: bytes) -> bytes:
    """The one-time key's signature that grants what `commitment` commits to, at the gateway with this client id; 64 bytes."""
    return key.sign(GRANT, chain_id, encode([gateway, key.public, commitment]))


def sign_revoke(key: SigningKey, chain_id: ChainId, gateway: str) -> bytes:
    """The one-time key's signature that ends its grant, at the gateway with this client id; 64 bytes."""
    return key.sign(REVOKE, chain_id, encode([gateway, key.public]))


def _check_place(body: ConsentGrantBody | ConsentRevokeBody) -> None:
    if not is_count(body.sequence):
        raise TransactionInvalid(f"{body.kind.name} has an impossible sequence number")
    if type(body.signature) is not bytes or len(body.signature) != SIGNATURE_SIZE:
        raise TransactionInvalid(f"{body.kind.name} has a signature of the wrong size")
