"""A snapshot of a database of PostgreSQL: one REPEATABLE READ transaction, whose rows go into a file of SQLite with the same layout.

So a backup is the same two files whatever the gateway keeps its rows in, and `backup verify` needs no server. The layouts have one
origin, the migrations, which run on both.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from sqlalchemy import Connection, inspect
from sqlalchemy.exc import DBAPIError

from chain import postgresql
from chain.database import create_like
from chain.errors import LedgerError
from gateway.backup import rows
from gateway.backup.manifest import BackupRefused
from gateway.backup.snapshot import PATIENCE, Progress, Snapshot
from gateway.errors import Unavailable
from gateway.index import migrate
from gateway.index.database import CACHE_MIB, create_index

# A large table takes longer than any request may, and one snapshot waits while the other is copied.
_UNHURRIED = "SET LOCAL statement_timeout = 0; SET LOCAL idle_in_transaction_session_timeout = 0"
_OURS = "relkind = 'r' AND relnamespace = current_schema()::regnamespace"


class PostgresqlSnapshot:
    """See `gateway.backup.snapshot.Snapshot`."""

    def __init__(self, reader: Connection) -> None:
        self._reader = reader

    def begin(self) -> None:
        """See the port."""
        self._reader.exec_driver_sql(_UNHURRIED)
        self._number("count(*)")  # only reading makes it a snapshot

    def size(self) -> int:
        """See the port."""
        return self._number("coalesce(sum(pg_total_relation_size(oid)), 0)")

    def copy(self, to: Path, what: str, progress: Progress) -> None:
        """See the port. Who may write, and what keys have signed, stays out (chain/tables.py: lease, watermark)."""
        total = max(1, self._number("coalesce(sum(greatest(reltuples, 0)), 0)"))  # the server's estimate
        self._make_empty(to)
        to.chmod(0o600)
        with closing(sqlite3.connect(to, isolation_level=None)) as file:
            file.execute("PRAGMA journal_mode=DELETE")
            file.execute("PRAGMA synchronous=OFF")
            file.execute(f"PRAGMA cache_size=-{CACHE_MIB << 10}")  # tokens go into their trees in no order
            file.execute("BEGIN")
            rows.to_file(self._reader, file, lambda reached: progress(what, min(reached, total), total))
            file.execute("COMMIT")

    def _make_empty(self, to: Path) -> None:
        """The tables as they are in the database, which may be an earlier version's."""
        url = f"sqlite:///{to}"
        if inspect(self._reader).has_table("layout"):
            create_like(url, self._reader)
        else:
            create_index(url, migrate.revision(self._reader))

    def _number(self, what: str) -> int:
        return int(self._reader.exec_driver_sql(f"SELECT {what} FROM pg_class WHERE {_OURS}").scalar_one())  # noqa: S608 - constants of ours


@contextmanager
def open_postgresql(url: str) -> Iterator[Snapshot]:
    """The database at `url`. Raises BackupRefused, Unavailable, also for what the block does with it."""
    engine = postgresql.open_engine(url, patience=PATIENCE, read_only=True)
    try:
        with engine.connect().execution_options(isolation_level="REPEATABLE READ") as reader:
            yield PostgresqlSnapshot(reader)
    except DBAPIError as error:
        raise Unavailable(f"{postgresql.place(url)}: {postgresql.why(error)}") from error
    except LedgerError as error:
        raise BackupRefused(f"{postgresql.place(url)}: {error}") from error
    finally:
        engine.dispose()
