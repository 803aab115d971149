"""Bringing a gateway that an earlier version made to this version's database (docs/adr/0021-row-tags.md)."""

import os
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass

from sqlalchemy import Connection

from chain.database import connect, missing_migrations
from chain.genesis import Genesis
from chain.ledger import Ledger
from chain.store import LedgerStore
from gateway.checkpoint_keys import due, register
from gateway.index import archives, directory_links, memberships, migrate, outbox, parties, persons
from gateway.index.database import open_index
from gateway.settings import Settings
from gateway.vault.kek_file import KekFile
from gateway.vault.keyring import Keyring
from gateway.vault.kms import kms_of

# Files beside the keys, where whoever can write the database cannot: the rows of each are vouched for as they stand only once.
_MARKS: dict[str, tuple[Callable[[Connection], None], ...]] = {
    "rows-tagged": (parties.TAGGED.tag, archives.TAGGED.tag),
    "rows-tagged-2": (outbox.TAGGED.tag, directory_links.TAGGED.tag, persons.TAGGED.tag),
    "rows-tagged-3": (memberships.write_down,),
}


@dataclass(frozen=True, slots=True)
class Plan:
    """What an upgrade would do: migrations by their titles, whether it vouches for rows of before there were tags, and for which keys
    (files below `keys`) it makes known to the chain with what they sign checkpoints.
    """

    database: list[str]
    ledger: list[str]
    vouches: bool
    registers: list[str]

    @property
    def is_empty(self) -> bool:
        return not (self.database or self.ledger or self.vouches or self.registers)


def planned(settings: Settings) -> Plan:
    """Changes nothing. Raises KeyFileUnusable, Unavailable, chain.errors.LedgerError."""
    keys = settings.keys_path
    with (
        closing(_ledger_of_any_layout(settings)) as ledger,
        closing(open_index(settings.effective_database_url)) as index,
        index.reading() as connection,
    ):
        found = migrate.missing(connection)
        registers = [one.name for one in due(ledger, keys, None if found else connection)]
    return Plan(found, missing_migrations(settings.effective_ledger_url), bool(_unmarked(settings)), registers)


def _ledger_of_any_layout(settings: Settings) -> Ledger:
    genesis = _genesis(settings)
    return Ledger(LedgerStore.open(settings.effective_ledger_url, genesis, read_only=True, is_any_layout=True), genesis)


def upgrade(settings: Settings, now: int) -> bool:
    """Migrate both databases, put in line what makes the keys of checkpoints known to the chain, and vouch once for rows as they stand that
    are not believed without a tag; whether that was so. `now` in seconds since the epoch.

    All of it is one unit. A crash before the marks are made leaves rows with their tags: the next upgrade gives them the same once more.
    Raises KeyFileUnusable, KmsFailed, Unavailable, chain.errors.LedgerError.
    """
    connect(settings.effective_ledger_url).dispose()
    ledger = Ledger.open(settings.effective_ledger_url, _genesis(settings))
    unmarked = _unmarked(settings)
    index = open_index(settings.effective_database_url, Keyring(KekFile(settings.kek_path, kms_of(settings.kek_uri))))
    try:
        with index.atomic() as connection:
            migrate.upgrade(connection)
            for mark in unmarked:
                for vouch in _MARKS[mark]:
                    vouch(connection)
            register(connection, ledger, settings.keys_path, now)
    finally:
        ledger.close()
        index.close()
    mark_tagged(settings)
    return bool(unmarked)


def _unmarked(settings: Settings) -> list[str]:
    return [mark for mark in _MARKS if not (settings.keys_path / mark).exists()]


def _genesis(settings: Settings) -> Genesis:
    return Genesis.parse(settings.genesis_path.read_bytes())


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
