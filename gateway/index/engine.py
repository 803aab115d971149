"""Connections to gateway.db: SQLite in WAL, every commit on disk before it returns, one writer at a time.

`atomic` is a unit of writing: it takes the write lock when it begins, so what it reads cannot change before it commits. `snapshot` is a
unit of reading, which never waits for a writer.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.exc import OperationalError

from gateway.errors import Unavailable

BUSY_SECONDS = 10.0
_WRITES = "writes"


def open_engine(url: str, *, cache_mib: int = 64) -> Engine:
    """An engine for `url` (`sqlite:///...`). `cache_mib` is each connection's page cache."""
    engine = create_engine(url, pool_size=8, max_overflow=8, pool_timeout=BUSY_SECONDS, connect_args={"timeout": BUSY_SECONDS})

    @event.listens_for(engine, "connect")
    def _configure(connection: Any, _record: object) -> None:
        connection.isolation_level = None  # the driver begins nothing by itself; `_begin` does
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", f"cache_size=-{cache_mib << 10}", "temp_store=MEMORY"):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE" if connection.get_execution_options().get(_WRITES) else "BEGIN")

    return engine


@contextmanager
def atomic(engine: Engine) -> Iterator[Connection]:
    """All of the block is written, durably, or none of it. Unavailable if the database cannot be written for now.

    Where the commit itself fails it may or may not have happened; nothing was acknowledged, and a repeated submission finds out.
    """
    with _reachable(), engine.connect().execution_options(**{_WRITES: True}) as connection, connection.begin():
        yield connection


@contextmanager
def snapshot(engine: Engine) -> Iterator[Connection]:
    """One state of the database for all that the block reads. Unavailable if it cannot be read for now."""
    with _reachable(), engine.connect() as connection, connection.begin():
        yield connection


@contextmanager
def _reachable() -> Iterator[None]:
    try:
        yield
    except OperationalError as error:
        raise Unavailable("the database cannot be reached for now") from error
    except TimeoutError as error:
        raise Unavailable("the database is busy") from error
