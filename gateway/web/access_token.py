"""Access tokens: JWTs (RFC 7519) that this gateway gives to itself, by a key that only its workers have. Five minutes, no refresh.

They are checked without the database except for one thing: whether the party is still active, so that suspending one acts at once.
"""

from dataclasses import dataclass
from functools import lru_cache

from joserfc import jwk, jwt
from joserfc.errors import JoseError

from gateway.web.scopes import Scope, parse_scopes

LIFETIME = 300  # seconds
_ALGORITHM = "HS256"
_TYPE = "at+jwt"  # RFC 9068, 2.1: no other JWT of ours can be taken for one


class TokenRefused(Exception):
    """The token is not ours, altered, or for another gateway."""


class TokenExpired(TokenRefused):
    """It was ours and is too old."""


@dataclass(frozen=True, slots=True)
class AccessToken:
    """What a token says. `expires_at` in seconds since the epoch."""

    client_id: str
    scopes: tuple[Scope, ...]
    jti: str
    expires_at: int


def issue_token(key: bytes, *, audience: str, client_id: str, scopes: tuple[Scope, ...], jti: str, now: int) -> str:
    """A token for the FHIR base `audience`. `key`: 32 bytes, secret to this gateway."""
    claims = {
        "iss": audience,
        "aud": audience,
        "sub": client_id,
        "scope": " ".join(map(str, scopes)),
        "jti": jti,
        "iat": now,
        "exp": now + LIFETIME,
    }
    return jwt.encode({"alg": _ALGORITHM, "typ": _TYPE}, claims, jwk.OctKey.import_key(key))


def read_token(key: bytes, token: str, *, audience: str, now: int) -> AccessToken:
    """What `token` says, once its signature, type, audience and age hold. Raises TokenRefused, TokenExpired."""
    found = _read(key, token, audience)
    if found.expires_at <= now:
        raise TokenExpired("the token has expired; ask for a new one")
    return found


@lru_cache(maxsize=1024)
def _read(key: bytes, token: str, audience: str) -> AccessToken:
    """The same but for its age: a client sends one token many times, and it says the same each time. What is refused is not kept."""
    try:
        read = jwt.decode(token, jwk.OctKey.import_key(key), algorithms=[_ALGORITHM])
        claims = read.claims
        if read.header.get("typ") != _TYPE or claims["iss"] != audience or claims["aud"] != audience:
            raise TokenRefused("the token is not for this gateway")
        return AccessToken(str(claims["sub"]), parse_scopes(str(claims["scope"])), str(claims["jti"]), int(claims["exp"]))
    except (JoseError, ValueError, KeyError, TypeError) as error:
        raise TokenRefused("the token is not one of this gateway") from error
