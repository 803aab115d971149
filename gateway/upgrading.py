"""Bringing a gateway that an earlier version made to this version's database (docs/adr/0021-row-tags.md)."""

import os
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass

from sqlalchemy import Connection

from chain.database import connect, missing_migrations
from gateway.index import archives, directory_links, migrate, outbox, parties, persons
from gateway.index.database import open_index
from gateway.settings import Settings
from gateway.vault.kek_file import KekFile
from gateway.vault.keyring import Keyring
from gateway.vault.kms import kms_of

# Files beside the keys, where whoever can write the database cannot: the rows of each are vouched for as they stand only once.
_MARKS: dict[str, tuple[Callable[[Connection], None], ...]] = {
    "rows-tagged": (parties.tag_all, archives.tag_all),
    "rows-tagged-2": (outbox.tag_all, directory_links.tag_all, persons.tag_all),
}


@dataclass(frozen=True, slots=True)
class Plan:
    """What an upgrade would do: migrations by their titles, and whether it vouches for rows of before there were tags."""

    database: list[str]
    ledger: list[str]
    vouches: bool

    @property
    def is_empty(self) -> bool:
        return not (self.database or self.ledger or self.vouches)


def planned(settings: Settings) -> Plan:
    """Changes nothing. Raises Unavailable, chain.errors.LedgerError."""
    with closing(open_index(settings.effective_database_url)) as index, index.reading() as connection:
        found = migrate.missing(connection)
    return Plan(found, missing_migrations(settings.effective_ledger_url), bool(_unmarked(settings)))


def upgrade(settings: Settings) -> bool:
    """Migrate both databases, and vouch once for rows as they stand that are not believed without a tag; whether that was so.

    All of it is one unit. A crash before the marks are made leaves rows with their tags: the next upgrade gives them the same once more.
    Raises KeyFileUnusable, KmsFailed, Unavailable, chain.errors.LedgerError.
    """
    connect(settings.effective_ledger_url).dispose()
    unmarked = _unmarked(settings)
    index = open_index(settings.effective_database_url, Keyring(KekFile(settings.kek_path, kms_of(settings.kek_uri))))
    try:
        with index.atomic() as connection:
            migrate.upgrade(connection)
            for mark in unmarked:
                for tag_all in _MARKS[mark]:
                    tag_all(connection)
    finally:
        index.close()
    mark_tagged(settings)
    return bool(unmarked)


def _unmarked(settings: Settings) -> list[str]:
    return [mark for mark in _MARKS if not (settings.keys_path / mark).exists()]


def mark_tagged(settings: Settings) -> None:
    """From now on a row without its tag was altered.

    Durable when it returns: were a mark lost with the power, rows would be vouched for a second time.
    """
    marks = [settings.keys_path / mark for mark in _MARKS]
    for mark in marks:
        mark.touch(mode=0o600)
    for path in (*marks, settings.keys_path):
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
