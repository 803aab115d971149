"""The gateway's database: every commit on disk before it returns, one writer at a time (docs/design/hosts.md).

SQLite in WAL has one writer by nature. On PostgreSQL a unit that writes takes one advisory lock before it reads anything, and lets go of it
after its commit: among all workers of all hosts the same holds, and no flow needs to know on which of the two it runs.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.exc import DBAPIError, DisconnectionError, IntegrityError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from chain import postgresql
from gateway.errors import Unavailable
from gateway.index import migrate, row_tags
from gateway.index.rows import executed
from gateway.vault.keyring import Keyring

BUSY_SECONDS = 10.0
CACHE_MIB = 64  # page cache of a connection
WAL_PAGES = 10_000  # 40 MB between checkpoints: at a million rows a tenth less work and a third less waiting than with the default 1,000
_WRITES = "writes"
_WRITER = 0x66686972616E6368  # "fhiranch": PostgreSQL's advisory lock of whoever writes
_UNIQUE, _RETRY = "23505", frozenset({"40001", "40P01"})  # SQLSTATE: unique violation; serialization failure, deadlock


class LostRace(Exception):
    """Another submission wrote first what this one was about to write: nothing was written, resolve again."""


class Index:
    """The database, opened. Make one in each process, after the fork."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._writer = engine.execution_options(**{_WRITES: True})
        self._reader = engine
        if engine.dialect.name != "sqlite":
            self._reader = engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)

    @contextmanager
    def atomic(self) -> Iterator[Connection]:
        """All of the block is written, durably, or none of it. It holds the write lock from the start, so what it reads stays true.

        Unavailable if the database cannot be written for now. Where the commit itself fails it may or may not have happened; nothing
        was acknowledged, and whoever repeats the request finds out. LostRace if a row that must be unique was there already.
        """
        with _reachable(), self._writer.begin() as connection:
            yield connection

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """One state of the database for all that the block reads; it waits for no writer. Unavailable if it cannot be read for now."""
        with _reachable(), self._reader.begin() as connection:
            yield connection

    def is_current(self) -> bool:
        """Whether the schema is the one this version knows."""
        with self.reading() as connection:
            return migrate.is_current(connection)

    def close(self) -> None:
        self.engine.dispose()


def open_index(
    url: str, keyring: Keyring | None = None, *, cache_mib: int = CACHE_MIB, busy_seconds: float = BUSY_SECONDS, create: bool = False
) -> Index:
    """The database at `url` (`sqlite:///...` or `postgresql+psycopg://...`); nothing is read yet.

    A writer waits `busy_seconds` for another. Without the keyring, no party and no archive can be read or written: their rows are not
    believed without their tags. `cache_mib` and `create` are SQLite's: a file that is not there is not made, unless `create`; an empty one
    would stand in the way of the one that is put back. Raises chain.postgresql.BadAddress.
    """
    engine = _postgresql(url, busy_seconds) if postgresql.is_postgresql(url) else _sqlite(url, cache_mib, busy_seconds, create=create)
    return Index(engine if keyring is None else row_tags.with_keyring(engine, keyring))


def _sqlite(url: str, cache_mib: int, busy_seconds: float, *, create: bool) -> Engine:
    engine = create_engine(url, pool_size=8, max_overflow=8, pool_timeout=busy_seconds, connect_args={"timeout": busy_seconds})

    file = Path(engine.url.database or "")

    @event.listens_for(engine, "do_connect")
    def _open(_dialect: object, _record: object, args: list[Any], named: dict[str, Any]) -> None:
        args[0] = f"{file.resolve().as_uri()}?mode={'rwc' if create else 'rw'}"
        named["uri"] = True

    @event.listens_for(engine, "checkout")
    def _look(_connection: object, record: Any, _proxy: object) -> None:
        if record.info["file"] != _identity(file):
            raise DisconnectionError("another file is in its place: what is written to the one that is open would be lost")

    @event.listens_for(engine, "connect")
    def _configure(connection: Any, record: Any) -> None:
        record.info["file"] = _identity(file)
        connection.isolation_level = None  # the driver begins nothing by itself; `_begin` does
        for pragma in (
            "journal_mode=WAL",
            "synchronous=FULL",
            "foreign_keys=ON",
            f"cache_size=-{cache_mib << 10}",
            "temp_store=MEMORY",
            f"wal_autocheckpoint={WAL_PAGES}",
        ):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        executed(connection, "BEGIN IMMEDIATE" if connection.get_execution_options().get(_WRITES) else "BEGIN").close()

    return engine


def _postgresql(url: str, busy_seconds: float) -> Engine:
    engine = postgresql.open_engine(url, patience=busy_seconds, pool_size=8, max_overflow=8, pool_timeout=busy_seconds)

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        """Each statement sees what is committed by then (READ COMMITTED): whatever the lock was waited for is seen."""
        if connection.get_execution_options().get(_WRITES):
            executed(connection, f"SELECT pg_advisory_xact_lock({_WRITER})").close()

    return engine


def create_index(url: str, revision: str = "head") -> None:
    """Create the database at `url`, or bring it to this version's schema, or to an earlier `revision` (gateway.index.migrate)."""
    index = open_index(url, create=True)
    try:
        with index.atomic() as connection:
            migrate.upgrade(connection, revision)
    finally:
        index.close()


def _identity(file: Path) -> tuple[int, int]:
    """Which file is at this path now. Raises OperationalError where there is none, as opening it would."""
    try:
        found = file.stat()
    except OSError as error:
        raise OperationalError("open", None, error) from error
    return found.st_dev, found.st_ino


@contextmanager
def part_of(connection: Connection) -> Iterator[None]:
    """All of the block is written in the unit of `connection`, or none of it and the unit goes on. LostRace as `atomic` raises it.

    Within a block there is no other.
    """
    executed(connection, "SAVEPOINT part").close()
    try:
        with _races():
            yield
    except BaseException:  # a stop, too, leaves nothing of the block in a unit that may go on
        executed(connection, "ROLLBACK TO SAVEPOINT part").close()
        raise
    executed(connection, "RELEASE SAVEPOINT part").close()


@contextmanager
def _races() -> Iterator[None]:
    try:
        yield
    except DBAPIError as error:
        if _is_lost_race(error):
            raise LostRace("another unit wrote first what this one was to write") from error
        raise


@contextmanager
def _reachable() -> Iterator[None]:
    try:
        with _races():
            yield
    except DBAPIError as error:
        if not postgresql.is_passing(error):
            raise
        raise Unavailable("the database cannot be reached for now") from error
    except PoolTimeout as error:
        raise Unavailable("the database cannot be reached for now") from error


def _is_lost_race(error: DBAPIError) -> bool:
    state = postgresql.state_of(error)
    return state == _UNIQUE or state in _RETRY or (isinstance(error, IntegrityError) and "UNIQUE" in str(error.orig))
