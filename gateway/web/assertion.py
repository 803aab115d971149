"""The client's assertion of SMART Backend Services (https://hl7.org/fhir/smart-app-launch/client-confidential-asymmetric.html).

A JWT that the client signed with a key it registered: `iss` = `sub` = its client id, `aud` = our token address, `exp` at most five
minutes ahead, a `jti` that is used once. Library defaults are wider than that at every point, so each is checked here.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
from joserfc import jwk, jws
from joserfc.errors import JoseError

ALGORITHMS = ("ES384", "RS384")
MAX_LIFETIME = 300  # seconds
CLOCK_SKEW = 30  # seconds a client's clock may be ahead
UNKNOWN_KEY = "kid names no registered key"
_MAX_ASSERTION = 16 * 1024  # characters
_MAX_JTI = 255
_MIN_RSA_BITS = 2048


class AssertionRefused(Exception):
    """The assertion does not hold. The text is safe to send back: it names a claim, never a value."""


@dataclass(frozen=True, slots=True)
class Claims:
    """What a valid assertion says. `expires_at` in seconds since the epoch."""

    client_id: str
    jti: str
    expires_at: int


def claimed_client_id(assertion: str) -> str:
    """Who the assertion says it is from, not verified: good for finding the keys to verify it with, for nothing else."""
    if len(assertion) > _MAX_ASSERTION:
        raise AssertionRefused("the assertion is too long")
    try:
        payload = msgspec.json.decode(jws.extract_compact(assertion.encode()).payload)
    except (JoseError, ValueError, msgspec.DecodeError, RecursionError) as error:
        raise AssertionRefused("the assertion is not a signed JWT") from error
    issuer = payload.get("iss") if isinstance(payload, dict) else None
    if not isinstance(issuer, str) or not issuer:
        raise AssertionRefused("iss must be the client id")
    return issuer


def verify_assertion(assertion: str, *, client_id: str, jwks: Mapping[str, Any], token_url: str, now: int) -> Claims:
    """The claims of `assertion` if a key of `jwks` signed it and every claim holds at `now` (seconds). Raises AssertionRefused."""
    try:
        header = jws.extract_compact(assertion.encode()).headers()
        key = _key(jwks, header)
        payload = msgspec.json.decode(jws.deserialize_compact(assertion, key, algorithms=list(ALGORITHMS)).payload)
    except (JoseError, ValueError, msgspec.DecodeError, RecursionError) as error:
        raise AssertionRefused("the signature does not hold") from error
    return _checked(payload, client_id, token_url, now)


def _key(jwks: Mapping[str, Any], header: Mapping[str, Any]) -> jwk.ECKey | jwk.RSAKey:
    """The registered key that `kid` names, public and of the kind that `alg` needs. `jku` and `x5c` in the header are not looked at."""
    if header.get("typ", "JWT") not in ("JWT", "jwt"):
        raise AssertionRefused("typ must be JWT")
    if header.get("alg") not in ALGORITHMS:
        raise AssertionRefused(f"alg must be {' or '.join(ALGORITHMS)}")
    named = [k for k in jwks.get("keys", []) if k.get("kid") == header.get("kid") and header.get("kid")]
    if len(named) != 1:
        raise AssertionRefused(UNKNOWN_KEY)
    key = jwk.import_key(named[0])
    if header["alg"] == "ES384" and isinstance(key, jwk.ECKey) and key.curve_name == "P-384":
        return key
    if header["alg"] == "RS384" and isinstance(key, jwk.RSAKey) and key.raw_value.key_size >= _MIN_RSA_BITS:
        return key
    raise AssertionRefused("the key that kid names is not one for this alg")


def _checked(payload: object, client_id: str, token_url: str, now: int) -> Claims:
    if not isinstance(payload, dict):
        raise AssertionRefused("the assertion holds no claims")
    if payload.get("iss") != client_id or payload.get("sub") != client_id:
        raise AssertionRefused("iss and sub must both be the client id")
    if payload.get("aud") not in (token_url, [token_url]):
        raise AssertionRefused("aud must be the address of this token endpoint")
    expires_at = _time(payload, "exp")
    if expires_at is None or expires_at <= now:
        raise AssertionRefused("exp is missing or past")
    if expires_at > now + MAX_LIFETIME + CLOCK_SKEW:
        raise AssertionRefused(f"exp may be at most {MAX_LIFETIME} seconds ahead")
    for claim in ("iat", "nbf"):
        if (_time(payload, claim) or 0) > now + CLOCK_SKEW:
            raise AssertionRefused(f"{claim} is in the future")
    jti = payload.get("jti")
    if not isinstance(jti, str) or not 0 < len(jti) <= _MAX_JTI:
        raise AssertionRefused(f"jti must be text of 1 to {_MAX_JTI} characters")
    return Claims(client_id, jti, expires_at)


def _time(payload: Mapping[str, Any], claim: str) -> int | None:
    value = payload.get(claim)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1 << 40:
        raise AssertionRefused(f"{claim} must be seconds since the epoch")
    return int(value)
