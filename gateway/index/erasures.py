"""What the database forgets of an erased archive, and the holds that forbid it.

Bundles, containers, grants and accesses stay: proofs and the access log are about them. Gone are the keys and every row of a record.
"""

from collections.abc import Collection

from sqlalchemy import Connection, delete, func, insert, or_, select, update

from gateway.index import schema as t

DESTROYED = b""  # in place of a sealed secret


def hold(connection: Connection, archives: Collection[int], now: int) -> None:
    """Forbid to erase these archives, by row, until the hold is lifted."""
    held = set(held_among(connection, archives))
    for row in sorted(set(archives) - held):
        connection.execute(insert(t.hold).values(archive=row, held_at=now))


def lift(connection: Connection, archives: Collection[int]) -> None:
    connection.execute(delete(t.hold).where(t.hold.c.archive.in_(archives)))


def held_among(connection: Connection, archives: Collection[int]) -> list[int]:
    """Those of these archives that are under a hold."""
    return list(connection.scalars(select(t.hold.c.archive).where(t.hold.c.archive.in_(archives)).order_by(t.hold.c.archive)))


def destroy(connection: Connection, archive: int) -> int:
    """Forget the keys of an archive and the rows of all its records; how many records. Its patient cannot sign in any more: see parties.

    A record that moved to another patient by a correction stays with that patient; what was this one's of it goes.
    """
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql("PRAGMA secure_delete=ON")  # a sealed key must not stay in a free part of a page
    mine = select(t.resource.c.row).where(t.resource.c.archive == archive)
    for table, column in (
        (t.identifier, t.identifier.c.resource),
        (t.source_map, t.source_map.c.resource),
        (t.person, t.person.c.resource),
        (t.co_archive, t.co_archive.c.resource),
        (t.history, t.history.c.row),
    ):
        connection.execute(delete(table).where(column.in_(mine)))
    was_mine = select(t.history.c.row).where(
        t.history.c.archive == archive, t.history.c.row == t.co_archive.c.resource, t.history.c.version == t.co_archive.c.version
    )
    connection.execute(delete(t.co_archive).where(was_mine.exists()))
    connection.execute(delete(t.history).where(t.history.c.archive == archive))
    connection.execute(delete(t.code).where(t.code.c.archive == archive))
    connection.execute(delete(t.review).where(or_(t.review.c.archive == archive, t.review.c.other == archive)))
    count = connection.execute(delete(t.resource).where(t.resource.c.archive == archive)).rowcount
    keys = update(t.archive).where(t.archive.c.row == archive)
    connection.execute(keys.values(sealed_seed=None, sealed_secret=DESTROYED))
    return count


def mark_uncleaned(connection: Connection, token: bytes, archives: int, records: int) -> None:
    """The files of the database hold traces of what was erased by the identifier of this token; how much that was."""
    connection.execute(delete(t.uncleaned).where(t.uncleaned.c.token == token))
    connection.execute(insert(t.uncleaned).values(token=token, archives=archives, records=records))


def uncleaned(connection: Connection, token: bytes) -> tuple[int, int] | None:
    """What was erased by that identifier and is not cleaned up: archives and records."""
    row = connection.execute(select(t.uncleaned.c.archives, t.uncleaned.c.records).where(t.uncleaned.c.token == token)).one_or_none()
    return None if row is None else (row.archives, row.records)


def count_uncleaned(connection: Connection) -> int:
    return connection.scalar(select(func.count()).select_from(t.uncleaned)) or 0


def mark_cleaned(connection: Connection) -> None:
    """The files hold no traces any more."""
    connection.execute(delete(t.uncleaned))


def is_destroyed(connection: Connection, key_id: bytes) -> bool | None:
    """Whether the keys of the archive with this key id were destroyed, None where there is no such archive."""
    sealed = connection.scalar(select(t.archive.c.sealed_secret).where(t.archive.c.key_id == key_id))
    return None if sealed is None else sealed == DESTROYED


def keyless(connection: Connection) -> list[tuple[int, bytes]]:
    """Row and key id of every archive whose private key is not there, ascending."""
    gone = select(t.archive.c.row, t.archive.c.key_id).where(t.archive.c.sealed_seed.is_(None)).order_by(t.archive.c.row)
    return [(row, key_id) for row, key_id in connection.execute(gone)]


def row_of(connection: Connection, key_id: bytes) -> int | None:
    """The row of the archive with this key id."""
    return connection.scalar(select(t.archive.c.row).where(t.archive.c.key_id == key_id))
