"""Where a next link goes on: sealed, so that it is opaque, holds for one party, and tells nothing of row numbers or of what was asked."""

from dataclasses import dataclass

import msgspec

from gateway.errors import Gone
from gateway.search.parse import Parameter, refused
from gateway.vault import primitives
from gateway.vault.primitives import Random, Unopened
from gateway.vault.submission import from_base64url, to_base64url

LIFETIME = 3600  # seconds for which a next link holds
_FORMAT = 1


class _Sealed(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    format: int
    target: str
    after: int
    expires_at: int
    parameters: list[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Cursor:
    """`target`: what was searched, a type or an operation; `after`: the row that the page before ended with."""

    target: str
    parameters: tuple[Parameter, ...]
    after: int


def seal_cursor(cursor: Cursor, *, key: bytes, client_id: str, now: int, random: Random) -> str:
    """base64url text. `key`: 32 bytes of the gateway's."""
    body = msgspec.json.encode(_Sealed(_FORMAT, cursor.target, cursor.after, now + LIFETIME, list(cursor.parameters)))
    return to_base64url(primitives.seal_item(key, _context(client_id), body, random))


def open_cursor(text: str, *, target: str, key: bytes, client_id: str, now: int) -> Cursor:
    """InvalidInput (400) for what is no cursor of this gateway, for this party and for `target`; Gone for one that is too old."""
    try:
        body = primitives.open_item(key, _context(client_id), from_base64url(text))
        found = msgspec.json.decode(body, type=_Sealed)
    except (Unopened, ValueError):
        raise refused("value", "this is no next link of yours: take it as it was given") from None
    if found.format != _FORMAT or found.target != target:
        raise refused("value", "this next link belongs to another search")
    if found.expires_at <= now:
        raise Gone("this next link is too old: search again", code="expired")
    return Cursor(found.target, tuple(found.parameters), found.after)


def _context(client_id: str) -> bytes:
    return primitives.SEARCH_CURSOR + b"/" + client_id.encode()
