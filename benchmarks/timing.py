"""Rates and percentiles. CPU time is that of the calling process, so that other work on a shared machine falsifies a rate less."""

import math
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

SLICES = 5


def rate(work: Callable[[], Any], seconds: float, clock: Callable[[], float] = time.process_time) -> float:
    """How often a second of `clock` the work can be done: the median of five slices, which last `seconds` together."""
    work()
    return statistics.median(_slice(work, seconds / SLICES, clock) for _ in range(SLICES))


def _slice(work: Callable[[], Any], seconds: float, clock: Callable[[], float]) -> float:
    done, started = 0, clock()
    while (passed := clock() - started) < seconds:
        work()
        done += 1
    return done / passed


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least `share` (0 to 1) of `values` do not exceed (nearest rank)."""
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]
