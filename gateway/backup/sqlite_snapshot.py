"""A snapshot of a file of SQLite: a read transaction, copied by SQLite's online backup."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from gateway.backup.manifest import BackupRefused
from gateway.backup.snapshot import PATIENCE, Progress, Snapshot

_PAGES = 2000  # copied between two calls of the progress


class SqliteSnapshot:
    """See `gateway.backup.snapshot.Snapshot`."""

    def __init__(self, reader: sqlite3.Connection) -> None:
        self._reader = reader

    def begin(self) -> None:
        """See the port."""
        self._reader.execute("BEGIN")
        self._reader.execute("SELECT count(*) FROM sqlite_master").fetchone()  # only reading makes it a snapshot

    def size(self) -> int:
        """See the port."""
        return int(self._reader.execute("PRAGMA page_count").fetchone()[0]) * int(self._reader.execute("PRAGMA page_size").fetchone()[0])

    def copy(self, to: Path, what: str, progress: Progress) -> None:
        """See the port."""
        to.touch(mode=0o600)
        with closing(sqlite3.connect(to)) as copied:
            self._reader.backup(copied, pages=_PAGES, progress=lambda _status, left, total: progress(what, total - left, total))
            copied.execute("PRAGMA journal_mode=DELETE")  # one file, without a log beside it


@contextmanager
def open_sqlite(path: Path) -> Iterator[Snapshot]:
    """The database in the file `path`. Raises BackupRefused, also for what the block does with it."""
    try:
        address = f"{path.resolve().as_uri()}?mode=rw"
        with closing(sqlite3.connect(address, uri=True, isolation_level=None, timeout=PATIENCE)) as reader:
            yield SqliteSnapshot(reader)
    except sqlite3.Error as error:
        raise BackupRefused(f"{path.name} cannot be copied: {error}") from error
