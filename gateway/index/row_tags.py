"""Rows that are believed as they stand carry a tag under the key-encryption key (docs/adr/0021-row-tags.md).

Whoever can write the database can put another's keys into a row, but not its tag. The tag covers the row's number, so that no row can stand
for another. An older row with its own tag is not told apart: see the ADR.
"""

from collections.abc import Callable, Iterator, Sequence
from operator import attrgetter
from typing import Any

import cbor2
from sqlalchemy import ColumnElement, Connection, Engine, Row, Table, select, tuple_, update

from gateway.vault.errors import RowAltered
from gateway.vault.keyring import Keyring

_KEYRING = "keyring"  # execution option: a database is opened with the keyring that vouches for its rows
_CHUNK = 500  # rows fetched at once

Value = int | str | bytes | None


def with_keyring(engine: Engine, keyring: Keyring) -> Engine:
    """The engine, its connections able to tag and check rows."""
    return engine.execution_options(**{_KEYRING: keyring})


def keyring_of(connection: Connection) -> Keyring:
    """The one that the database was opened with."""
    keyring: Keyring = connection.get_execution_options()[_KEYRING]
    return keyring


class TaggedTable:
    """A table whose rows are believed for the columns `believed`: by name and in this order for ever, so that a column that comes later
    does not take its tag from every row that there is. Of a row that `believes` does not choose nothing is.
    """

    def __init__(self, table: Table, believed: Sequence[str], believes: ColumnElement[bool] | None = None) -> None:
        self.table = table
        self._values: Callable[[Any], tuple[Value, ...]] = attrgetter(*believed)
        self._rows = select(table) if believes is None else select(table).where(believes)
        self._key = tuple_(*table.primary_key.columns)

    def tag_of(self, connection: Connection, values: Sequence[Value]) -> bytes:
        """The 18-byte tag of the row that is to be written with these values of what is believed."""
        return keyring_of(connection).row_tag(self.table.name, _encoded(values))

    def is_own(self, connection: Connection, row: Any) -> bool:
        """Whether the row is as this gateway wrote it; one without a tag is nobody's."""
        return type(row.tag) is bytes and keyring_of(connection).is_row_tag(self.table.name, _encoded(self._values(row)), row.tag)

    def check(self, connection: Connection, row: Any) -> None:
        """RowAltered unless the row is as this gateway wrote it."""
        if not self.is_own(connection, row):
            raise RowAltered(f"{self.table.name} row {self._values(row)[0]!r}", "it is not as this gateway wrote it")

    def altered(self, connection: Connection) -> Iterator[tuple[Row[Any], bool]]:
        """Every row of which something is believed, in the order of their keys, and whether it is other than this gateway wrote it."""
        query = self._rows.order_by(*self.table.primary_key.columns)
        for row in connection.execute(query, execution_options={"yield_per": _CHUNK}):
            yield row, not self.is_own(connection, row)

    def tag(self, connection: Connection, *which: ColumnElement[bool]) -> None:
        """Vouch for these rows as they stand, all without `which`."""
        for row in connection.execute(self._rows.where(*which)).all():
            tagged = update(self.table).where(self._is(self._key_of(row)))
            connection.execute(tagged.values(tag=self.tag_of(connection, self._values(row))))

    def retag(self, connection: Connection, key: Sequence[Any]) -> bool:
        """Give the row of that key, if it is as this gateway wrote it, the tag under the key that seals now; whether it was."""
        stored = connection.execute(self._rows.where(self._is(key))).one_or_none()
        if stored is not None and not self.is_own(connection, stored):
            return False
        self.tag(connection, self._is(key))
        return True

    def _is(self, key: Sequence[Any]) -> ColumnElement[bool]:
        return self._key == tuple(key)

    def _key_of(self, row: Row[Any]) -> tuple[Any, ...]:
        return tuple(getattr(row, column.name) for column in self.table.primary_key.columns)


def _encoded(values: Sequence[Value]) -> bytes:
    """Such values have one shortest form in CBOR."""
    return cbor2.dumps(list(values))
