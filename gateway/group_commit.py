"""Steps 6 and 7 of a submission for all that arrive together: one container, one put, one unit of the database.

See docs/adr/0024-group-commit.md. Who comes while nobody commits goes at once. Who comes meanwhile waits for that commit, and goes then
with all who waited as well: the slower the disk, the larger the groups, and none waits longer than for the commit before its own. Two
processes make groups of their own.

    container put, durable       a crash: an orphan object, which the audit names and the sweeper removes
    rows and ANCHOR committed    a crash: all of it is there, for each of the group; none of them is answered before

One that finds its race lost (what it was decided on has changed), or cannot be written, is left out, and the others go on without it:
their container is made anew, since one with a bundle that nothing refers to must not be anchored.

A bucket that hangs holds the thread of who commits, and no other for long: who waits gives up, and who comes then is refused at once. A
slow one holds as many threads as CAPACITY, and who comes beyond them gives up soon: so there are threads left to read with. What took so
long that the sweeper may have taken its container for an orphan is not committed.
"""

from collections import defaultdict, deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from threading import Lock
from time import monotonic

from gateway.errors import Unavailable
from gateway.index import archives
from gateway.index.archives import Archive, NumberTaken
from gateway.index.database import Index, LostRace
from gateway.logs import logger
from gateway.metrics import Metrics
from gateway.pending import LeftOut, Pending, Sealed, write_group
from gateway.storage.port import ObjectExists, ObjectStore
from gateway.vault.container import Container, build_container

MAX_BYTES = 8 << 20  # sealed, of a group; a larger submission goes alone
ATTEMPTS = 30
PATIENCE = 30.0  # seconds for a commit, before who waits for it gives up; an outage is known sooner
CAPACITY = 12  # submissions at a time, of the 16 threads of a worker (gateway.web.server)
SHORT_PATIENCE = 5.0  # seconds, for who comes beyond; what is stored in good time lets everybody in
LONGEST = 900  # seconds from a put to its commit, by the clock that the sweeper looks at, whose grace is far longer


class GroupCommit:
    """One in each process."""

    def __init__(
        self,
        index: Index,
        store: ObjectStore,
        metrics: Metrics,
        clock: Callable[[], float],
        max_bytes: int = MAX_BYTES,
        patience: float = PATIENCE,
        capacity: int = CAPACITY,
        short_patience: float = SHORT_PATIENCE,
    ) -> None:
        """`clock` in seconds since the epoch. `capacity` submissions may wait for `patience` seconds, or be stored; whoever comes beyond
        waits for `short_patience`.
        """
        self._index, self._store, self._metrics, self._clock = index, store, metrics, clock
        self._max_bytes, self._patience, self._capacity, self._short_patience = max_bytes, patience, capacity, short_patience
        self._inside = 0  # how many wait, or are being stored
        self._waiting: deque[Pending] = deque()
        self._line = Lock()  # of those who wait; held for a moment
        self._turn = Lock()  # held by whoever commits, for itself and others
        self._began_at: float | None = None  # when the present commit began, by `monotonic`

    def commit(self, pending: Pending) -> None:
        """Durable when it returns. LostRace if another submission came first, Unavailable if storage or database cannot be reached, or
        take too long; then it may be stored all the same, as where the answer to a commit is lost.
        """
        with self._line:
            patience = self._patience if self._inside < self._capacity else self._short_patience
            began_at = self._began_at
            if began_at is not None and monotonic() - began_at > patience:
                raise Unavailable("storage or database take too long; nothing was written")
            self._waiting.append(pending)
            self._inside += 1
        try:
            self._commit_in_turn(pending, patience)
        finally:
            with self._line:
                self._inside -= 1
        if pending.failure is not None:
            raise pending.failure

    def _commit_in_turn(self, pending: Pending, patience: float) -> None:
        self._take_turn(pending, patience)
        try:
            while not pending.is_settled:
                self._commit_next()
        finally:
            self._turn.release()

    def _take_turn(self, pending: Pending, patience: float) -> None:
        """Raises Unavailable for who waited in vain: at once where it is still in line, a while later where others are storing it."""
        if self._turn.acquire(timeout=patience):
            return
        with self._line:
            is_in_line = pending in self._waiting
            if is_in_line:
                self._waiting.remove(pending)
        if is_in_line or not self._turn.acquire(timeout=self._patience):
            raise Unavailable("storage or database take too long; " + ("nothing was written" if is_in_line else "try again"))

    def _commit_next(self) -> None:
        group = self._next_group()
        self._began_at = monotonic()
        try:
            self._store_group(group)
        except Exception as error:  # whatever it is, all of them hear of it, each in its own request
            for member in group:
                member.settle(error)
        finally:
            self._began_at = None

    def _next_group(self) -> list[Pending]:
        with self._line:
            group = [self._waiting.popleft()]
            size = group[0].size
            while self._waiting and len(group) < self._capacity and (size := size + self._waiting[0].size) <= self._max_bytes:
                group.append(self._waiting.popleft())
        return group

    def _store_group(self, group: Sequence[Pending]) -> None:
        for _ in range(ATTEMPTS):
            self._number(group)
            sealed = [member.sealed() for member in group]
            container = build_container([bundle for each in sealed for bundle in each.bundles])
            try:
                self._put_and_commit(container, group, sealed)
            except LeftOut as left_out:
                for member, failure in left_out.failures.items():
                    member.settle(failure)
                group = [member for member in group if not member.is_settled]
                if not group:
                    return
            except NumberTaken:
                continue  # by another process; nothing else has to be done again
            else:
                self._metrics.group(len(group))
                for member in group:
                    member.settle()
                return
        raise LostRace("the running number of an archive went to others each time")

    def _number(self, group: Sequence[Pending]) -> None:
        """Give the bundles of each archive the numbers that come next, in the order of the group."""
        by_row: dict[int, list[Archive]] = defaultdict(list)
        for member in group:
            for archive in member.archives:
                if archive.row is not None and archive not in member.opened:
                    by_row[archive.row].append(archive)
        with self._index.reading() as connection:
            following = archives.next_numbers(connection, by_row)
        for row, same in by_row.items():
            for number, archive in enumerate(same, following[row]):
                archive.next_number = number

    def _put_and_commit(self, container: Container, group: Sequence[Pending], sealed: Sequence[Sealed]) -> None:
        put_at = self._clock()
        # It can be there only by a try of the store's own whose answer was lost: a name is the digest of the bytes.
        with self._metrics.timed("put"), suppress(ObjectExists):
            self._store.put_if_absent(container.name, container.body)
        is_begun = False
        try:
            with self._metrics.timed("commit"), self._index.atomic() as connection:
                is_begun = True
                if not 0 <= self._clock() - put_at < LONGEST:
                    raise _TooLate
                write_group(connection, container, group, sealed)
        except (LostRace, LeftOut):
            self._discard(container.name)
            raise
        except _TooLate:
            self._discard(container.name)
            raise Unavailable("storage or database took too long, or the clock was put; nothing was written") from None
        except Unavailable:
            if not is_begun:  # a busy database: nothing can have been committed, and each retry of a client would leave one more orphan
                self._discard(container.name)
            raise

    def _discard(self, name: str) -> None:
        """Take back an object that nothing refers to; if that fails, it is an orphan like any other."""
        try:
            self._store.delete(name)
        except Unavailable:
            logger().warning("a container was left behind", container=name)


class _TooLate(Exception):
    """The container may have been swept by now."""
