"""Archives: a patient's, or the one where an institution's directory resources lie. Each has its keys, its secret, its running number."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, bindparam, func, select, update

from gateway.index import memberships, records
from gateway.index import schema as t
from gateway.index.database import LostRace
from gateway.index.erasures import DESTROYED
from gateway.index.resource_types import PATIENT
from gateway.index.row_tags import TaggedTable
from gateway.index.rows import KeyedQuery, Statement, insert_rows
from gateway.vault.keyring import SealedArchive


class NumberTaken(LostRace):
    """All that was decided may still stand; only a bundle has to be sealed under another number."""


@dataclass(slots=True, eq=False)
class Archive:
    """A row of `archive`. `row` is None until it is written; `next_number` is the running number its next bundle gets."""

    row: int | None
    directory_of: int | None  # row of the institution, None for a patient's
    keys: SealedArchive
    next_number: int
    joined_to: int | None = None  # row of the archive at the root of its group


_KEY_COLUMNS = (t.archive.c.key_id, t.archive.c.suite, t.archive.c.public_key, t.archive.c.sealed_seed, t.archive.c.sealed_secret)
_QUERY = select(t.archive.c.row, t.archive.c.directory_of, t.archive.c.next_number, t.archive.c.joined_to, t.archive.c.tag, *_KEY_COLUMNS)
# Seed and secret are the keyring's already, and who takes a running number twice fails.
TAGGED = TaggedTable(t.archive, ("row", "directory_of", "key_id", "suite", "public_key", "joined_to"))
_BY_ROW = KeyedQuery(_QUERY, t.archive.c.row)
_BY_ROOT = KeyedQuery(_QUERY, t.archive.c.joined_to)
_BY_KEY_ID = KeyedQuery(_QUERY, t.archive.c.key_id)
_BY_INSTITUTION = KeyedQuery(_QUERY, t.archive.c.directory_of)
_NUMBERS = KeyedQuery(select(t.archive.c.row, t.archive.c.next_number), t.archive.c.row)
_TAKE_NUMBER = Statement(
    update(t.archive)
    .where(t.archive.c.row == bindparam("the_row"), t.archive.c.next_number == bindparam("number"), t.archive.c.sealed_secret != DESTROYED)
    .values(next_number=t.archive.c.next_number + 1)
)


def by_rows(connection: Connection, rows: Collection[int]) -> dict[int, Archive]:
    """The archives of these row numbers, by row number. RowAltered if one is not as this gateway wrote it."""
    return {row.row: _checked(connection, row) for row in _BY_ROW.among(connection, rows)}


def by_key_ids(connection: Connection, key_ids: Collection[bytes]) -> dict[bytes, int | None]:
    """The row numbers of the archives of these key ids, likewise."""
    return {row.key_id: _checked(connection, row).row for row in _BY_KEY_ID.among(connection, key_ids)}


def as_stored(connection: Connection, rows: Collection[int]) -> dict[int, Archive]:
    """The same, believed by nobody: for an audit, which holds them against what is sealed."""
    return {row.row: _archive(row) for row in _BY_ROW.among(connection, rows)}


def groups_of(connection: Connection, rows: Collection[int]) -> dict[int, tuple[int, ...]]:
    """For each of these archives, all that it is joined with and itself, ascending: the first, the oldest, is the root of the links."""
    found = by_rows(connection, rows)
    roots = {row: archive.joined_to or row for row, archive in found.items()}
    members: dict[int, set[int]] = {root: {root} for root in roots.values()}
    for row in _BY_ROOT.among(connection, members):
        _checked(connection, row)
        members[row.joined_to].add(row.row)
    return {row: tuple(sorted(members[roots[row]])) if row in roots else (row,) for row in rows}


def joined_with(connection: Connection, row: int | None) -> tuple[int, ...]:
    """The archives that the owner of this one speaks for: itself and all that it is joined with now; none without one."""
    return () if row is None else groups_of(connection, [row])[row]


def join(connection: Connection, first: Collection[int], second: Collection[int]) -> None:
    """Make one group of two whole ones; it can be undone by `split`."""
    _link(connection, sorted({*first, *second}))


def split(connection: Connection, row: int) -> tuple[int, ...]:
    """Take an archive off its group; those that stay together, none if it was in no group."""
    rest = tuple(member for member in groups_of(connection, [row])[row] if member != row)
    _link(connection, [row])
    _link(connection, rest)
    return rest


def _link(connection: Connection, members: Sequence[int]) -> None:
    """`members`, ascending, are one group from now on."""
    for row in members:
        to = None if row == members[0] else members[0]
        stored = connection.execute(_QUERY.where(t.archive.c.row == row)).one()
        _checked(connection, stored)
        if stored.joined_to != to:
            connection.execute(update(t.archive).where(t.archive.c.row == row).values(joined_to=to))
            TAGGED.tag(connection, t.archive.c.row == row)
            memberships.add(connection, row, to or row)


def directory_of(connection: Connection, party: int) -> Archive | None:
    """The archive of an institution's directory resources, once it has one."""
    row = next(_BY_INSTITUTION.among(connection, (party,)), None)
    return None if row is None else _checked(connection, row)


def new(keys: SealedArchive, directory_of: int | None = None) -> Archive:
    """An archive that is not written yet."""
    return Archive(None, directory_of, keys, 1)


def write_new(connection: Connection, archives: Sequence[Archive], now: int) -> None:
    """Give each of `archives` its row. IntegrityError if another opened the same institution's directory meanwhile."""
    if not archives:
        return
    first = (connection.scalar(select(func.max(t.archive.c.row))) or 0) + 1
    for row, archive in enumerate(archives, start=first):
        archive.row = row
    insert_rows(
        connection,
        t.archive,
        [
            (a.row, a.directory_of, k.key_id, k.suite, k.public, k.sealed_seed, k.sealed_secret, a.next_number, None, now, tag)
            for a in archives
            for k in (a.keys,)
            for tag in [TAGGED.tag_of(connection, (a.row, a.directory_of, k.key_id, k.suite, k.public, None))]
        ],
    )


def next_numbers(connection: Connection, rows: Collection[int]) -> dict[int, int]:
    """What number the next bundle of each archive gets, by its row."""
    return {found.row: found.next_number for found in _NUMBERS.among(connection, rows)}


def take_number(connection: Connection, archive: Archive) -> None:
    """Make `archive.next_number` the number of a bundle being written. NumberTaken if another bundle took it.

    LostRace if the archive was erased meanwhile: what is sealed to it would be acknowledged, and open nowhere.
    """
    if _TAKE_NUMBER.run(connection, the_row=archive.row, number=archive.next_number) != 1:
        if connection.scalar(select(t.archive.c.sealed_secret).where(t.archive.c.row == archive.row)) == DESTROYED:
            raise LostRace("the archive was erased meanwhile")
        raise NumberTaken("another submission took the running number of an archive")


def is_shared(connection: Connection, resource: int, version: int) -> bool:
    """Whether a version is about further patients than the one in whose archive it lies."""
    shared = select(t.co_archive.c.archive).where(t.co_archive.c.resource == resource, t.co_archive.c.version == version)
    return connection.scalar(shared.limit(1)) is not None


def of_patient_resources(connection: Connection, rows: Collection[int]) -> set[int]:
    """The archives of those of `rows` that are live Patient resources."""
    live = (resource for resource in records.states(connection, rows).values() if resource.version and not resource.deleted)
    return {resource.archive for resource in live if resource.type == PATIENT and resource.archive is not None}


def _checked(connection: Connection, row: Any) -> Archive:
    TAGGED.check(connection, row)
    return _archive(row)


def _archive(row: Any) -> Archive:
    keys = SealedArchive(row.key_id, row.suite, row.public_key, row.sealed_seed, row.sealed_secret)
    return Archive(row.row, row.directory_of, keys, row.next_number, row.joined_to)
