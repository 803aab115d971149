"""CRED.json: what a party needs to sign in and to sign submissions. Two private keys, so the file is mode 0600 from its first byte.

    {"base_url", "token_url", "client_id", "scope", "private_jwk", "signing_jwk"}

`private_jwk` (P-384, ES384) signs the party in, SMART Backend Services; `signing_jwk` (Ed25519) signs what it submits.
Fields that are not ours are kept when a file is read.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from joserfc.errors import JoseError
from joserfc.jwk import ECKey, OKPKey

INSTITUTION_SCOPE = "system/*.cruds"
AGENCY_SCOPE = "system/*.rs"
PATIENT_SCOPE = "patient/*.rs patient/Consent.c"
TOKEN_PATH = "/auth/token"  # noqa: S105 - an address, not a secret

_TEXTS = ("base_url", "token_url", "client_id")
_JWKS: dict[str, type[ECKey] | type[OKPKey]] = {"private_jwk": ECKey, "signing_jwk": OKPKey}


class BadCredentials(Exception):
    """The file is missing, or no CRED.json; the message names it and what is wrong, never a key."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """One party's. The keys are JWKs with their private parts: keep them out of logs, `repr` leaves them out."""

    base_url: str  # without a trailing slash; FHIR is at base_url + "/fhir"
    token_url: str
    client_id: str
    private_jwk: Mapping[str, Any] = field(repr=False)
    signing_jwk: Mapping[str, Any] = field(repr=False)
    scope: str = INSTITUTION_SCOPE
    more: Mapping[str, Any] = field(default_factory=dict, repr=False)

    def at(self, url: str | None) -> "Credentials":
        """The same party at another address: the base and the host of the token URL are replaced. None changes nothing."""
        if url is None:
            return self
        base = checked_url(url)
        path = urlsplit(self.token_url).path.removeprefix(urlsplit(self.base_url).path)
        return replace(self, base_url=base, token_url=base + path)


def checked_url(url: str) -> str:
    """`url` without its trailing slash, or BadCredentials where it is no http address."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.netloc or parts.query or parts.fragment:
        raise BadCredentials(f"{url!r} is no address of a gateway, such as https://fhir.example.org")
    return url.rstrip("/")


def new_private_jwk() -> dict[str, Any]:
    """A P-384 key to sign in with (ES384), `kid` its RFC 7638 thumbprint."""
    key = ECKey.generate_key("P-384", parameters={"use": "sig", "alg": "ES384"}, private=True, auto_kid=True)
    return dict(key.as_dict(private=True))


def new_signing_jwk() -> dict[str, Any]:
    """An Ed25519 key to sign submissions with (RFC 8037), `kid` its RFC 7638 thumbprint."""
    return dict(
        OKPKey.generate_key("Ed25519", parameters={"use": "sig", "alg": "EdDSA"}, private=True, auto_kid=True).as_dict(private=True)
    )


def new_credentials(base_url: str, client_id: str, scope: str = INSTITUTION_SCOPE) -> Credentials:
    """Fresh keys for `client_id` at the gateway whose address is `base_url`."""
    base = checked_url(base_url)
    return Credentials(base, base + TOKEN_PATH, client_id, new_private_jwk(), new_signing_jwk(), scope)


def public_jwk(jwk: Mapping[str, Any]) -> dict[str, Any]:
    """The half of an EC or OKP key that is given away."""
    return {name: value for name, value in jwk.items() if name != "d"}


def read(path: Path) -> Credentials:
    """Raises BadCredentials."""
    try:
        found = json.loads(path.read_bytes())
    except OSError as error:
        raise BadCredentials(f"{path}: {error.strerror or 'cannot be read'}") from error
    except (ValueError, RecursionError) as error:
        raise BadCredentials(f"{path} is not JSON") from error
    if not isinstance(found, dict):
        raise BadCredentials(f"{path} holds no credentials")
    return _parsed(found, path)


def _parsed(found: dict[str, Any], path: Path) -> Credentials:
    for name in (*_TEXTS, *_JWKS):
        if not isinstance(found.get(name), dict if name in _JWKS else str):
            raise BadCredentials(f"{path} holds no credentials of a party: {name} is missing or of another kind")
    for name, kind in _JWKS.items():
        try:
            private = kind.import_key(dict(found[name])).is_private
        except (JoseError, ValueError, TypeError, KeyError) as error:
            raise BadCredentials(f"{path}: {name} is no key of its kind") from error
        if not private:
            raise BadCredentials(f"{path}: {name} lacks its private part")
    ours = {name: found[name] for name in (*_TEXTS, *_JWKS)}
    ours["base_url"] = checked_url(ours["base_url"])
    scope = found.get("scope", INSTITUTION_SCOPE)
    more = {name: value for name, value in found.items() if name not in {*ours, "scope"}}
    return Credentials(**ours, scope=scope if isinstance(scope, str) else INSTITUTION_SCOPE, more=more)


def write(path: Path, credentials: Credentials) -> None:
    """Durable, mode 0600, all or nothing: a reader sees the whole file or none."""
    body = {
        "base_url": credentials.base_url,
        "token_url": credentials.token_url,
        "client_id": credentials.client_id,
        "scope": credentials.scope,
        "private_jwk": dict(credentials.private_jwk),
        "signing_jwk": dict(credentials.signing_jwk),
        **credentials.more,
    }
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as out:
        json.dump(body, out, indent=2)
        out.write("\n")
        out.flush()
        os.fsync(out.fileno())
    part.replace(path)
