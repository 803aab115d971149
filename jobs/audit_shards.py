"""Runs an audit's shards on all cores: a process for each, this one among them, no more shards on their way than keep them busy, reports in
order.

The others are started afresh, not forked, and open what they need from the settings: no key, lock or connection goes from one to another.
To start one takes as much as some 20,000 records of content, so this one, which has started anyway, works as well as it hands out.
"""

import gc
import multiprocessing
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from functools import partial
from itertools import chain, islice
from typing import Any, Generic, TypeVar

from gateway.settings import Settings
from jobs.audit_report import Report

S = TypeVar("S")
Verify = Callable[[S], Report]

_verify: Callable[[Any], Report] | None = None  # of this process, once it is one of the pool


class ShardRunner(Generic[S]):
    """`open_verify` opens what a process needs and gives what verifies a shard there; a function of a module, since it is sent by name."""

    def __init__(self, settings: Settings, open_verify: Callable[[Settings], Verify[S]], processes: int | None = None) -> None:
        self._settings, self._open = settings, open_verify
        self._processes = processes or len(os.sched_getaffinity(0))

    def run(self, shards: Iterable[S]) -> Iterator[tuple[S, Report]]:
        """Each shard with its report, in order. A single one, or a single core, is served in this process."""
        first = list(islice(shards := iter(shards), 2))
        everything = chain(first, shards)
        if len(first) < 2 or self._processes < 2:
            verify = self._open(self._settings)
            yield from ((shard, _collected(verify, shard)) for shard in everything)
        else:
            yield from self._in_pool(everything)

    def _in_pool(self, shards: Iterator[S]) -> Iterator[tuple[S, Report]]:
        context, others = multiprocessing.get_context("spawn"), self._processes - 1
        start = partial(_start, self._settings, self._open)
        verify = self._open(self._settings)
        with ProcessPoolExecutor(others, context, start) as pool:
            waiting: deque[tuple[S, Future[Report]]] = deque()
            for shard in shards:
                on_their_way = sum(not future.done() for _, future in waiting)
                others_are_busy = on_their_way >= 2 * others  # each has one at hand, and one to go on with
                waiting.append((shard, _performed(verify, shard) if others_are_busy else pool.submit(_in_process, shard)))
                while waiting and (waiting[0][1].done() or len(waiting) > 2 * self._processes):
                    yield _done(*waiting.popleft())
            while waiting:
                yield _done(*waiting.popleft())


def _performed(verify: Verify[S], shard: S) -> Future[Report]:
    """In this process; what goes wrong is raised when its turn comes."""
    done: Future[Report] = Future()
    try:
        done.set_result(_collected(verify, shard))
    except Exception as error:  # whatever it is, as a pool keeps it of a shard in another process
        done.set_exception(error)
    return done


def _done(shard: S, future: Future[Report]) -> tuple[S, Report]:
    return shard, future.result()


def _start(settings: Settings, open_verify: Callable[[Settings], Callable[[Any], Report]]) -> None:
    global _verify  # noqa: PLW0603 - a pool's process is set up once and keeps what it opened
    _verify = open_verify(settings)


def _in_process(shard: object) -> Report:
    assert _verify is not None
    return _collected(_verify, shard)


def _collected(verify: Verify[S], shard: S) -> Report:
    """A shard makes millions of small objects and no cycles: the collector only gets in the way (a sixth of the time)."""
    gc.disable()
    try:
        return verify(shard)
    finally:
        gc.enable()
