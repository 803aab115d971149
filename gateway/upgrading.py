"""Bringing a gateway that an earlier version made to this version's database (docs/adr/0021-row-tags.md)."""

import os
from contextlib import closing
from dataclasses import dataclass

from chain.database import connect, missing_migrations
from gateway.index import archives, migrate, parties
from gateway.index.database import open_index
from gateway.settings import Settings
from gateway.vault.kek_file import KekFile
from gateway.vault.keyring import Keyring
from gateway.vault.kms import kms_of

_MARK = "rows-tagged"  # beside the keys, where whoever can write the database cannot: rows are vouched for as they stand only once


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
    return Plan(found, missing_migrations(settings.effective_ledger_url), not (settings.keys_path / _MARK).exists())


def upgrade(settings: Settings) -> bool:
    """Migrate both databases, and the first time vouch for its parties and archives as they stand; whether that was so.

    All of it is one unit. A crash before the mark is made leaves rows with their tags: the next upgrade gives them the same once more.
    Raises KeyFileUnusable, KmsFailed, Unavailable, chain.errors.LedgerError.
    """
    connect(settings.effective_ledger_url).dispose()
    mark = settings.keys_path / _MARK
    is_first = not mark.exists()
    index = open_index(settings.effective_database_url, Keyring(KekFile(settings.kek_path, kms_of(settings.kek_uri))))
    try:
        with index.atomic() as connection:
            migrate.upgrade(connection)
            if is_first:
                parties.tag_all(connection)
                archives.tag_all(connection)
    finally:
        index.close()
    mark_tagged(settings)
    return is_first


def mark_tagged(settings: Settings) -> None:
    """From now on a row without its tag was altered.

    Durable when it returns: were the mark lost with the power, rows would be vouched for a second time.
    """
    (settings.keys_path / _MARK).touch(mode=0o600)
    for path in (settings.keys_path / _MARK, settings.keys_path):
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
