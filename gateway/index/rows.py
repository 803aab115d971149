"""Rows written and looked up by the driver's own cursor, in the unit of a connection.

SQLAlchemy builds each statement from the tables, once. After that keys and rows go to the driver as tuples and come back as tuples: to have
SQLAlchemy carry them there and describe what comes back takes longer than most statements do. Errors are the same as SQLAlchemy's.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from functools import cache
from itertools import chain
from typing import Any, NamedTuple

from sqlalchemy import Column, ColumnElement, Connection, Dialect, Select, Table, and_, column, func, insert, literal, select, values
from sqlalchemy.engine.interfaces import DBAPICursor
from sqlalchemy.exc import DBAPIError
from sqlalchemy.sql.expression import ClauseElement

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
        executed(connection, _insert_text(table, connection.dialect), rows, are_many=True).close()


def driver_rows(connection: Connection, text: str, parameters: Sequence[Any]) -> list[tuple[Any, ...]]:
    """The rows of a statement as the driver's own tuples. Unavailable if they cannot be read."""
    cursor = executed(connection, text, parameters)
    try:
        return list(cursor.fetchall())
    except connection.dialect.loaded_dbapi.Error as error:
        raise Unavailable("the database cannot be read for now") from error
    finally:
        cursor.close()


class Statement:
    """A statement whose text is made once for each kind of database; its `bindparam`s are given by their names."""

    def __init__(self, clause: ClauseElement) -> None:
        self._clause = clause
        self._make = _row_type(clause) if isinstance(clause, Select) else tuple
        self._texts: dict[str, _Text] = {}

    def rows(self, connection: Connection, **given: Any) -> list[Any]:
        """What it returns, the columns of a query by their names."""
        text = self._text(connection.dialect)
        return list(map(self._make, driver_rows(connection, text.text, text.values(given))))

    def first(self, connection: Connection, **given: Any) -> Any:
        """The first row, or None."""
        return next(iter(self.rows(connection, **given)), None)

    def run(self, connection: Connection, **given: Any) -> int:
        """How many rows it wrote, for one that returns none."""
        text = self._text(connection.dialect)
        cursor = executed(connection, text.text, text.values(given))
        try:
            return cursor.rowcount
        finally:
            cursor.close()

    def _text(self, dialect: Dialect) -> "_Text":
        found = self._texts.get(dialect.name)
        if found is None:
            found = self._texts[dialect.name] = _Text.of(self._clause, dialect)
        return found


class KeyedQuery:
    """A query for the rows whose `column` is one of many keys. Its own `bindparam`s, if it has any, are given by their names."""

    def __init__(self, query: Select[Any], column: ColumnElement[Any]) -> None:
        self._query, self._column = query, column
        self._make = _row_type(query)
        self._texts: dict[tuple[str, int], _Text] = {}

    def among(self, connection: Connection, keys: Collection[Any], **given: Any) -> Iterator[Any]:
        """The rows for `keys` (integers, texts or bytes, as the driver takes them), in no order that counts, their columns by name."""
        return map(self._make, self.tuples_among(connection, keys, **given))

    def tuples_among(self, connection: Connection, keys: Collection[Any], **given: Any) -> Iterator[tuple[Any, ...]]:
        """The same as the driver's own tuples."""
        ordered = sorted(keys)
        for start in range(0, len(ordered), _SIZES[-1]):
            chunk = ordered[start : start + _SIZES[-1]]
            size = next(size for size in _SIZES if size >= len(chunk))  # the last key is repeated up to a size that there is a text for
            text = self._text(connection.dialect, size)
            yield from driver_rows(connection, text.text, (*text.values(given), *chunk, *chunk[-1:] * (size - len(chunk))))

    def _text(self, dialect: Dialect, size: int) -> "_Text":
        """Its names are the query's own: the keys stand behind them."""
        found = self._texts.get((dialect.name, size))
        if found is None:
            query = self._query.where(self._column.in_([literal(key, self._column.type) for key in range(size)]))
            whole = _Text.of(query, dialect)
            found = self._texts[dialect.name, size] = whole._replace(names=whole.names[:-size])
        return found


class StandingRows:
    """Whether rows stand in a table as they are, asked for BATCH of them at once: the database says how many, and none of them is carried.

    `columns` are some of one table's, its key among them: then a row is counted once at most.
    """

    BATCH = 500

    def __init__(self, *columns: Column[Any]) -> None:
        places = [tuple(c.type.python_type() for c in columns)] * self.BATCH
        asked = values(*(column(c.name, c.type) for c in columns)).data(places).cte("asked")
        same = and_(*(c == asked.c[c.name] for c in columns))
        self._query = select(func.count()).select_from(asked.join(columns[0].table, same))
        self._texts: dict[str, str] = {}

    def are_all(self, connection: Connection, rows: Sequence[tuple[Any, ...]]) -> bool:
        """Whether each of exactly BATCH rows stands there."""
        dialect = connection.dialect
        if dialect.name not in self._texts:
            self._texts[dialect.name] = str(self._query.compile(dialect=dialect))
        [(count,)] = driver_rows(connection, self._texts[dialect.name], list(chain.from_iterable(rows)))
        return bool(count == self.BATCH)


class _Text(NamedTuple):
    """A statement for the driver: its text, the names of its parameters in their order, and the values of those that are its own."""

    text: str
    names: Sequence[str]
    own: Mapping[str, Any]

    @classmethod
    def of(cls, clause: ClauseElement, dialect: Dialect) -> "_Text":
        compiled: Any = clause.compile(dialect=dialect)
        own = {name: value for name, value in compiled.params.items() if not compiled.binds[name].required}
        return cls(str(compiled), compiled.positiontup or (), own)

    def values(self, given: Mapping[str, Any]) -> tuple[Any, ...]:
        return tuple([given[name] if name in given else self.own[name] for name in self.names])


def _row_type(query: Select[Any]) -> Any:
    """Makes a tuple with the query's columns as its names from one without."""
    named: Any = NamedTuple("Row", [(column.name, Any) for column in query.selected_columns])  # type: ignore[misc]
    return named._make


def executed(connection: Connection, text: str, parameters: Sequence[Any] = (), *, are_many: bool = False) -> DBAPICursor:
    """The driver's cursor after that statement, in the unit of `connection`. Raises what SQLAlchemy makes of the driver's errors."""
    errors, cursor = connection.dialect.loaded_dbapi.Error, connection.connection.cursor()
    try:
        (cursor.executemany if are_many else cursor.execute)(text, parameters)
    except errors as error:
        cursor.close()
        raise DBAPIError.instance(text, None, error, errors, hide_parameters=True, dialect=connection.dialect) from error
    return cursor


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
