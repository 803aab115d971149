"""Finding current resources by what the index knows of them, in the order of their row numbers.

A row number never changes, so a walk that goes on above the last one it saw meets every resource once, whatever is written meanwhile.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import ColumnElement, Connection, and_, or_, select

from gateway.index import schema as t
from gateway.index.resource_types import PATIENT

MAX_LOOKED_AT = 10_000  # rows of one's own for a page
MAX_ROWS = 10_000  # by which a search may be narrowed; each is a parameter of the statement


@dataclass(frozen=True, slots=True)
class Reach:
    """Where to look. `types` are numbers, empty for all; without `archives` there must be an `issuer` (a party's row)."""

    types: tuple[int, ...]
    archives: tuple[int, ...] | None = None
    issuer: int | None = None


@dataclass(frozen=True, slots=True)
class Time:
    """How the seconds that a record was in effect lie to those from `first` to `last`, both included."""

    prefix: Literal["eq", "ge", "le", "gt", "lt"]
    first: int
    last: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Filters:
    """Of each group one must hold. `coded` has (archive, token)."""

    rows: frozenset[int] | None = None
    times: tuple[tuple[Time, ...], ...] = ()
    coded: tuple[tuple[tuple[int, int], ...], ...] = ()
    undated_too: bool = False


def rows_after(connection: Connection, reaches: Sequence[Reach], filters: Filters, after: int, limit: int) -> tuple[list[int], int | None]:
    """At most `limit` live rows above `after` within any of `reaches`, ascending, and after which row to go on, None at the end.

    There may be more although fewer were found: what is one's own and of one time is looked through MAX_LOOKED_AT at a time.
    """
    horizons = [at for reach in reaches if (at := _horizon(connection, reach, filters, after)) is not None]
    horizon = min(horizons, default=None)
    found: set[int] = set()
    for reach in reaches:
        query = select(t.resource.c.row).where(*_conditions(reach, filters, after, horizon)).order_by(t.resource.c.row).limit(limit)
        found.update(connection.scalars(query))
    rows = sorted(found)[:limit]
    return rows, rows[-1] if len(rows) == limit else horizon


def archives_granted_to(connection: Connection, grantee: int, limit: int) -> list[int]:
    """The first `limit` archives on which anything was ever granted to the party of that row."""
    query = select(t.consent_grant.c.archive).where(t.consent_grant.c.grantee == grantee)
    return list(connection.scalars(query.distinct().order_by(t.consent_grant.c.archive).limit(limit)))


def archive_of_patient(connection: Connection, row: int) -> int | None:
    """The archive of a Patient resource, one that is only referred to included."""
    is_it = (t.resource.c.row == row, t.resource.c.type == PATIENT)
    return connection.scalar(select(t.resource.c.archive).where(*is_it))


def has_issued_in(connection: Connection, issuer: int, archives: Sequence[int] | None) -> bool:
    """Whether the party of that row issued anything that lies in one of these archives now; without them, anything at all."""
    within = () if archives is None else (t.resource.c.archive.in_(archives),)
    return connection.scalar(select(t.resource.c.row).where(*within, t.resource.c.issuer == issuer).limit(1)) is not None


def _horizon(connection: Connection, reach: Reach, filters: Filters, after: int) -> int | None:
    """How far to look in one go where no index has the answer: among all that a party issued, for a time."""
    if reach.archives is not None or filters.rows is not None or not filters.times:
        return None
    query = select(t.resource.c.row).where(t.resource.c.row > after, *_within(reach)).order_by(t.resource.c.row)
    return connection.scalar(query.offset(MAX_LOOKED_AT).limit(1))


def _within(reach: Reach) -> list[ColumnElement[bool]]:
    found: list[ColumnElement[bool]] = []
    if reach.archives is not None:
        found.append(t.resource.c.archive.in_(reach.archives))
    if reach.issuer is not None:
        found.append(t.resource.c.issuer == reach.issuer)
    if reach.types:
        found.append(t.resource.c.type.in_(reach.types))
    return found


def _conditions(reach: Reach, filters: Filters, after: int, horizon: int | None) -> list[ColumnElement[bool]]:
    resource = t.resource.c
    found = [resource.row > after, resource.version > 0, resource.deleted == 0, *_within(reach)]
    if horizon is not None:
        found.append(resource.row <= horizon)
    if filters.rows is not None:
        found.append(resource.row.in_(sorted(filters.rows)))
    found += [or_(*(_holds(time) for time in group), *_undated(filters)) for group in filters.times]
    found += [resource.row.in_(_coded(group)) for group in filters.coded]
    return found


def _holds(time: Time) -> ColumnElement[bool]:
    """http://hl7.org/fhir/R4/search.html#date: `eq` contains the record's time, the others overlap it; an open end reaches for ever."""
    start, end = t.resource.c.start, t.resource.c.end
    dated = or_(start.is_not(None), end.is_not(None))
    match time.prefix:
        case "eq":
            return and_(start >= time.first, end <= time.last)
        case "ge":
            return and_(dated, or_(end >= time.first, end.is_(None)))
        case "gt":
            return and_(dated, or_(end > time.last, end.is_(None)))
        case "le":
            return and_(dated, or_(start <= time.last, start.is_(None)))
        case "lt":
            return and_(dated, or_(start < time.first, start.is_(None)))


def _undated(filters: Filters) -> tuple[ColumnElement[bool], ...]:
    if not filters.undated_too:
        return ()
    return (t.resource.c.type == PATIENT, and_(t.resource.c.start.is_(None), t.resource.c.end.is_(None)))


def _coded(group: Sequence[tuple[int, int]]) -> Any:
    by_archive: dict[int, list[int]] = {}
    for archive, token in group:
        by_archive.setdefault(archive, []).append(token)
    either = [and_(t.code.c.archive == archive, t.code.c.token.in_(tokens)) for archive, tokens in by_archive.items()]
    return select(t.code.c.resource).where(or_(*either))
