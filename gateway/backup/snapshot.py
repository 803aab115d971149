"""Both databases as they were at one moment, copied while they go on.

What the chain records comes from gateway.db, and a row leaves the outbox only after the ledger has it. So a copy of ledger.db that is newer
could anchor what the copy of gateway.db does not know, and one that is older could lack what the outbox has forgotten. Neither happens if
nothing is committed to gateway.db between the two: its write lock is held, for a millisecond, while a reader of each is opened.
"""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from sqlalchemy import make_url

from gateway.backup.manifest import BackupRefused
from gateway.settings import Settings

Progress = Callable[[str, int, int], None]  # what is done, how much of it, of how much
_PAGES = 2000  # copied between two calls of the progress
_BUSY_SECONDS = 30.0


@contextmanager
def one_moment(database: Path, ledger: Path) -> Iterator[tuple[sqlite3.Connection, sqlite3.Connection]]:
    """A reader of each, both of one moment as long as the block lasts. Raises BackupRefused."""
    try:
        with closing(_open(database)) as writer, closing(_open(database)) as of_database, closing(_open(ledger)) as of_ledger:
            writer.execute("BEGIN IMMEDIATE")
            for reader in (of_database, of_ledger):
                reader.execute("BEGIN")
                reader.execute("SELECT count(*) FROM sqlite_master").fetchone()  # only reading makes it a snapshot
            writer.execute("ROLLBACK")
            yield of_database, of_ledger
    except sqlite3.Error as error:
        raise BackupRefused(f"the databases cannot be copied: {error}") from error


def size_of(reader: sqlite3.Connection) -> int:
    """Bytes that a copy takes."""
    return int(reader.execute("PRAGMA page_count").fetchone()[0]) * int(reader.execute("PRAGMA page_size").fetchone()[0])


def copy(reader: sqlite3.Connection, to: Path, what: str, progress: Progress) -> None:
    """The database as `reader` sees it, in a new file; it is not synced."""
    to.touch(mode=0o600)
    with closing(sqlite3.connect(to)) as copied:
        reader.backup(copied, pages=_PAGES, progress=lambda _status, left, total: progress(what, total - left, total))
        copied.execute("PRAGMA journal_mode=DELETE")  # one file, without a log beside it


def copy_file(database: Path, to: Path, what: str, progress: Progress) -> None:
    """The same of a database that nobody writes. Raises BackupRefused."""
    try:
        with closing(_open(database)) as reader:
            copy(reader, to, what, progress)
    except sqlite3.Error as error:
        raise BackupRefused(f"{database.name} cannot be copied: {error}") from error


def files_of(settings: Settings) -> tuple[Path, Path]:
    """Where gateway.db and ledger.db lie. BackupRefused for databases that are no files."""
    found = []
    for url in (settings.effective_database_url, settings.effective_ledger_url):
        address = make_url(url)
        if address.get_backend_name() != "sqlite" or not address.database:
            raise BackupRefused(
                "this backup is for databases in files; stop `serve`, then copy both PostgreSQL databases with pg_dump (docs/backup.md)"
            )
        found.append(Path(address.database))
    return found[0], found[1]


def _open(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"{path.resolve().as_uri()}?mode=rw", uri=True, isolation_level=None, timeout=_BUSY_SECONDS)
