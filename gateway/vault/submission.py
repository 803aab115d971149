"""What a sender signs: a tree over the exact bytes of a submission's entries, and the statement that keeps the signature.

Entry i is salted with HMAC-SHA-256(nonce, u32 i)[:16], so that showing one entry with its path tells nothing of its neighbours. The tree is
RFC 6962 over SHA-256(salt i, exact bytes of entry i); a resource posted by itself is entry 0. The signature is a compact JWS (RFC 7515)
with EdDSA (RFC 8037): header {"alg","kid"}, payload {"iss","iat","count","root"}, nothing else. The nonce travels beside it and is kept
nowhere; each entry's salt is sealed with the entry.
"""

import base64
import binascii
import hashlib
import json
from collections.abc import Iterable, Sequence
from typing import Annotated, Literal

import msgspec

from chain import merkle
from gateway.errors import Refused
from gateway.vault import primitives
from gateway.vault.cover import Tree

NONCE_BYTES = 32
ENTRY_SALT_BYTES = 16
WINDOW_SECONDS = 600  # how far `iat` may lie from the gateway's clock, either way
Signer = Literal["issuer", "gateway"]
Number = Annotated[int, msgspec.Meta(ge=0, lt=1 << 53)]  # as every reader of JSON holds it exactly
FromOne = Annotated[int, msgspec.Meta(ge=1, lt=1 << 53)]


class SubmissionInvalid(Refused):
    """The signature, or what it says, does not belong to this submission."""


def entry_leaves(salts: Iterable[bytes], entries: Iterable[bytes]) -> list[bytes]:
    """The RFC 6962 leaf hashes of entries under their salts."""
    sha256 = hashlib.sha256
    return merkle.leaf_hashes([sha256(salt + entry).digest() for salt, entry in zip(salts, entries, strict=True)])


def entry_leaf(salt: bytes, entry: bytes) -> bytes:
    """The RFC 6962 leaf hash of one entry."""
    return entry_leaves((salt,), (entry,))[0]


class SubmissionTree:
    """The salts, leaves and root of the submission of `entries` (exact bytes each) under a 32-byte nonce."""

    def __init__(self, entries: Sequence[bytes], nonce: bytes) -> None:
        salts = primitives.Prf(nonce).digests(map(primitives.u32, range(len(entries))))
        self.salts = [salt[:ENTRY_SALT_BYTES] for salt in salts]
        self.tree = Tree(entry_leaves(self.salts, entries))

    @property
    def count(self) -> int:
        return self.tree.size

    @property
    def root(self) -> bytes:
        return self.tree.root


class _Header(msgspec.Struct, forbid_unknown_fields=True):
    alg: Literal["EdDSA"]
    kid: str


class Claims(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """The payload of a submission's JWS: party, seconds since the epoch, number of entries, root in lower-case hex."""

    iss: str
    iat: Number
    count: Number
    root: str


def sign(seed: bytes, *, client_id: str, iat: int, count: int, root: bytes) -> str:
    """The compact JWS by the Ed25519 key of the 32-byte `seed`."""
    header = msgspec.json.encode(_Header(alg="EdDSA", kid=client_id))
    payload = msgspec.json.encode(Claims(client_id, iat, count, root.hex()))
    signed = f"{to_base64url(header)}.{to_base64url(payload)}"
    return f"{signed}.{to_base64url(primitives.ed25519_sign(seed, signed.encode()))}"


def verify(jws: str, *, public: bytes, client_id: str, count: int, root: bytes, now: int) -> Claims:
    """The claims, once everything holds: the key signed it, for this party, these entries, within `WINDOW_SECONDS` of `now`.

    Raises SubmissionInvalid; its code is `expired` if only the time is wrong.
    """
    signed, _, signature = jws.rpartition(".")
    header_text, _, payload_text = signed.partition(".")
    try:
        header = msgspec.json.decode(_without_doubles(from_base64url(header_text)), type=_Header)
        claims = msgspec.json.decode(_without_doubles(from_base64url(payload_text)), type=Claims)
        signature_bytes = from_base64url(signature)
    except (ValueError, RecursionError, msgspec.MsgspecError):
        raise SubmissionInvalid("the submission signature is not a compact JWS of the expected shape") from None
    if not primitives.ed25519_is_valid(public, signed.encode(), signature_bytes):
        raise SubmissionInvalid("the submission signature was not made by the party's registered signing key")
    if header.kid != client_id or claims.iss != client_id:
        raise SubmissionInvalid("the submission signature names another party")
    if claims.count != count or claims.root != root.hex():
        raise SubmissionInvalid("the submission signature is over other entries")
    if abs(now - claims.iat) > WINDOW_SECONDS:
        raise SubmissionInvalid("the submission signature's time is more than 10 minutes off", code="expired")
    return claims


def _without_doubles(text: bytes) -> bytes:
    """`text`, a flat JSON object, unless a name stands in it twice (RFC 7515, 4): one reader takes the first, another the last."""

    def once(pairs: list[tuple[str, object]]) -> dict[str, object]:
        if len({name for name, _ in pairs}) != len(pairs):
            raise ValueError("a name stands twice")
        return dict(pairs)

    json.loads(text, object_pairs_hook=once)
    return text


class Statement(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """Who submitted what, when, in which format: leaf 0 of every bundle, as JSON with sorted keys and no white space.

    `signed_by` says whose key made `signature`: the issuer's own, or the gateway's key for that issuer (then a reader may only say
    "attested by the gateway for X").
    """

    count: FromOne
    format: Literal["fhir-anchor submission 1"] = "fhir-anchor submission 1"
    issuer: str
    media_type: str
    received_at: FromOne  # seconds since the epoch
    root: Annotated[str, msgspec.Meta(pattern=r"\A[0-9a-f]{64}\Z")]
    signature: str
    signed_by: Signer

    def to_bytes(self) -> bytes:
        return msgspec.json.encode(self, order="sorted")

    @classmethod
    def parse(cls, body: bytes) -> "Statement":
        """The statement, or SubmissionInvalid; `to_bytes` gives back exactly `body`."""
        try:
            statement = msgspec.json.decode(body, type=cls)
        except (msgspec.MsgspecError, UnicodeDecodeError):  # the second for text that is not UTF-8
            raise SubmissionInvalid("the submission statement has another shape") from None
        if statement.to_bytes() != body:
            raise SubmissionInvalid("the submission statement is not in canonical form")
        return statement

    def verify(self, public: bytes) -> None:
        """Checks the signature under `public`, the key that `signed_by` points to; SubmissionInvalid."""
        try:
            root = bytes.fromhex(self.root)
        except ValueError:
            raise SubmissionInvalid("the submission statement's root is not hexadecimal") from None
        verify(self.signature, public=public, client_id=self.issuer, count=self.count, root=root, now=self.received_at)


def parse_nonce(text: str) -> bytes:
    """The 32 bytes of an X-Submission-Nonce header; SubmissionInvalid."""
    try:
        nonce = from_base64url(text)
    except ValueError:
        nonce = b""
    if len(nonce) != NONCE_BYTES:
        raise SubmissionInvalid("X-Submission-Nonce is not 32 bytes in base64url")
    return nonce


def to_base64url(body: bytes) -> str:
    """RFC 4648, 5, without padding."""
    return base64.urlsafe_b64encode(body).rstrip(b"=").decode()


def from_base64url(text: str) -> bytes:
    """The one decoding; ValueError for padding, other alphabets and stray bits, which RFC 7515 does not know."""
    try:
        body = base64.urlsafe_b64decode(text.encode("ascii") + b"=" * (-len(text) % 4))
    except (binascii.Error, UnicodeEncodeError):
        raise ValueError("not base64url") from None
    if to_base64url(body) != text:
        raise ValueError("not base64url")
    return body
