"""Who may write a ledger that several hosts share: a lease with a fence (docs/design/hosts.md).

One row: the holder, its fence number, and until when by the database's clock. Whoever takes it over gets a higher number. Every durable
write checks holder and number in its own transaction, which locks the row; so what was written before a takeover is there for the next
holder to see, and nothing of the last one comes after. The clock only decides when somebody else may take over, never what is safe.
"""

import os
import secrets
import socket
import threading
from collections.abc import Callable
from contextlib import suppress

from sqlalchemy import Connection, Engine, text

from chain.database import LedgerUnreachable
from chain.errors import LedgerError

_NOW = "CAST(extract(epoch FROM clock_timestamp()) * 1000 AS BIGINT)"
_TAKE = text(
    f"INSERT INTO lease (id, holder, fence, expires_ms) VALUES (1, :holder, 1, {_NOW} + :ms) "  # noqa: S608 - a constant
    "ON CONFLICT (id) DO UPDATE SET holder = :holder, fence = lease.fence + 1, expires_ms = excluded.expires_ms "
    f"WHERE lease.expires_ms <= {_NOW} RETURNING fence"
)
_EXTEND = text(
    f"UPDATE lease SET expires_ms = {_NOW} + :ms WHERE holder = :holder AND fence = :fence AND expires_ms > {_NOW}"  # noqa: S608 - a constant
)
_LET_GO = text("UPDATE lease SET expires_ms = 0 WHERE holder = :holder AND fence = :fence")
_RENEWALS = 4  # in the time of a lease
SHORTEST, LONGEST = 1.0, 60.0  # seconds


class LeaseLost(LedgerError):
    """Another process writes this ledger now, or this one let its lease expire. Nothing was written."""


def is_held(connection: Connection) -> bool:
    """Whether some process writes this ledger now, or did until a moment ago."""
    return connection.exec_driver_sql(f"SELECT 1 FROM lease WHERE expires_ms > {_NOW}").first() is not None  # noqa: S608 - a constant


class Lease:
    """A process's claim. Taken and checked by the thread that produces, kept alive by one of its own."""

    def __init__(self, engine: Engine, slot_seconds: float) -> None:
        """Who is silent for a slot has lost it, so that the next slot but one, at the latest, has another producer."""
        self._engine = engine
        self._holder = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"
        self._seconds = min(max(slot_seconds, SHORTEST), LONGEST)
        self._fence: int | None = None
        self._closed = threading.Event()
        self._keeper = threading.Thread(target=self._keep, name="lease", daemon=True)

    def take(self, on_new: Callable[[], None]) -> bool:
        """Whether the lease is this process's, kept or taken now; `on_new` is called where it is new: others may have written.

        Raises `LedgerUnreachable`.
        """
        if self._fence is not None and self._extended():
            return True
        with self._engine.begin() as connection:
            self._fence = connection.scalar(_TAKE, {"holder": self._holder, "ms": self._ms})
        if self._fence is None:
            return False
        on_new()
        if self._keeper.ident is None:
            self._keeper.start()
        return True

    def check(self, connection: Connection) -> None:
        """To be called first in every transaction that writes. Raises `LeaseLost`; else nobody can take over before it ends."""
        if self._fence is None or not self._extend(connection):
            self._fence = None
            raise LeaseLost("another process writes this ledger now")

    def close(self) -> None:
        """Let the next one have it at once."""
        self._closed.set()
        if self._keeper.ident is not None:
            self._keeper.join()
        if self._fence is not None:
            with suppress(LedgerUnreachable), self._engine.begin() as connection:
                connection.execute(_LET_GO, {"holder": self._holder, "fence": self._fence})

    @property
    def _ms(self) -> int:
        return round(self._seconds * 1000)

    def _keep(self) -> None:
        """A block may take longer than the lease lasts. What fails here shows where something is written."""
        while not self._closed.wait(self._seconds / _RENEWALS):
            with suppress(LedgerUnreachable):
                self._extended()

    def _extended(self) -> bool:
        with self._engine.begin() as connection:
            return self._extend(connection)

    def _extend(self, connection: Connection) -> bool:
        given = {"holder": self._holder, "fence": self._fence, "ms": self._ms}
        return connection.execute(_EXTEND, given).rowcount == 1
