"""Whether a submission could be taken now, and come to its end: what `/readyz` says (docs/operations.md).

Five parts, each really tried: the write lock of the database is taken, bytes are stored in the bucket and removed again, the ledger is
read, its head moves while there is work for it, the jobs process beats. A look costs a few milliseconds and an fsync, so one that found
all in order is believed for a while, however many ask; but not while the next one waits for a part that gives no answer.
"""

import os
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from threading import Lock

from sqlalchemy import make_url

from chain.errors import LedgerError
from chain.genesis import Genesis
from chain.ledger import Ledger
from gateway import tenure
from gateway.errors import GatewayError
from gateway.heartbeat import is_beating
from gateway.index import outbox
from gateway.index.database import Index, open_index
from gateway.logs import logger
from gateway.settings import Settings
from gateway.storage.port import ObjectStore
from gateway.wording import counted

BELIEVED_FOR = 2.0  # seconds
BELIEVED_MISSING_FOR = 0.25  # seconds: who waits for a start or a recovery asks often
ANSWER_WITHIN = 10.0  # seconds for a part, before it counts as one that cannot be used
LEAST_ROOM = 4 << 20  # bytes on the disk of a database that is a file: below, its next transaction may fail
ROOM_FOR_MARKS = 64 << 10  # bytes on the disk of the delegates' watermarks, which are written anew for each block
LOCK_WITHIN = 5.0  # seconds until a database that others write to counts as one that cannot be written
CLOCK_SECONDS = 5  # by which the clocks of hosts may differ
STALLED_SLOTS, STALLED_SECONDS = 10, 15  # how long the chain may leave work lie, whichever is longer

Missing = dict[str, str]  # part -> what is the matter, in a sentence that may go to anyone
PARTS = ("database", "bucket", "ledger", "chain", "jobs")


class ChainWatch:
    """Follows the head: it must move on while transactions wait, or a heartbeat is due. Times in seconds since the epoch."""

    def __init__(self, genesis: Genesis) -> None:
        self._genesis = genesis
        self._due: tuple[int, float] | None = None  # the height at which work was seen lying, and when first

    def look(self, now: float, *, height: int, slot: int, waiting: int) -> str | None:
        """What is the matter, None as long as nothing is. `height` and `slot` are the head's, `waiting` counts transactions.

        A clock that was set back to before the head's slot stops the chain until it has caught up, whether or not there is work now.

        What lay at one height and lies at the same height now has lain all the time: to record it is to raise the height. A gateway that
        was off for long has as much time as any other to catch up.
        """
        behind = int(self._genesis.slot_time(slot) - now)
        if behind > CLOCK_SECONDS:
            return f"the clock is {behind} seconds behind the last block, and there is no other before it has caught up"
        if not waiting and self._genesis.slot_at(now) - slot < self._genesis.heartbeat_slots:
            self._due = None
            return None
        if self._due is None or self._due[0] != height or now < self._due[1]:
            self._due = height, now
        late = int(now - self._due[1])
        if late <= max(STALLED_SECONDS, STALLED_SLOTS * self._genesis.slot_seconds):
            return None
        if waiting:
            return f"no block for {late} seconds, with {counted(waiting, 'transactions')} waiting"
        return f"no heartbeat block for {late} seconds"


class Readiness:
    """For one process; `missing` may be called by several threads."""

    def __init__(self, settings: Settings, store: ObjectStore, ledger: Ledger, clock: Callable[[], float]) -> None:
        self._settings, self._store, self._ledger, self._clock = settings, store, ledger, clock
        self._looking = Lock()
        self._found: tuple[float, Missing] | None = None  # when, by the clock
        self._asked: tuple[str, float] = "", 0.0  # the part that is being looked at, and since when, by the clock

    @cached_property
    def _watch(self) -> ChainWatch:
        return ChainWatch(self._ledger.genesis)

    @cached_property
    def _probe(self) -> Index:
        """The database with little patience."""
        return open_index(self._settings.effective_database_url, cache_mib=1, busy_seconds=LOCK_WITHIN)

    def missing(self) -> Missing:
        """The parts that cannot be used, none of them if this gateway is ready. While one thread looks, others get what was found last,
        as long as the part that it looks at may still answer.
        """
        found = self._found
        if found is not None and self._is_believed(found):
            return found[1]
        if not self._looking.acquire(timeout=ANSWER_WITHIN if found is None else 0):
            part, since = self._asked
            is_late = not 0 <= self._clock() - since < ANSWER_WITHIN
            return {part: "it gives no answer"} if found is None or is_late else found[1]
        try:
            self._found = self._clock(), self._look()
            return self._found[1]
        finally:
            self._looking.release()

    def close(self) -> None:
        self._probe.close()

    def _is_believed(self, found: tuple[float, Missing]) -> bool:
        return 0 <= self._clock() - found[0] < (BELIEVED_MISSING_FOR if found[1] else BELIEVED_FOR)

    def _look(self) -> Missing:
        checks: dict[str, Callable[[], str | None]] = {
            "database": self._write_database,
            "bucket": self._bucket,
            "ledger": self._read_ledger,
            "chain": self._chain,
            "jobs": self._jobs,
        }
        found: Missing = {}
        for part, check in checks.items():
            self._asked = part, self._clock()
            if (fault := _fault(part, check)) is not None:
                found[part] = fault
        return found

    def _write_database(self) -> str | None:
        with self._probe.atomic():
            return _room(self._settings.effective_database_url)  # the write lock was there to be had

    def _bucket(self) -> str | None:
        """Another home's, if it was taken over; the jobs process looks for that."""
        taken = tenure.told(self._settings.home)
        if taken is None:
            self._store.check_writable()
        return taken

    def _read_ledger(self) -> str | None:
        self._ledger.height()
        marks = _room_in(self._settings.keys_path, ROOM_FOR_MARKS)
        return _room(self._settings.effective_ledger_url) or (marks and f"{marks} on which delegates keep what they signed")

    def _chain(self) -> str | None:
        """None where database or ledger cannot be read: they are named themselves."""
        try:
            head, waiting = self._ledger.head(), self._ledger.pending()
            with self._probe.reading() as connection:
                waiting += outbox.size(connection)
        except (GatewayError, LedgerError):
            return None
        height, slot = (head.height, head.slot) if head else (0, 0)
        return self._watch.look(self._clock(), height=height, slot=slot, waiting=waiting)

    def _jobs(self) -> str | None:
        return None if is_beating(self._settings.home, self._clock()) else "the jobs process gives no sign of life"


def _room(url: str) -> str | None:
    """A transaction that writes nothing succeeds on a full disk, too."""
    return _room_in(Path(make_url(url).database or "").parent, LEAST_ROOM) if url.startswith("sqlite:") else None


def _room_in(folder: Path, least: int) -> str | None:
    """Asked of the file system and not tried: one that is full or read-only for this process is so for the one that writes."""
    disk = os.statvfs(folder)
    if disk.f_flag & os.ST_RDONLY:
        return "the disk is read-only"
    return "the disk is full" if disk.f_bavail * disk.f_frsize < least else None


def _fault(part: str, check: Callable[[], str | None]) -> str | None:
    try:
        return check()
    except (GatewayError, LedgerError) as error:
        logger().warning("not ready", part=part, exc_info=error)
        return str(error)
    except Exception as error:  # whatever it is, this part cannot be used now, and the others are still to be asked
        logger().warning("not ready", part=part, exc_info=error)
        return "it cannot be used; the log says why"
