"""Where the databases of a restored gateway go: files below its home, or databases of PostgreSQL, which must be there and empty.

All that a restore does to them is done in files, so that both ways are one; what came of it is then moved as it is, in one unit a database.
"""

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

from sqlalchemy import Connection, Engine, insert
from sqlalchemy import Table as SqlTable

from chain import postgresql, tables
from chain.database import connect
from chain.lease import is_held
from chain.watermark import Duty, Mark
from gateway.backup import rows
from gateway.backup.manifest import DATABASE, LEDGER, BackupRefused
from gateway.backup.moment import open_snapshot
from gateway.backup.snapshot import Progress
from gateway.founding import check_databases, database_in_words, take_out
from gateway.index import schema
from gateway.index.database import create_index, open_index


def check(urls: Mapping[str, str]) -> None:
    """Before anything is made. `urls`: of `database_url` and `ledger_url` those that are not to be files below the home.

    Raises BackupRefused, FoundingRefused.
    """
    for name, url in urls.items():
        if not postgresql.is_postgresql(url):
            raise BackupRefused(f"{name}: a gateway is restored into files below --home, or into {postgresql.FORM}")
    check_databases(urls)


def take_ledger(url: str, to: Path, progress: Progress) -> None:
    """The ledger that was in use last, instead of the backup's. Raises BackupRefused, also while a host produces in it, Unavailable."""
    to.unlink()
    with open_snapshot(url) as snapshot:
        snapshot.begin()
        snapshot.copy(to, "copying the newer ledger", progress)
    if postgresql.is_postgresql(url):
        with database_in_words("ledger", url), _engine(url, read_only=True) as engine, engine.connect() as connection:
            if is_held(connection):
                raise BackupRefused(f"{postgresql.place(url)} is written to: stop the gateway that was lost on every host, then try again")


def move_in(folder: Path, urls: Mapping[str, str], marks: Mapping[bytes, Mapping[Duty, Mark]], undo: ExitStack, progress: Progress) -> None:
    """Move the databases in `folder` to `urls`; `undo` takes them out again. `marks`, by key, is what the hosts have in common of signing.

    Raises FoundingRefused.
    """
    if url := urls.get("ledger_url"):
        with database_in_words("ledger_url", url), _engine(url, create=True) as engine:
            undo.callback(take_out, url)
            with engine.begin() as connection:
                _move(folder / LEDGER, connection, tables.metadata.sorted_tables, progress)
                for key, duties in marks.items():
                    for duty, (height, block_hash) in duties.items():
                        mark = {"delegate": key, "duty": duty.value, "height": height, "block_hash": block_hash}
                        connection.execute(insert(tables.watermark).values(mark))
    if url := urls.get("database_url"):
        with database_in_words("database_url", url):
            create_index(url)
            undo.callback(take_out, url)
            with closing(open_index(url)) as index, index.atomic() as connection:
                _move(folder / DATABASE, connection, schema.metadata.sorted_tables, progress)


@contextmanager
def _engine(url: str, *, create: bool = False, read_only: bool = False) -> Iterator[Engine]:
    engine = connect(url, create=create, read_only=read_only)
    try:
        yield engine
    finally:
        engine.dispose()


def _move(path: Path, target: Connection, into: Sequence[SqlTable], progress: Progress) -> None:
    with closing(sqlite3.connect(path)) as file:
        total = rows.count(file)
        rows.to_postgresql(file, target, into, lambda reached: progress(f"moving {path.name}", reached, total))
    path.unlink()
