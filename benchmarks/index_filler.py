"""Filling an index: what a workload left in it is repeated, with new row numbers and random tokens, until it has as many rows as asked.

So the tables keep their real proportions and depth, and a million rows take seconds. Tokens go in in random order, as they come in service,
so that pages are as full as they would be. What is filled in belongs to no container: such a home is for measuring and nothing else.
"""

import sqlite3
from collections.abc import Mapping
from pathlib import Path

_CACHE_KIB = 512 << 10

# What differs in the k-th copy of a row; every other column is as it was. Row numbers of the k-th copy are k times the highest one further.
_COPIED = {
    "archive": {"row": "row + k * :archives", "directory_of": "NULL", "key_id": "randomblob(length(key_id))"},
    "container": {"row": "row + k * :containers", "digest": "randomblob(length(digest))"},
    "bundle": {"row": "row + k * :bundles", "container": "container + k * :containers", "archive": "archive + k * :archives"},
    "resource": {
        "row": "row + k * :resources",
        "archive": "archive + k * :archives",
        "bundle": "bundle + k * :bundles",
        "content": "randomblob(length(content))",
    },
    "source_map": {"token": "randomblob(length(token))", "resource": "resource + k * :resources"},
    "identifier": {"token": "randomblob(length(token))", "resource": "resource + k * :resources"},
    "code": {"archive": "archive + k * :archives", "resource": "resource + k * :resources"},
}
_COPIES = "WITH RECURSIVE copy(k) AS (SELECT 1 UNION ALL SELECT k + 1 FROM copy WHERE k < :copies)"


def fill(database: Path, rows: int) -> int:
    """Repeat what is in the index, which no process has open, until it has about `rows` resources. Returns how many it has then."""
    connection = sqlite3.connect(database, isolation_level=None)
    try:
        connection.execute(f"PRAGMA cache_size=-{_CACHE_KIB}")
        connection.execute("PRAGMA synchronous=OFF")
        there = _count(connection)
        steps = {f"{table}s": _highest(connection, table) for table in ("resource", "archive", "container", "bundle")}
        copies = round(rows / there) - 1
        if copies > 0:
            connection.execute("BEGIN")
            for table, differing in _COPIED.items():
                connection.execute(_copying(connection, table, differing), steps | {"copies": copies})
            connection.execute("UPDATE sequence SET next = (SELECT max(row) + 1 FROM resource) WHERE name = 'resource'")
            connection.execute("COMMIT")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return _count(connection)
    finally:
        connection.close()


def _copying(connection: sqlite3.Connection, table: str, differing: Mapping[str, str]) -> str:
    columns = [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]
    values = ", ".join(differing.get(column, f'{table}."{column}"') for column in columns)
    return f"{_COPIES} INSERT INTO {table} SELECT {values} FROM copy, {table}"


def _count(connection: sqlite3.Connection) -> int:
    return int(connection.execute("SELECT count(*) FROM resource").fetchone()[0])


def _highest(connection: sqlite3.Connection, table: str) -> int:
    return int(connection.execute(f"SELECT max(row) FROM {table}").fetchone()[0])
