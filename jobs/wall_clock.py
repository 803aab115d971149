"""The host's clock, held against the seconds that the machine counts by itself, which nobody can put.

A block stands for ever in its slot, and the next one in a later slot: what a clock makes that is ahead, be it for a moment, has the chain
wait until time has come there. So a clock that leapt is believed only when it is right again, or has gone on so for a while.
"""

import time
from collections.abc import Callable

LEAP = 60.0  # seconds; what is put by less costs the chain less
STEADY = 600.0  # seconds after which a clock that was put is believed: whoever corrects clocks has had the time to


def _counted() -> float:
    """Seconds since the machine was started; those that it slept are among them where the system counts them."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()


class WallClock:
    """Seconds since the epoch, and how far to believe them."""

    def __init__(self, told: Callable[[], float] = time.time, counted: Callable[[], float] = _counted) -> None:
        """It is believed as it is now."""
        self._told, self._counted = told, counted
        self._believed = told() - counted()
        self._put: tuple[float, float] | None = None  # the offset that it was put to, and when, as counted

    def now(self) -> float:
        return self._told()

    def leapt_by(self) -> float:
        """The seconds that it was put by, 0 as long as it can be believed. To be asked often, by one thread."""
        counted = self._counted()
        offset = self._told() - counted
        if self._put is None or abs(offset - self._put[0]) > LEAP:
            self._put = offset, counted
        if abs(offset - self._believed) <= LEAP or counted - self._put[1] >= STEADY:
            self._believed, self._put = offset, None
        return offset - self._believed
