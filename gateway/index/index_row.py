"""What the index says of a record, as one row: sealed with the record, so that an audit can hold the database against it.

`index_row` makes the sealed bytes from the values that the tables keep, `parse_index_row` reads them back, and `stored_index_rows` takes
the same values from the tables again.
"""

from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

import cbor2
from sqlalchemy import Connection, select

from gateway.index import schema as t
from gateway.index.rows import KeyedQuery

FORMAT = 2
FIRST = 1  # told nothing of further patients


class IndexRow(NamedTuple):
    """What the index says of one version of a resource, its place apart. Times in milliseconds (`updated_ms`) and seconds."""

    format: int
    row: int
    type: int
    version: int
    deleted: int
    issuer: int
    updated_ms: int
    start: int | None
    end: int | None
    content: bytes  # 8-byte token
    codes: tuple[int, ...]  # ascending
    identifiers: tuple[bytes, ...]  # ascending
    also_of: tuple[bytes, ...] | None = ()  # key ids of the archives of further patients whom it is about, ascending; None: format 1


class NotAnIndexRow(Exception):
    """The bytes are not the one encoding of an index row."""


def index_row(row: IndexRow) -> bytes:
    """The bytes that are sealed. Integers, bytes, null and arrays have one shortest form in CBOR, so no second encoding of `row` exists."""
    return cbor2.dumps(row if row.also_of is not None else row[:-1])


def parse_index_row(body: bytes) -> IndexRow:
    """Raises NotAnIndexRow."""
    try:
        found = cbor2.loads(body)
        also_of = tuple(found[12]) if found[0] == FORMAT else None
        parsed = IndexRow._make((*found[:10], tuple(found[10]), tuple(found[11]), also_of))
    except (cbor2.CBORDecodeError, TypeError, LookupError, ValueError):
        raise NotAnIndexRow from None
    if parsed.format not in (FIRST, FORMAT) or index_row(parsed) != body:
        raise NotAnIndexRow
    return parsed


_CODES = select(t.code.c.token, t.code.c.resource)
_IDENTIFIERS = KeyedQuery(select(t.identifier.c.token, t.identifier.c.resource), t.identifier.c.resource)
SHARED = select(t.co_archive.c.resource, t.co_archive.c.version, t.archive.c.key_id).outerjoin(
    t.archive, t.archive.c.row == t.co_archive.c.archive
)
_SHARED = KeyedQuery(SHARED, t.co_archive.c.resource)
_INDEXED = KeyedQuery(select(*(t.resource.c[name] for name in IndexRow._fields[1:-3])), t.resource.c.row)


def stored_index_rows(connection: Connection, archive: int, rows: Sequence[int]) -> dict[int, IndexRow]:
    """The index rows of the current versions of `rows`, all of one archive, as the tables hold them: what sealed ones are compared with."""
    codes: dict[int, list[int]] = defaultdict(list)
    for coded in connection.execute(_CODES.where(t.code.c.archive == archive)):
        codes[coded.resource].append(coded.token)
    identifiers: dict[int, list[bytes]] = defaultdict(list)
    for found in _IDENTIFIERS.among(connection, rows):
        identifiers[found.resource].append(found.token)
    also_of: dict[tuple[int, int], list[bytes]] = defaultdict(list)
    for shared in _SHARED.among(connection, rows):
        also_of[shared.resource, shared.version].append(shared.key_id)
    return {
        found.row: IndexRow._make(
            (
                FORMAT,
                *found,
                *(tuple(sorted(told)) for told in (codes[found.row], identifiers[found.row], also_of[found.row, found.version])),
            )
        )
        for found in _INDEXED.among(connection, rows)
    }
