"""By what a row can be found before its id is known: its names at its source, and its identifiers. All blinded."""

from collections.abc import Collection

from sqlalchemy import Connection, select

from gateway.index import schema as t
from gateway.index.rows import select_among

_SOURCES = select(t.source_map.c.token, t.source_map.c.type, t.source_map.c.resource)
_IDENTIFIED = select(t.identifier.c.token, t.identifier.c.resource)


def rows_by_source(connection: Connection, tokens: Collection[bytes]) -> dict[bytes, dict[int, int]]:
    """For each source token that is known: resource type number -> row."""
    found: dict[bytes, dict[int, int]] = {}
    for known in select_among(connection, _SOURCES, t.source_map.c.token, tokens):
        found.setdefault(known.token, {})[known.type] = known.resource
    return found


def rows_by_identifier(connection: Connection, tokens: Collection[bytes]) -> dict[bytes, set[int]]:
    """For each identifier token that is known: the rows that have it, whoever issued them."""
    found: dict[bytes, set[int]] = {}
    for known in select_among(connection, _IDENTIFIED, t.identifier.c.token, tokens):
        found.setdefault(known.token, set()).add(known.resource)
    return found
