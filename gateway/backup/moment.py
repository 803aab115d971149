"""Both databases as they were at one moment.

What the chain records comes from gateway.db, and a row leaves the outbox only after the ledger has it. So a copy of ledger.db that is newer
could anchor what the copy of gateway.db does not know, and one that is older could lack what the outbox has forgotten. Neither happens if
nothing is committed to gateway.db between the two: its write lock is held, for a millisecond, while a reader of each is opened.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from pathlib import Path

from sqlalchemy import make_url

from chain import postgresql
from gateway.backup.postgresql_snapshot import open_postgresql
from gateway.backup.snapshot import PATIENCE, Snapshot
from gateway.backup.sqlite_snapshot import open_sqlite
from gateway.index.database import open_index
from gateway.settings import Settings


def open_snapshot(url: str) -> AbstractContextManager[Snapshot]:
    """The gateway's or the ledger's database at `url`; nothing is seen before `begin`. Raises BackupRefused, Unavailable."""
    return open_postgresql(url) if postgresql.is_postgresql(url) else open_sqlite(Path(make_url(url).database or ""))


@contextmanager
def one_moment(settings: Settings) -> Iterator[tuple[Snapshot, Snapshot]]:
    """The gateway's and the ledger's database, both of one moment as long as the block lasts. Raises BackupRefused, Unavailable."""
    with ExitStack() as open_:
        database = open_.enter_context(open_snapshot(settings.effective_database_url))
        ledger = open_.enter_context(open_snapshot(settings.effective_ledger_url))
        with closing(open_index(settings.effective_database_url, busy_seconds=PATIENCE)) as index, index.atomic():
            database.begin()
            ledger.begin()
        yield database, ledger
