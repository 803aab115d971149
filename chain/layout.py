"""The layout of a ledger in SQLite, by which a file is known that somebody else changed: a trigger, a table or a letter too many."""

import sqlite3
from collections.abc import Iterable
from contextlib import closing
from functools import lru_cache

Layout = frozenset[tuple[bytes, ...]]  # type, name, table and statement of each table, index, view and trigger


def altered_item(connection: sqlite3.Connection, scripts: tuple[str, ...]) -> str | None:
    """The name of a table, index, view or trigger that is missing, foreign or other than these migrations made it; None if all are theirs.

    What SQLite itself adds (statistics, indices of constraints) counts for nothing. Raises `sqlite3.Error`.
    """
    different = _layout(connection) ^ _made_by(scripts)
    return min((item[1] for item in different), default=b"").decode(errors="backslashreplace") if different else None


@lru_cache
def _made_by(scripts: tuple[str, ...]) -> Layout:
    with closing(sqlite3.connect(":memory:")) as connection:
        for script in scripts:
            connection.executescript(script)
        return _layout(connection)


def _layout(connection: sqlite3.Connection) -> Layout:
    """As bytes, since a damaged text may be no text."""
    columns = ", ".join(f"CAST({name} AS BLOB)" for name in ("type", "name", "tbl_name", "sql"))
    found: Iterable[tuple[bytes, ...]] = connection.execute(f"SELECT {columns} FROM sqlite_schema")  # noqa: S608 - a constant
    return frozenset(item for item in found if not item[1].startswith(b"sqlite_"))
