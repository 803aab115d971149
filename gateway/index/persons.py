"""What Patient resources say of who they are, sealed, and the review queue: docs/design/identity.md."""

from collections.abc import Collection
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, Row, and_, delete, func, insert, literal_column, select, update

from gateway.index import schema as t
from gateway.index.resource_types import PATIENT
from gateway.index.row_tags import TaggedTable
from gateway.index.rows import KeyedQuery


class Person(NamedTuple):
    """A live Patient resource. `sealed` is for the keyring, None where nothing is kept of this version."""

    archive: int
    resource: int
    version: int
    sealed: bytes | None


class ReviewLine(NamedTuple):
    """A line of the queue: two archives, the older first. Times in seconds; `decision` is join, keep-apart, or None while it is open."""

    row: int
    archive: int
    other: int
    reason: str
    opened_at: int
    decided_at: int | None
    decision: str | None


_OF_THIS_VERSION = and_(t.person.c.resource == t.resource.c.row, t.person.c.version == t.resource.c.version)
_LIVE_PATIENT = (
    t.resource.c.type == literal_column(str(int(PATIENT))),
    t.resource.c.version > literal_column("0"),
    t.resource.c.deleted == literal_column("0"),
)
_LIVE = (
    select(t.resource.c.archive, t.resource.c.row, t.resource.c.version, t.person.c.sealed)
    .select_from(t.resource.outerjoin(t.person, _OF_THIS_VERSION))
    .where(*_LIVE_PATIENT)
)
_IN_ARCHIVES = KeyedQuery(_LIVE, t.resource.c.archive)
_PARTED = [
    KeyedQuery(select(one.label("one"), other.label("other"), t.review.c.parted_at).where(t.review.c.parted_at.is_not(None)), one)
    for one, other in ((t.review.c.archive, t.review.c.other), (t.review.c.other, t.review.c.archive))
]
_LINES = select(t.review).order_by(t.review.c.row)
_BELIEVED = ("row", "archive", "other", "reason", "ground", "opened_at", "decided_at", "decision", "decided_number", "parted_at")
TAGGED = TaggedTable(t.review, _BELIEVED)


def write(connection: Connection, resource: int, version: int, sealed: bytes | None) -> None:
    """Keep what this version says instead of what an earlier one did; nothing for a deleted one."""
    connection.execute(delete(t.person).where(t.person.c.resource == resource))
    if sealed is not None:
        connection.execute(insert(t.person).values(resource=resource, version=version, sealed=sealed))


def in_archives(connection: Connection, archives: Collection[int]) -> list[Person]:
    """The live Patient resources of these archives."""
    return [Person._make(row) for row in _IN_ARCHIVES.among(connection, archives)]


def open_line(connection: Connection, archive: int, other: int, reason: str, ground: bytes, now: int) -> None:
    """Put a pair into the queue, unless it was in it for the same ground, decided or not."""
    pair = {"archive": min(archive, other), "other": max(archive, other), "ground": ground}
    known = and_(*(t.review.c[name] == value for name, value in pair.items()))
    if connection.scalar(select(t.review.c.row).where(known)) is None:
        connection.execute(insert(t.review).values(**pair, reason=reason, opened_at=now))
        TAGGED.tag(connection, known)


def lines(connection: Connection, *, decided_too: bool = False) -> list[ReviewLine]:
    """The queue, the first line first. RowAltered for one that is not as this gateway wrote it, as for all that read one."""
    query = _LINES if decided_too else _LINES.where(t.review.c.decision.is_(None))
    return [_line(connection, row) for row in connection.execute(query)]


def line(connection: Connection, row: int) -> ReviewLine | None:
    """The line of that number."""
    found = connection.execute(_LINES.where(t.review.c.row == row)).one_or_none()
    return None if found is None else _line(connection, found)


def decide_line(connection: Connection, row: int, decision: str, now: int) -> None:
    """Record a decision on one line; it may be another than before."""
    _decide(connection, t.review.c.row == row, decision, now)


def decide_open(connection: Connection, archives: Collection[int], decision: str, now: int, *, of: int | None = None) -> None:
    """Record a decision on every open line whose two archives are among these, and one of them `of` if it is given."""
    within = and_(t.review.c.archive.in_(archives), t.review.c.other.in_(archives), t.review.c.decision.is_(None))
    concerned = within if of is None else and_(within, (t.review.c.archive == of) | (t.review.c.other == of))
    _decide(connection, concerned, decision, now)


def part(connection: Connection, archive: int, other: int, ground: bytes, now: int) -> None:
    """Record that two were joined and are kept apart from now on, whatever was decided on the same ground before."""
    open_line(connection, archive, other, "split", ground, now)
    line = and_(t.review.c.archive == min(archive, other), t.review.c.other == max(archive, other), t.review.c.ground == ground)
    _decide(connection, line, "keep-apart", now)
    connection.execute(update(t.review).where(line).values(parted_at=now))
    TAGGED.tag(connection, line)


def kept_apart(connection: Connection, archives: Collection[int]) -> set[frozenset[int]]:
    """The pairs among these archives on which the last decision was keep-apart."""
    within = (t.review.c.archive.in_(archives), t.review.c.other.in_(archives), t.review.c.decision.is_not(None))
    decided = connection.execute(select(t.review).where(*within).order_by(t.review.c.decided_number))
    last = {frozenset((line.archive, line.other)): line.decision for line in (_line(connection, row) for row in decided)}
    return {pair for pair, decision in last.items() if decision == "keep-apart"}


def parted(connection: Connection, archives: Collection[int]) -> dict[int, list[tuple[int, int]]]:
    """For each of these archives that were ever split from another: that other, and when, in seconds."""
    found: dict[int, list[tuple[int, int]]] = {}
    for split in _PARTED:
        for row in split.among(connection, archives):
            found.setdefault(row.one, []).append((row.other, row.parted_at))
    return found


def _decide(connection: Connection, which: ColumnElement[bool], decision: str, now: int) -> None:
    number: Any = connection.scalar(select(func.coalesce(func.max(t.review.c.decided_number), 0))) or 0
    rows = [_line(connection, row).row for row in connection.execute(select(t.review).where(which))]
    decided = t.review.c.row.in_(rows)
    connection.execute(update(t.review).where(decided).values(decision=decision, decided_at=now, decided_number=number + 1))
    TAGGED.tag(connection, decided)


def decisions(connection: Connection) -> list[tuple[int, int, int, int]]:
    """Of every line: its number, its two archives, the number of its last decision, 0 while it is open. That one never falls."""
    columns = (t.review.c.row, t.review.c.archive, t.review.c.other, func.coalesce(t.review.c.decided_number, 0))
    return [(row, archive, other, number) for row, archive, other, number in connection.execute(select(*columns).order_by(t.review.c.row))]


def _line(connection: Connection, row: Row[Any]) -> ReviewLine:
    TAGGED.check(connection, row)
    return ReviewLine(*(getattr(row, name) for name in ReviewLine._fields))
