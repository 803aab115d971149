"""Rows that are believed as they stand carry a tag under the key-encryption key (docs/adr/0021-row-tags.md).

Whoever can write the database can put another's keys into a row, but not its tag. The tag covers the row's number, so that no row can stand
for another. An older row with its own tag is not told apart: see the ADR.
"""

from collections.abc import Sequence

import cbor2
from sqlalchemy import Connection, Engine

from gateway.vault.errors import RowAltered
from gateway.vault.keyring import Keyring

_KEYRING = "keyring"  # execution option: a database is opened with the keyring that vouches for its rows

Value = int | str | bytes | None


def with_keyring(engine: Engine, keyring: Keyring) -> Engine:
    """The engine, its connections able to tag and check rows."""
    return engine.execution_options(**{_KEYRING: keyring})


def keyring_of(connection: Connection) -> Keyring:
    """The one that the database was opened with."""
    keyring: Keyring = connection.get_execution_options()[_KEYRING]
    return keyring


def tag_of(connection: Connection, kind: str, values: Sequence[Value]) -> bytes:
    """The 18-byte tag of a row of table `kind`: `values` are what it is believed for, its number first."""
    return keyring_of(connection).row_tag(kind, _encoded(values))


def is_tagged(connection: Connection, kind: str, values: Sequence[Value], tag: bytes | None) -> bool:
    """Whether `tag` is the row's own; none is nobody's."""
    return type(tag) is bytes and keyring_of(connection).is_row_tag(kind, _encoded(values), tag)


def check(connection: Connection, kind: str, values: Sequence[Value], tag: bytes | None) -> None:
    """RowAltered unless `tag` is the row's own."""
    if not is_tagged(connection, kind, values, tag):
        raise RowAltered(f"{kind} row {values[0]!r}", "it is not as this gateway wrote it")


def _encoded(values: Sequence[Value]) -> bytes:
    """Such values have one shortest form in CBOR."""
    return cbor2.dumps(list(values))
