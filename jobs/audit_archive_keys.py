"""An archive's keys as the database holds them, opened and held against one another; they live as long as a shard takes."""

from collections.abc import Mapping
from typing import NamedTuple

from gateway.index.archives import Archive
from gateway.vault.errors import WrongKey
from gateway.vault.keyring import ArchiveSecret, Keyring
from gateway.vault.primitives import WrapPrivateKey, WrapSuite
from jobs.audit_notes import Notes


class OpenedKeys(NamedTuple):
    private: WrapPrivateKey
    secret: ArchiveSecret


class NotCheckable(Exception):
    """The gateway does not hold the archive's key: it was destroyed. That it should have been, `audit_row_tags` looks after."""


class KeysBroken(Exception):
    """The archive's keys do not open, or there is no such archive; it was noted."""


class ArchiveKeys:
    """The keys of these archives, by row; each is opened once, and what is wrong with it noted then."""

    def __init__(self, keyring: Keyring, archives: Mapping[int, Archive], notes: Notes) -> None:
        self._keyring, self._archives, self._notes = keyring, archives, notes
        self._opened: dict[int, OpenedKeys | None] = {}

    def of(self, row: int) -> OpenedKeys:
        """Raises NotCheckable and KeysBroken."""
        archive = self._archives.get(row)
        if archive is None:
            self._notes.found("index-row-missing", f"archive {row}", "a bundle belongs to it, and the database does not know it")
            raise KeysBroken
        if archive.keys.sealed_seed is None:
            raise NotCheckable
        if row not in self._opened:
            self._opened[row] = self._open(row, archive)
        keys = self._opened[row]
        if keys is None:
            raise KeysBroken
        return keys

    def _open(self, row: int, archive: Archive) -> OpenedKeys | None:
        held = archive.keys
        try:
            keys = OpenedKeys(self._keyring.private_key(held), self._keyring.archive_secret(held))
            public = keys.private.public
        except (WrongKey, ValueError):
            self._notes.found("index-row-altered", f"archive {row}", "its sealed keys do not open")
            return None
        if (public.suite, public.raw, public.key_id) != (WrapSuite(held.suite), held.public, held.key_id):
            self._notes.found("index-row-altered", f"archive {row}", "its public key is not that of its private key")
        return keys
