"""What a jobs process is at, and until when: a job that is not done by its deadline is taken for one that hangs.

Threads cannot be ended from outside, so the process ends as a whole, at once and without a word to the thread that hangs, and its parent
starts it again. That is as safe as kill -9, which every job and every step of a block is written to stand: what it had claimed is free
again, and the next slot signs and votes for the very bytes that were stored before.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Running:
    """One run; `scheduled_for` is the time that was claimed, None for a job whose times are not claimed."""

    job: str
    scheduled_for: int | None
    within: int  # seconds
    began_at: float  # by the clock that is given to AtWork


class AtWork:
    """May be used by several threads. `clock` in seconds: one that nobody can put."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._lock = clock, threading.Lock()
        self._running: dict[str, Running] = {}

    @contextmanager
    def on(self, job: str, within: int, scheduled_for: int | None = None) -> Iterator[None]:
        """While inside, the job is at work."""
        with self._lock:
            self._running[job] = Running(job, scheduled_for, within, self._clock())
        try:
            yield
        finally:
            with self._lock:
                self._running.pop(job, None)

    def claimed(self) -> dict[str, int]:
        """By job, the time that it serves."""
        with self._lock:
            return {run.job: run.scheduled_for for run in self._running.values() if run.scheduled_for is not None}

    def overdue(self) -> list[Running]:
        """What should have been done by now."""
        now = self._clock()
        with self._lock:
            return [run for run in self._running.values() if now - run.began_at > run.within]
