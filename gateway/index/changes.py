"""What one submission changes, written in one unit: all of it or, if another submission came first, nothing."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, bindparam, delete, insert, select, update

from gateway.index import archives, sources
from gateway.index import schema as t
from gateway.index.archives import Archive
from gateway.index.database import LostRace
from gateway.index.index_row import IndexRow
from gateway.index.rows import insert_rows


@dataclass(frozen=True, slots=True)
class NewVersion:
    """A version with its place. `was` is the version it follows: None where the row is new, 0 where the row was reserved."""

    known: IndexRow
    archive: Archive
    also_of: Sequence[Archive]
    ordinal: int  # which of the submission's bundles
    leaf: int
    was: int | None
    was_in: int | None  # row of the archive the version before lies in


@dataclass(slots=True, kw_only=True)
class Changes:
    """`met` is what If-None-Exist was decided on, by identifier token; `opened` are archives that are not written yet."""

    issuer: int
    opened: Sequence[Archive] = ()
    versions: Sequence[NewVersion] = ()
    reserved: Sequence[tuple[int, int, Archive | None]] = ()  # row, type, archive
    sources: Sequence[tuple[bytes, int, int]] = ()  # token, type, row
    met: Mapping[bytes, frozenset[int]] = field(default_factory=dict)
    now: int


def write(connection: Connection, changes: Changes, first_bundle: int) -> None:
    """Write everything; `first_bundle` is the row of the submission's first bundle. LostRace if what was decided on has changed."""
    _check_conditions(connection, changes.issuer, changes.met)
    archives.write_new(connection, changes.opened, changes.now)
    _write_resources(connection, changes, first_bundle)
    _replace_tokens(connection, changes.versions)
    insert_rows(connection, t.source_map, changes.sources)


def _check_conditions(connection: Connection, issuer: int, met: Mapping[bytes, frozenset[int]]) -> None:
    found = sources.own_rows_by_identifier(connection, issuer, met)
    if any(found.get(token, set()) != rows for token, rows in met.items()):
        raise LostRace("what an If-None-Exist looks for was written meanwhile")


def _write_resources(connection: Connection, changes: Changes, first_bundle: int) -> None:
    new: list[tuple[Any, ...]] = []
    changed: list[tuple[NewVersion, tuple[int | None, int, int]]] = []
    for v in changes.versions:
        k = v.known
        place = (v.archive.row, first_bundle + v.ordinal, v.leaf)
        if v.was is None:
            new.append((k.row, k.type, k.version, k.deleted, k.issuer, *place, k.updated_ms, k.start, k.end, k.content))
        else:
            changed.append((v, place))
    new += [
        (row, type_, 0, 0, changes.issuer, archive.row if archive else None, None, None, None, None, None, None)
        for row, type_, archive in changes.reserved
    ]
    insert_rows(connection, t.resource, new)
    if changed:
        _supersede(connection, changed)


_HISTORY = insert(t.history).from_select(
    [column.name for column in t.history.columns],
    select(*(t.resource.c[column.name] for column in t.history.columns)).where(
        t.resource.c.row == bindparam("the_row"), t.resource.c.version > 0
    ),
)
_SUPERSEDE = (
    update(t.resource)
    .where(t.resource.c.row == bindparam("the_row"), t.resource.c.version == bindparam("the_version"))
    .values(
        {name: bindparam(f"new_{name}") for name in ("version", "deleted", "issuer", "archive", "bundle", "leaf", "updated_ms")}
        | {name: bindparam(f"new_{name}") for name in ("start", "end", "content")}
    )
)


def _supersede(connection: Connection, changed: Sequence[tuple[NewVersion, tuple[int | None, int, int]]]) -> None:
    connection.execute(_HISTORY, [{"the_row": v.known.row} for v, _ in changed])
    for v, (archive, bundle, leaf) in changed:
        k = v.known
        given: dict[str, Any] = {
            "version": k.version,
            "deleted": k.deleted,
            "issuer": k.issuer,
            "archive": archive,
            "bundle": bundle,
            "leaf": leaf,
        }
        given |= {"updated_ms": k.updated_ms, "start": k.start, "end": k.end, "content": k.content}
        named = {f"new_{name}": value for name, value in given.items()}
        if connection.execute(_SUPERSEDE, {"the_row": k.row, "the_version": v.was, **named}).rowcount != 1:
            raise LostRace("another submission wrote a version of the same resource")


def _replace_tokens(connection: Connection, versions: Sequence[NewVersion]) -> None:
    _forget_tokens(connection, [v for v in versions if v.was])
    insert_rows(connection, t.code, sorted((v.archive.row or 0, token, v.known.row) for v in versions for token in v.known.codes))
    insert_rows(connection, t.identifier, [(token, v.known.row) for v in versions for token in v.known.identifiers])
    insert_rows(connection, t.co_archive, [(a.row, v.known.row, v.known.version) for v in versions for a in v.also_of])


def _forget_tokens(connection: Connection, changed: Sequence[NewVersion]) -> None:
    """Codes are keyed by archive, so those of all rows that lie in one go in one pass over its codes."""
    rows = [v.known.row for v in changed]
    by_archive: dict[int, list[int]] = defaultdict(list)
    for v in changed:
        by_archive[v.was_in or 0].append(v.known.row)
    for archive, members in by_archive.items():
        for start in range(0, len(members), 500):
            connection.execute(delete(t.code).where(t.code.c.archive == archive, t.code.c.resource.in_(members[start : start + 500])))
    for start in range(0, len(rows), 500):
        chunk = rows[start : start + 500]
        connection.execute(delete(t.identifier).where(t.identifier.c.resource.in_(chunk)))
