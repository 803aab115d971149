"""Resources and their versions: in what state each is, and where each lies."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from sqlalchemy import Connection, FromClause, Select, Table, bindparam, join, select

from gateway.index import schema as t
from gateway.index.resource_types import NAME_OF, NUMBER_OF
from gateway.index.rows import KeyedQuery
from gateway.vault.container import container_name


@dataclass(frozen=True, slots=True)
class RecordLocation:
    """One version of a resource. The class follows from the leaf, in the bundle's own directory."""

    row: int
    type: str
    version: int
    deleted: bool
    issuer: int  # party row
    updated_ms: int
    archive: int
    container: int  # its row
    container_name: str
    container_digest: bytes
    bundle_ordinal: int  # which of the container's bundles
    bundle_offset: int
    bundle_length: int
    leaf: int
    also_of: frozenset[int] = frozenset()  # rows of the archives of further patients whom it is about


class ResourceState(NamedTuple):
    """The current row of a resource. Version 0: reserved, it has not come."""

    row: int
    type: int
    version: int
    deleted: int
    issuer: int
    archive: int | None
    updated_ms: int | None
    content: bytes | None


_STATES = KeyedQuery(select(*(t.resource.c[name] for name in ResourceState._fields)), t.resource.c.row)


def states(connection: Connection, rows: Collection[int]) -> dict[int, ResourceState]:
    """The current state of each of `rows` that exists, reserved ones included."""
    return {row.row: ResourceState._make(row) for row in _STATES.among(connection, rows)}


def find(connection: Connection, resource_type: str, row: int, version: int | None = None) -> RecordLocation | None:
    """The current version of resource `row`, or the one asked for; None if there is none of this type."""
    found = next(_CURRENT.among(connection, (row,)), None)
    if found is not None and version not in (None, found.version):
        found = next(_EARLIER.among(connection, (row,), the_version=version), None)
    return None if found is None or found.type != NUMBER_OF.get(resource_type) else _located(connection, [found])[0]


def current(connection: Connection, rows: Collection[int]) -> list[RecordLocation]:
    """The current versions of `rows`, those only reserved left out; ascending by row."""
    return sorted(_located(connection, list(_CURRENT.among(connection, rows))), key=lambda location: location.row)


def versions(connection: Connection, current: RecordLocation, before: int | None, limit: int) -> list[RecordLocation]:
    """The newest `limit` versions of the resource whose current one is given, `before` a version if there is one; newest first."""
    found = [current] if before is None else []
    below = min(before or current.version, current.version)
    older = _earlier().where(t.history.c.row == current.row, t.history.c.version < below).order_by(t.history.c.version.desc())
    return found + _located(connection, connection.execute(older.limit(limit - len(found))).all())


def also_archives(connection: Connection, rows: Collection[int]) -> dict[tuple[int, int], set[int]]:
    """By (row, version): the archives of further patients whom that version is about."""
    found: dict[tuple[int, int], set[int]] = {}
    for shared in _SHARED.among(connection, rows):
        found.setdefault((shared.resource, shared.version), set()).add(shared.archive)
    return found


def updated_ms(connection: Connection, row: int, version: int) -> int | None:
    """When an earlier version was written."""
    return connection.scalar(select(t.history.c.updated_ms).where(t.history.c.row == row, t.history.c.version == version))


def _current() -> Select[Any]:
    return _placed(t.resource, t.resource)


def _earlier() -> Select[Any]:
    return _placed(t.history, join(t.history, t.resource, t.history.c.row == t.resource.c.row))


def _placed(version: Table, origin: FromClause) -> Select[Any]:
    columns = [version.c[name] for name in ("row", "version", "deleted", "issuer", "updated_ms", "leaf")]
    place = [t.bundle.c[name] for name in ("archive", "container", "ordinal", "offset", "length")]
    joined = origin.join(t.bundle, t.bundle.c.row == version.c.bundle).join(t.container, t.container.c.row == t.bundle.c.container)
    return select(t.resource.c.type, *columns, *place, t.container.c.digest).select_from(joined)


_CURRENT = KeyedQuery(_current(), t.resource.c.row)
_SHARED = KeyedQuery(select(t.co_archive.c.resource, t.co_archive.c.version, t.co_archive.c.archive), t.co_archive.c.resource)
_EARLIER = KeyedQuery(_earlier().where(t.history.c.version == bindparam("the_version")), t.resource.c.row)


def _located(connection: Connection, found: Sequence[Any]) -> list[RecordLocation]:
    also = also_archives(connection, {row.row for row in found})
    return [_location(row, also.get((row.row, row.version), ())) for row in found]


def _location(found: Any, also_of: Iterable[int]) -> RecordLocation:
    return RecordLocation(
        row=found.row,
        type=NAME_OF[found.type],
        version=found.version,
        deleted=bool(found.deleted),
        issuer=found.issuer,
        updated_ms=found.updated_ms,
        archive=found.archive,
        container=found.container,
        container_name=container_name(found.digest),
        container_digest=found.digest,
        bundle_ordinal=found.ordinal,
        bundle_offset=found.offset,
        bundle_length=found.length,
        leaf=found.leaf,
        also_of=frozenset(also_of),
    )
