"""The database against itself, for what no container leads to: rows that point nowhere, tokens of what is not there, gaps in the
running numbers of an archive's bundles. Each question is one statement that answers with what is wrong, so memory stays flat.
"""

from collections.abc import Iterator
from typing import Any

from sqlalchemy import ColumnElement, Row, Select, and_, func, or_, select

from gateway.errors import Unavailable
from gateway.index import restores
from gateway.index import schema as t
from gateway.index.database import Index
from gateway.vault.record_id import RecordIds
from jobs.audit_index_rows import record_name
from jobs.audit_notes import Notes
from jobs.audit_report import Report


def verify_tables(index: Index, ids: RecordIds) -> Report:
    """The whole level's part that needs no container. Each statement sees one state of the database."""
    notes = Notes()
    try:
        _verify_numbers(index, notes)
        for detail, query in _UNFOUNDED:
            for row in _rows(index, query):
                notes.found("index-row-unfounded", record_name(row.row, row.type, row.version, ids), detail)
        for row in _rows(index, _BUNDLES_OF_NOTHING):
            notes.found("index-row-unfounded", f"bundle row {row.row}", "its container or its archive is not in the database")
    except Unavailable as error:
        notes.could_not_check(f"the database's tables: {error}")
    return notes.report()


def _rows(index: Index, query: Select[Any]) -> Iterator[Row[Any]]:
    with index.reading() as connection:
        yield from connection.execute(query)


def _verify_numbers(index: Index, notes: Notes) -> None:
    """An archive's bundles are numbered from 1 to the one before its next: none was taken away, from the middle or from the end.

    Only what restores skipped is no one's. A number stands once for an archive, so counting is enough.
    """
    with index.reading() as connection:
        lost = restores.losses(connection)
    for row in _rows(index, _NUMBERS):
        notes.count("archives")
        skipped = lost.bundle_numbers(row.row)
        if row.bundles + skipped != row.next_number - 1 or (row.first or 1) < 1 or (row.last or 0) >= row.next_number:
            detail = f"{row.bundles} bundles, the last number {row.last or 0}, the next {row.next_number}"
            notes.found("bundle-number-gap", f"archive {row.row}", detail)


_NUMBERED = (
    select(
        t.bundle.c.archive,
        func.count().label("bundles"),
        func.min(t.bundle.c.number).label("first"),
        func.max(t.bundle.c.number).label("last"),
    )
    .group_by(t.bundle.c.archive)
    .subquery()
)
_NUMBERS = (
    select(
        t.archive.c.row,
        t.archive.c.next_number,
        func.coalesce(_NUMBERED.c.bundles, 0).label("bundles"),
        _NUMBERED.c.first,
        _NUMBERED.c.last,
    )
    .select_from(t.archive.outerjoin(_NUMBERED, _NUMBERED.c.archive == t.archive.c.row))
    .order_by(t.archive.c.row)
)
_BUNDLES_OF_NOTHING = (
    select(t.bundle.c.row)
    .select_from(
        t.bundle.outerjoin(t.container, t.container.c.row == t.bundle.c.container).outerjoin(
            t.archive, t.archive.c.row == t.bundle.c.archive
        )
    )
    .where(or_(t.container.c.row.is_(None), t.archive.c.row.is_(None)))
)


def _of_resource(column: ColumnElement[Any], table: Any, wrong: ColumnElement[bool]) -> Select[Any]:
    """Rows of `table` whose `column` names a resource that `wrong` holds for, or none."""
    joined = table.outerjoin(t.resource, t.resource.c.row == column)
    version = table.c.version if "version" in table.c else t.resource.c.version
    return (
        select(column.label("row"), t.resource.c.type, version.label("version"))
        .select_from(joined)
        .where(or_(t.resource.c.row.is_(None), wrong))
    )


_PLACED = t.resource.outerjoin(t.bundle, t.bundle.c.row == t.resource.c.bundle)
_HELD = t.history.outerjoin(t.bundle, t.bundle.c.row == t.history.c.bundle).outerjoin(t.resource, t.resource.c.row == t.history.c.row)
_SHARED = t.co_archive.outerjoin(t.resource, t.resource.c.row == t.co_archive.c.resource).outerjoin(
    t.history, and_(t.history.c.row == t.co_archive.c.resource, t.history.c.version == t.co_archive.c.version)
)

# what is wrong -> the versions of which it is true
_UNFOUNDED: tuple[tuple[str, Select[Any]], ...] = (
    (
        "it points to no bundle",
        select(t.resource.c.row, t.resource.c.type, t.resource.c.version)
        .select_from(_PLACED)
        .where(t.resource.c.version != 0, t.bundle.c.row.is_(None)),
    ),
    (
        "it is only reserved, and has content or a place",
        select(t.resource.c.row, t.resource.c.type, t.resource.c.version).where(
            t.resource.c.version == 0, or_(t.resource.c.bundle.is_not(None), t.resource.c.content.is_not(None))
        ),
    ),
    (
        "it points to no bundle, or is no earlier version of a resource",
        select(t.history.c.row, t.resource.c.type, t.history.c.version)
        .select_from(_HELD)
        .where(or_(t.bundle.c.row.is_(None), t.resource.c.row.is_(None), t.history.c.version >= t.resource.c.version)),
    ),
    (
        "it has codes in another archive than its own, or is not there",
        _of_resource(t.code.c.resource, t.code, or_(t.resource.c.version == 0, t.resource.c.archive.is_distinct_from(t.code.c.archive))),
    ),
    ("it has identifiers and is not there", _of_resource(t.identifier.c.resource, t.identifier, t.resource.c.version == 0)),
    (
        "another patient's permission is asked for a version that is not there (co_archive)",
        select(t.co_archive.c.resource.label("row"), t.resource.c.type, t.co_archive.c.version)
        .select_from(_SHARED)
        .where(t.history.c.row.is_(None), t.resource.c.version.is_distinct_from(t.co_archive.c.version)),
    ),
    (
        "a sender's name leads to it that is of another type, or it is not there (source_map)",
        _of_resource(t.source_map.c.resource, t.source_map, and_(t.resource.c.type != t.source_map.c.type)),
    ),
)
