"""gateway.db: SQLite in WAL, every commit on disk before it returns, one writer at a time."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.exc import DisconnectionError, IntegrityError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from gateway.errors import Unavailable
from gateway.index import migrate, row_tags
from gateway.vault.keyring import Keyring

BUSY_SECONDS = 10.0
CACHE_MIB = 64  # page cache of a connection
WAL_PAGES = 10_000  # 40 MB between checkpoints: at a million rows a tenth less work and a third less waiting than with the default 1,000
_WRITES = "writes"


class LostRace(Exception):
    """Another submission wrote first what this one was about to write: nothing was written, resolve again."""


class Index:
    """The database, opened. Make one in each process, after the fork."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    @contextmanager
    def atomic(self) -> Iterator[Connection]:
        """All of the block is written, durably, or none of it. It holds the write lock from the start, so what it reads stays true.

        Unavailable if the database cannot be written for now. Where the commit itself fails it may or may not have happened; nothing
        was acknowledged, and whoever repeats the request finds out. LostRace if a row that must be unique was there already.
        """
        with _reachable(), self.engine.connect().execution_options(**{_WRITES: True}) as connection, connection.begin():
            yield connection

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """One state of the database for all that the block reads; it waits for no writer. Unavailable if it cannot be read for now."""
        with _reachable(), self.engine.connect() as connection, connection.begin():
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
    """The database at `url` (`sqlite:///...`); nothing is read yet. A writer waits `busy_seconds` for another.

    Without the keyring, no party and no archive can be read or written: their rows are not believed without their tags.
    A file that is not there is not made, unless `create`: an empty one would stand in the way of the one that is put back.
    """
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
        connection.exec_driver_sql("BEGIN IMMEDIATE" if connection.get_execution_options().get(_WRITES) else "BEGIN")

    return Index(engine if keyring is None else row_tags.with_keyring(engine, keyring))


def create_index(url: str) -> None:
    """Create the database at `url`, or bring it to this version's schema."""
    index = open_index(url, create=True)
    try:
        with index.atomic() as connection:
            migrate.upgrade(connection)
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
    """All of the block is written in the unit of `connection`, or none of it and the unit goes on. LostRace as `atomic` raises it."""
    with _races(), connection.begin_nested():
        yield


@contextmanager
def _races() -> Iterator[None]:
    try:
        yield
    except IntegrityError as error:
        if "UNIQUE" in str(error.orig):
            raise LostRace("a row that must be unique is there already") from error
        raise


@contextmanager
def _reachable() -> Iterator[None]:
    try:
        with _races():
            yield
    except (OperationalError, PoolTimeout) as error:
        raise Unavailable("the database cannot be reached for now") from error
