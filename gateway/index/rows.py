"""Many rows at once: written with one prepared statement, read with a few.

SQLAlchemy builds the statement from the table; the rows go to the driver as tuples, which costs a fraction of dicts of parameters.
"""

from collections.abc import Collection, Iterator, Sequence
from functools import cache
from typing import Any

from sqlalchemy import ColumnElement, Connection, Dialect, Row, Select, Table, insert

_KEYS_AT_ONCE = 500


@cache
def _insert_text(table: Table, dialect: Dialect) -> str:
    return str(insert(table).compile(dialect=dialect))


def insert_rows(connection: Connection, table: Table, rows: Sequence[tuple[Any, ...]]) -> None:
    """Insert `rows`, each with every column of `table` in its order."""
    if rows:
        connection.exec_driver_sql(_insert_text(table, connection.dialect), list(rows))


def select_among(connection: Connection, query: Select[Any], column: ColumnElement[Any], keys: Collection[Any]) -> Iterator[Row[Any]]:
    """The rows of `query` whose `column` is one of `keys`, a few hundred keys a statement."""
    ordered = sorted(keys)
    for start in range(0, len(ordered), _KEYS_AT_ONCE):
        yield from connection.execute(query.where(column.in_(ordered[start : start + _KEYS_AT_ONCE])))
