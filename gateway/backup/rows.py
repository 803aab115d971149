"""All rows of a database, from PostgreSQL into a file of SQLite and back, in constant memory.

What is each host's or a moment's own is left behind: the lease, and the marks of what keys have signed, which no copy may set back.
"""

import sqlite3
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any

from sqlalchemy import Connection, Table, text

from gateway.index.rows import copy_rows

_AT_ONCE = 1000
_LEFT_BEHIND = frozenset({"alembic_version", "layout", "lease", "watermark"})  # the first two say which layout it is, and it has one
_LAST_NUMBER = text("SELECT pg_sequence_last_value(pg_get_serial_sequence(:table, :column)::regclass)")
_GO_ON_AFTER = text("SELECT setval(pg_get_serial_sequence(:table, :column), :last)")  # nothing where numbers come from no sequence

Told = Callable[[int], None]  # how many rows there are by now


def to_file(source: Connection, file: sqlite3.Connection, told: Told) -> None:
    """Every row of `source` into the tables of `file`, which are empty, in its open transaction."""
    done = 0
    for name in _tables(file):
        columns = [row[1] for row in file.execute(f'PRAGMA table_info("{name}")')]
        quoted = ", ".join(f'"{column}"' for column in columns)
        found = source.execution_options(stream_results=True, max_row_buffer=_AT_ONCE).exec_driver_sql(f'SELECT {quoted} FROM "{name}"')  # noqa: S608 - names of ours
        with found:
            for chunk in found.partitions(_AT_ONCE):
                marks = ", ".join("?" * len(columns))
                file.executemany(f'INSERT INTO "{name}" ({quoted}) VALUES ({marks})', map(tuple, chunk))  # noqa: S608 - names of ours
                done += len(chunk)
                told(done)
        _keep_counting(source, file, name, columns[0])


def to_postgresql(file: sqlite3.Connection, target: Connection, tables: Iterable[Table], told: Told) -> None:
    """Every row of `tables`, which are sorted by what refers to what, into `target`, where they are empty, in its unit."""
    target.exec_driver_sql("SET LOCAL statement_timeout = 0")
    done = 0

    def counted(found: sqlite3.Cursor) -> Iterator[tuple[Any, ...]]:
        nonlocal done
        while chunk := list(islice(found, _AT_ONCE)):
            yield from chunk
            done += len(chunk)
            told(done)

    for table in tables:
        if table.name not in _LEFT_BEHIND:
            quoted = ", ".join(f'"{column.name}"' for column in table.columns)
            copy_rows(target, table, counted(file.execute(f'SELECT {quoted} FROM "{table.name}"')))  # noqa: S608 - names of ours
            _go_on_counting(file, target, table)


def count(file: sqlite3.Connection) -> int:
    """How many rows `to_postgresql` has to move."""
    return sum(int(file.execute(f'SELECT count(*) FROM "{name}"').fetchone()[0]) for name in _tables(file))  # noqa: S608 - names of ours


def _tables(file: sqlite3.Connection) -> list[str]:
    names = file.execute("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'").fetchall()
    return [name for (name,) in names if name not in _LEFT_BEHIND]


def _keep_counting(source: Connection, file: sqlite3.Connection, table: str, column: str) -> None:
    """A number that is never given twice is not given twice by the copy, either."""
    made = file.execute("SELECT sql FROM sqlite_master WHERE name = ?", (table,)).fetchone()[0]
    if "AUTOINCREMENT" in made:
        last = source.execute(_LAST_NUMBER, {"table": f'"{table}"', "column": column}).scalar()
        file.execute("DELETE FROM sqlite_sequence WHERE name = ?", (table,))
        file.executemany("INSERT INTO sqlite_sequence (name, seq) VALUES (?, ?)", [(table, last)] if last else [])


def _go_on_counting(file: sqlite3.Connection, target: Connection, table: Table) -> None:
    column = table.autoincrement_column
    if column is None:
        return
    highest = file.execute(f'SELECT max("{column.name}") FROM "{table.name}"').fetchone()[0]  # noqa: S608 - names of ours
    is_kept = file.execute("SELECT 1 FROM sqlite_master WHERE name = 'sqlite_sequence'").fetchone()
    kept = file.execute("SELECT seq FROM sqlite_sequence WHERE name = ?", (table.name,)).fetchone() if is_kept else None
    last = max(highest or 0, kept[0] if kept else 0)
    if last:
        target.execute(_GO_ON_AFTER, {"table": f'"{table.name}"', "column": column.name, "last": last})
