"""SMART Backend Services, the client's side: a signed assertion for a short-lived token (RFC 7523, private_key_jwt, ES384)."""

from dataclasses import dataclass

from joserfc import jwt
from joserfc.jwk import ECKey

from gateway.client.credentials import Credentials

ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
ASSERTION_SECONDS = 240  # SMART allows five minutes at most; the rest is for clocks that differ
RENEW_BEFORE_SECONDS = 30  # a request that starts with a token must not see it expire


@dataclass(frozen=True, slots=True)
class Token:
    """A bearer token and the instant (seconds since the epoch, own clock) from which on a new one is fetched."""

    value: str
    renew_at: float


def assertion(credentials: Credentials, now: int, jti: str) -> str:
    """The compact JWT that proves who asks. `jti` must never repeat: the gateway takes each once."""
    header = {"alg": "ES384", "typ": "JWT", "kid": credentials.private_jwk.get("kid")}
    claims = {
        "iss": credentials.client_id,
        "sub": credentials.client_id,
        "aud": credentials.token_url,
        "iat": now,
        "exp": now + ASSERTION_SECONDS,
        "jti": jti,
    }
    return jwt.encode(header, claims, ECKey.import_key(dict(credentials.private_jwk)), algorithms=["ES384"])


def token_form(credentials: Credentials, now: int, jti: str) -> dict[str, str]:
    """Form fields of the token request."""
    return {
        "grant_type": "client_credentials",
        "scope": credentials.scope,
        "client_assertion_type": ASSERTION_TYPE,
        "client_assertion": assertion(credentials, now, jti),
    }


def token_from(answer: object, now: float) -> Token | None:
    """The token in a token answer (RFC 6749, 5.1), or None where there is none."""
    if not isinstance(answer, dict) or not isinstance(answer.get("access_token"), str):
        return None
    lifetime = answer.get("expires_in")
    seconds = lifetime if isinstance(lifetime, int) and not isinstance(lifetime, bool) else 0
    return Token(answer["access_token"], now + max(seconds - RENEW_BEFORE_SECONDS, seconds / 2))
