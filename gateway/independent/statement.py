"""The submission statement and the signature in it (docs/design/receipt.md; JWS: RFC 7515, EdDSA: RFC 8037)."""

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Any, NamedTuple

from gateway.independent import json_text, signatures
from gateway.independent.faults import Invalid
from gateway.independent.genesis import Party

WINDOW_SECONDS = 600
_FIELDS = {"count", "format", "issuer", "media_type", "received_at", "root", "signature", "signed_by"}
_HASH = re.compile(r"[0-9a-f]{64}", re.ASCII)
_BASE64URL = re.compile(r"[A-Za-z0-9_-]*", re.ASCII)


class Statement(NamedTuple):
    issuer: str  # client id
    signed_by: str  # "issuer" or "gateway"
    received_at: int  # seconds since the epoch
    entries: int
    root: str
    signature: str


def parse(data: bytes) -> Statement:
    """Raises Invalid unless `data` is a statement in canonical JSON."""
    try:
        found = json_text.load(data)
    except ValueError as error:
        raise Invalid(f"statement.bytes is not JSON: {error}") from error
    if not isinstance(found, dict) or set(found) != _FIELDS or json_text.canonical(found) != data:
        raise Invalid("statement.bytes does not have exactly the fields of a statement, in canonical JSON")
    if found["format"] != "fhir-anchor submission 1" or found["signed_by"] not in ("issuer", "gateway"):
        raise Invalid("statement.bytes has an unknown format or signer")
    if not all(isinstance(found[name], str) for name in ("issuer", "media_type", "root", "signature")):
        raise Invalid("statement.bytes has a field of another kind")
    if not all(_is_number(found[name]) and found[name] for name in ("count", "received_at")) or not _HASH.fullmatch(found["root"]):
        raise Invalid("statement.bytes has no count, time or root of a submission")
    return Statement(found["issuer"], found["signed_by"], found["received_at"], found["count"], found["root"], found["signature"])


def check_signature(statement: Statement, party: Party) -> None:
    """Raises Invalid unless the JWS is by the key of `party` that `signed_by` calls for, over this count and root."""
    key = party.signing_key if statement.signed_by == "issuer" else party.attestation_key
    if key is None:
        raise Invalid(f"the issuer has no key to sign as {statement.signed_by} with")
    signed, _, signature = statement.signature.rpartition(".")
    head, _, payload = signed.partition(".")
    what = "the signature of the submission"
    if _part(head) != {"alg": "EdDSA", "kid": statement.issuer}:
        raise Invalid(f"{what}: its header is not that of the issuer")
    claims = _part(payload)
    if not isinstance(claims, dict) or set(claims) != {"iss", "iat", "count", "root"} or not _is_number(claims["iat"]):
        raise Invalid(f"{what}: its payload does not have exactly iss, iat, count and root")
    if type(claims["count"]) is not int or (claims["iss"], claims["count"], claims["root"]) != (
        statement.issuer,
        statement.entries,
        statement.root,
    ):
        raise Invalid(f"{what} is over another issuer, count or root")
    if abs(claims["iat"] - statement.received_at) > WINDOW_SECONDS:
        raise Invalid(f"{what} was made more than 10 minutes from when the submission is said to have come")
    signatures.check(key, signed.encode(), from_base64url(signature, what), what)


def _is_number(value: object) -> bool:
    return type(value) is int and 0 <= value < 1 << 53


def _part(text: str) -> Any:
    try:
        return json_text.load(from_base64url(text, "the signature of the submission"))
    except ValueError as error:
        raise Invalid("the signature of the submission holds no JSON") from error


def from_base64url(text: object, what: str) -> bytes:
    """Without padding, unused bits zero (RFC 4648, 3.5 and 5). Raises Invalid."""
    if not isinstance(text, str) or not _BASE64URL.fullmatch(text) or len(text) % 4 == 1:
        raise Invalid(f"{what} is not base64url without padding")
    raw = urlsafe_b64decode(text + "=" * (-len(text) % 4))
    if urlsafe_b64encode(raw).decode().rstrip("=") != text:
        raise Invalid(f"{what} is base64url whose unused bits are not zero")
    return raw
