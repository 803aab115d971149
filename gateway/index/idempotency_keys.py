"""The keys by which clients name their requests (header Idempotency-Key), and what each wrote; a key is kept for two days.

Written in the unit that writes what the request did, so that of two with one key only one can do it.
"""

import hashlib
from typing import NamedTuple

from sqlalchemy import Connection, bindparam, delete, select

from gateway.index import schema as t
from gateway.index.rows import Statement, insert_rows

LIFETIME = 2 * 24 * 3600  # seconds


class NamedRequest(NamedTuple):
    """A key as it is stored, and the SHA-256 of the request that came with it."""

    key: bytes
    request: bytes


def name_request(key: str, request: bytes) -> NamedRequest:
    """`request`: all that makes one request another. The key itself is not stored: senders may put anything into it."""
    return NamedRequest(hashlib.sha256(key.encode()).digest()[:16], hashlib.sha256(request).digest())


class Remembered(NamedTuple):
    """What came with a key before. `written` as in gateway.index.submissions."""

    request: bytes
    written: bytes


_KEPT = Statement(
    select(t.idempotency_key.c.request, t.idempotency_key.c.written).where(
        t.idempotency_key.c.party == bindparam("party"),
        t.idempotency_key.c.key == bindparam("key"),
        t.idempotency_key.c.expires_at > bindparam("now"),
    )
)


def find(connection: Connection, party: int, key: bytes, now: int) -> Remembered | None:
    """What the party of that row sent with this key, if that is not too long ago."""
    row = _KEPT.first(connection, party=party, key=key, now=now)
    return None if row is None else Remembered(*row)


def write(connection: Connection, party: int, named: NamedRequest, written: bytes, now: int, instead_of: Remembered | None) -> None:
    """Remember a request in place of what was found of it, and forget those that are too old. LostRace if the key was taken meanwhile."""
    keys = t.idempotency_key
    connection.execute(delete(keys).where(keys.c.expires_at <= now))
    if instead_of is not None:
        connection.execute(delete(keys).where(keys.c.party == party, keys.c.key == named.key, keys.c.written == instead_of.written))
    insert_rows(connection, keys, [(party, named.key, named.request, written, now + LIFETIME)])
