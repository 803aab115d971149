"""By what a row can be found before its id is known: its names at its source, and its identifiers. All blinded."""

from collections.abc import Collection

from sqlalchemy import Connection, bindparam, select

from gateway.index import schema as t
from gateway.index.rows import KeyedQuery

_SOURCES = KeyedQuery(select(t.source_map.c.token, t.source_map.c.type, t.source_map.c.resource), t.source_map.c.token)
_IDENTIFIED = KeyedQuery(select(t.identifier.c.token, t.identifier.c.resource), t.identifier.c.token)
_IDENTIFIED_BY = KeyedQuery(
    select(t.identifier.c.token, t.identifier.c.resource)
    .join(t.resource, t.resource.c.row == t.identifier.c.resource)
    .where(t.resource.c.issuer == bindparam("issuer")),
    t.identifier.c.token,
)


def rows_by_source(connection: Connection, tokens: Collection[bytes]) -> dict[bytes, dict[int, int]]:
    """For each source token that is known: resource type number -> row."""
    found: dict[bytes, dict[int, int]] = {}
    for known in _SOURCES.among(connection, tokens):
        found.setdefault(known.token, {})[known.type] = known.resource
    return found


def rows_by_identifier(connection: Connection, tokens: Collection[bytes]) -> dict[bytes, set[int]]:
    """For each identifier token that is known: the rows that have it, whoever issued them."""
    found: dict[bytes, set[int]] = {}
    for known in _IDENTIFIED.among(connection, tokens):
        found.setdefault(known.token, set()).add(known.resource)
    return found


def own_rows_by_identifier(connection: Connection, issuer: int, tokens: Collection[bytes]) -> dict[bytes, set[int]]:
    """The same, and of the rows only those that the party of row `issuer` issued: others' are not read into memory, however many."""
    found: dict[bytes, set[int]] = {}
    for token, row in _IDENTIFIED_BY.tuples_among(connection, tokens, issuer=issuer):
        found.setdefault(token, set()).add(row)
    return found


def first_rows_by_identifier(connection: Connection, token: bytes, limit: int) -> list[int]:
    """The same for one token, and of many rows only the first `limit`, ascending."""
    query = select(t.identifier.c.resource).where(t.identifier.c.token == token).order_by(t.identifier.c.resource)
    return list(connection.scalars(query.limit(limit)))
