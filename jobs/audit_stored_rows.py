"""What the database says of the records of some bundles, read in bulk and in one snapshot: a few statements, however many the records.

Rows are asked for by the bundle that they point to, so that those come up, too, which point there and should not.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import chain, groupby
from typing import Any, NamedTuple

from sqlalchemy import BigInteger, Column, Connection, Dialect, Select, Table, bindparam, literal_column, select

from gateway.index import schema as t
from gateway.index.index_row import SHARED, IndexRow
from gateway.index.rows import KeyedQuery, driver_rows

_VERSIONED = IndexRow._fields[3:-3]  # what `resource` and `history` both have of an index row
_DENSE = 10  # neighbours from which on a range is read at once, instead of row by row


class StoredVersion(NamedTuple):
    """One version as the tables hold it. From `row` to `content` it is an index row without its format and tokens."""

    bundle: int
    leaf: int | None
    archive: int | None
    current: int  # 1 in `resource`, 0 in `history`
    row: int
    type: int | None  # None: the history of what is not there
    version: int
    deleted: int
    issuer: int
    updated_ms: int
    start: int | None
    end: int | None
    content: bytes

    @property
    def name(self) -> tuple[int, int]:
        return self.row, self.version


# The values of a StoredVersion as the driver gave them: to name the fields of each takes longer than to read it.
Stored = tuple[Any, ...]


@dataclass(slots=True)
class StoredRows:
    """By bundle and leaf, the version that points there; `doubled` are those that found the place taken, or name none. Tokens ascend."""

    versions: dict[int, dict[int, Stored]] = field(default_factory=dict)
    doubled: dict[int, list[Stored]] = field(default_factory=lambda: defaultdict(list))
    codes: dict[int, list[int]] = field(default_factory=dict)  # of current versions, by row
    identifiers: dict[int, list[bytes]] = field(default_factory=dict)
    also_of: dict[tuple[int, int], list[bytes]] = field(default_factory=dict)  # of any, by row and version: key ids

    def add(self, rows: Iterable[Stored]) -> None:
        """Take those that point to one of the bundles in `versions`."""
        for row in rows:
            leaves, leaf = self.versions.get(row[0]), row[1]
            if leaves is not None and (leaf is None or leaves.setdefault(leaf, row) is not row):
                self.doubled[row[0]].append(row)


def stored_rows(connection: Connection, bundles: Iterable[int]) -> StoredRows:
    """All that points to `bundles` (rows), with the tokens of what is current. `connection` is one snapshot."""
    found = StoredRows({bundle: {} for bundle in bundles})
    if found.versions:
        span = (min(found.versions), max(found.versions))
        for query in (_CURRENT, _EARLIER):
            found.add(_fetched(connection, query, span))
    _read_tokens(connection, [row for leaves in found.versions.values() for row in leaves.values()], found)
    return found


def stored_versions(connection: Connection, rows: Iterable[int]) -> dict[tuple[int, int], StoredVersion]:
    """Every version of these resources, by row and version, wherever it points; the current one where the history doubles it."""
    keys = set(rows)
    found = [StoredVersion._make(row) for query in (_EARLIER_BY_ROW, _CURRENT_BY_ROW) for row in query.tuples_among(connection, keys)]
    return {version.name: version for version in found}


def tokens_of(connection: Connection, versions: Collection[StoredVersion]) -> StoredRows:
    """The codes and identifiers of those versions that are current, and of all of them the further patients."""
    found = StoredRows()
    _read_tokens(connection, versions, found)
    return found


def _read_tokens(connection: Connection, versions: Collection[Stored], found: StoredRows) -> None:
    """Whatever else than a row may stand for an archive, it has no tokens."""
    current = {row: archive for _, _, archive, is_current, row, *_ in versions if is_current and type(archive) is int}
    _read_codes(connection, current, found)
    _read_identifiers(connection, sorted(current), found)
    _read_further_patients(connection, sorted({stored[4] for stored in versions}), found)


def _columns(table: Table, *, current: int) -> list[Any]:
    place = [table.c.bundle, table.c.leaf, table.c.archive]
    return [*place, literal_column(str(current)).label("current"), table.c.row, t.resource.c.type, *(table.c[name] for name in _VERSIONED)]


_CURRENT_QUERY = select(*_columns(t.resource, current=1)).where(t.resource.c.version > literal_column("0"))
_EARLIER_QUERY = select(*_columns(t.history, current=0)).select_from(t.history.outerjoin(t.resource, t.resource.c.row == t.history.c.row))
_CURRENT_BY_ROW = KeyedQuery(_CURRENT_QUERY, t.resource.c.row)
_EARLIER_BY_ROW = KeyedQuery(_EARLIER_QUERY, t.history.c.row)


def _within(query: Select[Any], column: Column[Any]) -> Select[Any]:
    return query.where(column.between(bindparam("low", type_=BigInteger), bindparam("high", type_=BigInteger)))


_CURRENT = _within(_CURRENT_QUERY, t.resource.c.bundle)
_EARLIER = _within(_EARLIER_QUERY, t.history.c.bundle)
_CODED = select(t.code.c.archive, t.code.c.token, t.code.c.resource).order_by(t.code.c.archive, t.code.c.token)
_CODES = KeyedQuery(_CODED, t.code.c.archive)
_CODES_WITHIN = _within(_CODED, t.code.c.archive)
_IDENTIFIED = select(t.identifier.c.token, t.identifier.c.resource).order_by(t.identifier.c.resource, t.identifier.c.token)
_IDENTIFIERS = KeyedQuery(_IDENTIFIED, t.identifier.c.resource)
_IDENTIFIERS_WITHIN = _within(_IDENTIFIED, t.identifier.c.resource)
_FURTHER = SHARED.order_by(t.co_archive.c.resource, t.archive.c.key_id)
_FURTHER_PATIENTS = KeyedQuery(_FURTHER, t.co_archive.c.resource)
_FURTHER_PATIENTS_WITHIN = _within(_FURTHER, t.co_archive.c.resource)


@cache
def _text(query: Select[Any], dialect: Dialect) -> str:
    """As `gateway.index.rows` does it: built once, so that rows come as the driver gives them."""
    return str(query.compile(dialect=dialect))


def _fetched(connection: Connection, query: Select[Any], span: tuple[int, int]) -> Iterable[Stored]:
    """The rows of `_within`. Unavailable if they cannot be read."""
    return driver_rows(connection, _text(query, connection.dialect), span)


def _read_codes(connection: Connection, current: dict[int, int], found: StoredRows) -> None:
    codes: dict[int, list[int]] = defaultdict(list)
    for row in _among(connection, _CODES_WITHIN, _CODES, sorted(set(current.values()))):
        if current.get(row[2]) == row[0]:
            codes[row[2]].append(row[1])
    found.codes = dict(codes)


def _read_identifiers(connection: Connection, rows: Sequence[int], found: StoredRows) -> None:
    identifiers: dict[int, list[bytes]] = defaultdict(list)
    for row in _among(connection, _IDENTIFIERS_WITHIN, _IDENTIFIERS, rows):
        identifiers[row[1]].append(row[0])
    found.identifiers = dict(identifiers)


def _read_further_patients(connection: Connection, rows: Sequence[int], found: StoredRows) -> None:
    for row, version, key_id in _among(connection, _FURTHER_PATIENTS_WITHIN, _FURTHER_PATIENTS, rows):
        found.also_of.setdefault((row, version), []).append(key_id)


def _among(connection: Connection, within: Select[Any], keyed: KeyedQuery, keys: Sequence[int]) -> Iterator[Sequence[Any]]:
    """The rows for `keys` (ascending): a range where many are neighbours, else key by key."""
    dense: list[tuple[int, int]] = []
    single: list[int] = []
    for low, high in _runs(keys):
        if high - low < _DENSE:
            single += range(low, high + 1)
        else:
            dense.append((low, high))
    ranges = chain.from_iterable(_fetched(connection, within, span) for span in dense)
    return chain(ranges, keyed.tuples_among(connection, single))


def _runs(keys: Sequence[int]) -> Iterator[tuple[int, int]]:
    """First and last of each run of neighbours in `keys`, which ascend."""
    for _, run in groupby(enumerate(keys), key=lambda item: item[1] - item[0]):
        members = [key for _, key in run]
        yield members[0], members[-1]
