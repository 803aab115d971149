"""Bringing a gateway that an earlier version made to this version's database (docs/adr/0021-row-tags.md)."""

import os

from gateway.index import archives, migrate, parties
from gateway.index.database import open_index
from gateway.settings import Settings
from gateway.vault.kek_file import KekFile
from gateway.vault.keyring import Keyring
from gateway.vault.kms import kms_of

_MARK = "rows-tagged"  # beside the keys, where whoever can write the database cannot: rows are vouched for as they stand only once


def upgrade(settings: Settings) -> bool:
    """Migrate the database, and the first time vouch for its parties and archives as they stand; whether that was so.

    All of it is one unit. A crash before the mark is made leaves rows with their tags: the next upgrade gives them the same once more.
    Raises KeyFileUnusable, KmsFailed, Unavailable.
    """
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
