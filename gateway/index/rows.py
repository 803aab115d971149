"""Many rows at once: written with one prepared statement (on PostgreSQL with one COPY), looked up with a few.

SQLAlchemy builds each statement from the tables, once; after that keys and rows go to the driver as tuples, which costs a third of what
handling every parameter by itself does.
"""

from collections.abc import Collection, Iterable, Iterator, Sequence
from functools import cache
from typing import Any

from sqlalchemy import ColumnElement, Connection, Dialect, Row, Select, Table, insert, literal
from sqlalchemy.exc import DBAPIError

from gateway.errors import Unavailable

_COPY_FROM = 20  # rows; below that, a COPY costs more than it saves
_SIZES = (1, 20, 100, 500)  # keys in a statement: few sizes, so that each is compiled and prepared once


@cache
def _insert_text(table: Table, dialect: Dialect) -> str:
    return str(insert(table).compile(dialect=dialect))


def insert_rows(connection: Connection, table: Table, rows: Sequence[tuple[Any, ...]]) -> None:
    """Insert `rows`, each with every column of `table` in its order."""
    if len(rows) >= _COPY_FROM and connection.dialect.name == "postgresql":
        copy_rows(connection, table, rows)
    elif rows:
        connection.exec_driver_sql(_insert_text(table, connection.dialect), list(rows))


def driver_rows(connection: Connection, text: str, parameters: tuple[Any, ...]) -> list[tuple[Any, ...]]:
    """The rows of a statement as the driver's own tuples, a third of the time where there are many. Unavailable if they cannot be read."""
    result = connection.exec_driver_sql(text, parameters)
    assert result.cursor is not None
    try:
        rows: list[Any] = list(result.cursor.fetchall())
    except connection.dialect.loaded_dbapi.Error as error:
        raise Unavailable("the database cannot be read for now") from error
    finally:
        result.close()
    return rows


def copy_rows(connection: Connection, table: Table, rows: Iterable[tuple[Any, ...]]) -> None:
    """The same by one COPY of PostgreSQL, of however many rows. Raises what SQLAlchemy makes of the driver's errors, as statements do."""
    preparer = connection.dialect.identifier_preparer
    columns = ", ".join(map(preparer.format_column, table.columns))
    statement = f"COPY {preparer.format_table(table)} ({columns}) FROM STDIN"
    driver: Any = connection.connection.driver_connection
    errors = connection.dialect.loaded_dbapi.Error
    try:
        with driver.cursor() as cursor, cursor.copy(statement) as copy:
            for row in rows:
                copy.write_row(row)
    except errors as error:
        raise DBAPIError.instance(statement, None, error, errors, hide_parameters=True, dialect=connection.dialect) from error


class KeyedQuery:
    """A query without parameters of its own, for the rows whose `column` is one of many keys."""

    def __init__(self, query: Select[Any], column: ColumnElement[Any]) -> None:
        self._query, self._column = query, column
        self._texts: dict[tuple[str, int], str] = {}

    def among(self, connection: Connection, keys: Collection[Any]) -> Iterator[Row[Any]]:
        """The rows for `keys` (integers or bytes, as the driver takes them), in no order that counts."""
        for text, padded in self._statements(connection.dialect, keys):
            yield from connection.exec_driver_sql(text, padded).all()

    def tuples_among(self, connection: Connection, keys: Collection[Any]) -> Iterator[tuple[Any, ...]]:
        """The same as `driver_rows`."""
        for text, padded in self._statements(connection.dialect, keys):
            yield from driver_rows(connection, text, padded)

    def _statements(self, dialect: Dialect, keys: Collection[Any]) -> Iterator[tuple[str, tuple[Any, ...]]]:
        """The texts and the keys, sorted and the last repeated up to a size that there is a text for."""
        ordered = sorted(keys)
        for start in range(0, len(ordered), _SIZES[-1]):
            chunk = ordered[start : start + _SIZES[-1]]
            size = next(size for size in _SIZES if size >= len(chunk))
            yield self._text(dialect, size), (*chunk, *chunk[-1:] * (size - len(chunk)))

    def _text(self, dialect: Dialect, size: int) -> str:
        text = self._texts.get((dialect.name, size))
        if text is None:
            query = self._query.where(self._column.in_([literal(key, self._column.type) for key in range(size)]))
            text = self._texts[dialect.name, size] = str(query.compile(dialect=dialect))
        return text
