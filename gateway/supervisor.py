"""A parent and its children: started by fork, started again with back-off when they die, stopped together, none left behind.

All are in one process group. Ctrl-C reaches the whole group, so children have SIGINT and SIGHUP blocked and hear of a stop only by
SIGTERM: a terminal's Ctrl-C then finishes running requests as SIGTERM does. The parent does little else than wait, and holds no keys.
"""

import os
import select
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NoReturn

import structlog

from gateway.logs import log_uncaught

_STOPPING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
_HEARD = (*_STOPPING, signal.SIGCHLD)
STEADY_AFTER = 60.0  # seconds alive after which earlier failures no longer count
MAX_FAILURES = 5
_LONGEST_DELAY = 8.0  # seconds


class GaveUp(Exception):
    """A child cannot be kept running, or never became ready; the text says which and what was seen."""


@dataclass(slots=True)
class Child:
    """One process of the service: what it runs, and how it has fared. Times are `time.monotonic()`."""

    name: str
    run: Callable[[], None]
    pid: int | None = None
    started_at: float = 0.0
    start_at: float = 0.0
    failures: int = 0

    def died(self, now: float) -> bool:
        """Note an unexpected end and when to start again; False if it failed too often."""
        self.pid = None
        self.failures = 1 if now - self.started_at >= STEADY_AFTER else self.failures + 1
        self.start_at = now + min(0.5 * 2 ** (self.failures - 1), _LONGEST_DELAY)
        return self.failures <= MAX_FAILURES


class Supervisor:
    """Keeps `children` running until SIGTERM, SIGINT or SIGHUP; `is_ready` is asked until it says yes once, then `on_ready` is called."""

    def __init__(
        self, children: Sequence[Child], *, is_ready: Callable[[], bool], on_ready: Callable[[], None], ready_within: float, grace: float
    ) -> None:
        self._children = children
        self._is_ready = is_ready
        self._on_ready = on_ready
        self._ready_within = ready_within
        self._grace = grace
        self._ready = False
        self._log = structlog.get_logger()

    def run(self) -> None:
        """Returns after an asked-for stop, when no child is left. Raises GaveUp, then too with no child left."""
        with signals_as_bytes(_HEARD) as heard:
            try:
                self._watch(heard)
            finally:
                self._stop()

    def _watch(self, heard: socket.socket) -> None:
        deadline = time.monotonic() + self._ready_within
        while not _asked_to_stop(heard, timeout=0.1 if not self._ready else 0.5):
            now = time.monotonic()
            self._reap(now)
            self._start_due(now)
            if not self._ready and self._is_ready():
                self._ready = True
                self._on_ready()
            if not self._ready and time.monotonic() > deadline:
                raise GaveUp(f"not ready within {self._ready_within:.0f} seconds; the log says what is missing")

    def _start_due(self, now: float) -> None:
        for child in self._children:
            if child.pid is None and child.start_at <= now:
                child.pid, child.started_at = fork(child.run), now

    def _reap(self, now: float) -> None:
        for child in self._children:
            code = _ended(child.pid)
            if code is None:
                continue
            self._log.error("a process ended", process=child.name, code=code)
            if not child.died(now) or not self._ready:
                when = "again and again" if self._ready else "before the gateway was ready"
                raise GaveUp(f"the {child.name} process stopped {when} (exit code {code}); the log says why")

    def _stop(self) -> None:
        """SIGTERM to all, SIGKILL to what is left after the grace."""
        running = [child for child in self._children if child.pid is not None]
        _tell(running, signal.SIGTERM)
        deadline = time.monotonic() + self._grace
        while running and time.monotonic() < deadline:
            running = [child for child in running if _ended(child.pid) is None]
            time.sleep(0.05)
        for child in running:
            self._log.error("a process did not stop in time and was killed", process=child.name)
        _tell(running, signal.SIGKILL)
        for child in running:
            os.waitpid(child.pid or 0, 0)


def fork(run: Callable[[], None]) -> int:
    """A child that does `run()` and nothing else; returns its process id. It hears SIGTERM, but neither Ctrl-C nor a closed terminal."""
    signal.pthread_sigmask(signal.SIG_BLOCK, _STOPPING)
    try:
        pid = os.fork()
        if pid == 0:
            _be_child(run)
        return pid
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _STOPPING)


def _be_child(run: Callable[[], None]) -> NoReturn:
    code = 1
    try:
        signal.set_wakeup_fd(-1)
        for number in _HEARD:
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGTERM,))
        run()
        code = 0
    except SystemExit as asked:
        code = asked.code if isinstance(asked.code, int) else 0 if asked.code is None else 1
    except BaseException as error:  # the last frame of the process: nothing may climb into the parent's copy of the stack
        log_uncaught(type(error), error, None)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code & 0xFF)


def _ended(pid: int | None) -> int | None:
    """Exit code of a child that ended, negative for a signal; None while it runs."""
    if pid is None:
        return None
    found, status = os.waitpid(pid, os.WNOHANG)
    return os.waitstatus_to_exitcode(status) if found else None


def _tell(children: Sequence[Child], number: signal.Signals) -> None:
    for child in children:
        if child.pid is not None:
            os.kill(child.pid, number)  # not reaped yet, so the id is still its own


@contextmanager
def signals_as_bytes(heard: Sequence[signal.Signals]) -> Iterator[socket.socket]:
    """While inside, each signal of `heard` is one byte in the socket given: none is missed between two looks, and no handler does work.

    A handler that does, such as one that sets a threading.Event, runs between two bytecodes of the main thread, also while that holds the
    very lock which the handler then waits for.
    """
    inward, outward = socket.socketpair()
    outward.setblocking(False)
    before = {number: signal.signal(number, lambda *_: None) for number in heard}
    previous = signal.set_wakeup_fd(outward.fileno(), warn_on_full_buffer=False)
    try:
        yield inward
    finally:
        signal.set_wakeup_fd(previous)
        for number, handler in before.items():
            signal.signal(number, handler)
        inward.close()
        outward.close()


def _asked_to_stop(heard: socket.socket, timeout: float) -> bool:
    if not select.select([heard], [], [], timeout)[0]:
        return False
    return any(number in _STOPPING for number in heard.recv(4096))
