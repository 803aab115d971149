"""Opening ledger.db: SQLite in WAL mode with a full fsync at every commit, brought to the newest layout.

The layout is made by the files of `migrations/`, in their order; `PRAGMA user_version` counts those that have run.
"""

import sqlite3
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from sqlite3 import Connection as SqliteConnection
from typing import Any

from sqlalchemy import Engine, ExceptionContext, create_engine, event, make_url

from chain.errors import LedgerError

_PRAGMAS = ("PRAGMA journal_mode=WAL", "PRAGMA synchronous=FULL", "PRAGMA busy_timeout=10000")

_PASSING = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_FULL}


class LedgerUnreachable(LedgerError):
    """The database is locked, gone or full for now. What was being written is whole or absent, and may be tried again."""


class LedgerMissing(LedgerError):
    """There is no ledger at this address, or it is another chain's."""


def connect(url: str, *, create: bool = False, read_only: bool = False) -> Engine:
    """The database at `url` (`sqlite:///path`). Raises `LedgerMissing` where there is none, or with `create` where there is one.

    Whatever uses it raises `LedgerUnreachable` while it cannot be used. A file that is gone is not made anew.
    """
    database = make_url(url).database
    if make_url(url).get_backend_name() != "sqlite" or not database:
        raise LedgerMissing("the ledger's address is not of the form sqlite:///path")
    if Path(database).exists() == create:
        raise LedgerMissing(f"there is {'already a' if create else 'no'} ledger at {Path(database).name}")
    engine = create_engine(url)
    pragmas = (*_PRAGMAS, "PRAGMA query_only=ON") if read_only else _PRAGMAS

    @event.listens_for(engine, "do_connect")
    def open_(_dialect: object, _record: object, args: list[Any], named: dict[str, Any]) -> None:
        args[0] = f"{Path(database).resolve().as_uri()}?mode={'rwc' if create else 'rw'}"
        named["uri"] = True

    @event.listens_for(engine, "handle_error")
    def unreachable(context: ExceptionContext) -> None:
        if getattr(context.original_exception, "sqlite_errorcode", 0) & 0xFF in _PASSING:  # the low byte is the kind of the error
            raise LedgerUnreachable("the ledger cannot be reached for now") from context.original_exception

    @event.listens_for(engine, "connect")
    def prepare(connection: SqliteConnection, _: object) -> None:
        for pragma in pragmas:
            connection.execute(pragma)

    if not read_only:
        _migrate(engine)
    return engine


def _migrate(engine: Engine) -> None:
    """Runs what has not run, each file in one transaction: a crash leaves the layout before it or after it."""
    files = _migrations()
    raw = engine.raw_connection()
    try:
        done = raw.cursor().execute("PRAGMA user_version").fetchone()[0]
        if done > len(files):
            raise LedgerMissing("the ledger was written by a newer version of this software")
        for number, file in enumerate(files[done:], done + 1):
            raw.cursor().executescript(f"BEGIN IMMEDIATE; {file.read_text()}; PRAGMA user_version={number}; COMMIT;")
    finally:
        raw.close()


def _migrations() -> list[Traversable]:
    files = [item for item in resources.files("chain.migrations").iterdir() if item.name.endswith(".sql")]
    return sorted(files, key=lambda item: item.name)
