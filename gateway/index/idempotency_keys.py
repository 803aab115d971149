"""The keys by which clients name their requests (header Idempotency-Key), and what each wrote; a key is kept for two days.

Written in the unit that writes what the request did, so that of two with one key only one can do it.
"""

import hashlib
from typing import NamedTuple

from sqlalchemy import Connection, delete, select

from gateway.index import schema as t
from gateway.index.rows import insert_rows

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


def find(connection: Connection, party: int, key: bytes, now: int) -> Remembered | None:
    """What the party of that row sent with this key, if that is not too long ago."""
    is_it = (t.idempotency_key.c.party == party, t.idempotency_key.c.key == key, t.idempotency_key.c.expires_at > now)
    row = connection.execute(select(t.idempotency_key.c.request, t.idempotency_key.c.written).where(*is_it)).one_or_none()
    return None if row is None else Remembered(*row)


def write(connection: Connection, party: int, named: NamedRequest, written: bytes, now: int, instead_of: Remembered | None) -> None:
    """Remember a request in place of what was found of it, and forget those that are too old. LostRace if the key was taken meanwhile."""
    keys = t.idempotency_key
    connection.execute(delete(keys).where(keys.c.expires_at <= now))
    if instead_of is not None:
        connection.execute(delete(keys).where(keys.c.party == party, keys.c.key == named.key, keys.c.written == instead_of.written))
    insert_rows(connection, keys, [(party, named.key, named.request, written, now + LIFETIME)])
