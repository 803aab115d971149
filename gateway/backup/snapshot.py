"""A database as it was at one moment, copied while it goes on: what both kinds of databases offer to a backup."""

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

Progress = Callable[[str, int, int], None]  # what is done, how much of it, of how much
PATIENCE = 30.0  # seconds: for a lock, and for a connection


class Snapshot(Protocol):
    """One database. Its methods raise BackupRefused or Unavailable, with a sentence for the operator."""

    def begin(self) -> None:
        """From now on the database is seen as it is now."""

    def size(self) -> int:
        """Bytes that a copy takes, at most."""

    def copy(self, to: Path, what: str, progress: Progress) -> None:
        """All of it in `to`, a new file of SQLite in the same layout; it is not synced."""
