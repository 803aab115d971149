"""When a job is due. Pure: instants are seconds since the epoch and come in as arguments.

`latest` names the run that should have begun last, the same on every host: it is what a run claims, so that a time is served once,
and a time that passed while nothing ran is still seen afterwards, once however many passed.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol
from zoneinfo import ZoneInfo

from cronsim import CronSim


class Schedule(Protocol):
    """The times of a job."""

    def latest(self, now: int) -> int:
        """The last time at or before `now`."""

    def following(self, now: int) -> int:
        """The first time after `now`."""


@dataclass(frozen=True, slots=True)
class Every:
    """Each multiple of so many seconds since the epoch."""

    seconds: int

    def latest(self, now: int) -> int:
        return now - now % self.seconds

    def following(self, now: int) -> int:
        return self.latest(now) + self.seconds

    def __str__(self) -> str:
        count, unit = (self.seconds // 60, "min") if self.seconds % 60 == 0 else (self.seconds, "s")
        return f"every {count} {unit}"


@dataclass(frozen=True, slots=True)
class Cron:
    """A cron expression of five fields, read as Debian's cron reads it, in a time zone of the tz database.

    Where the clock is put forward a time that does not exist runs right after the gap; where it is put back it runs once.
    """

    expression: str
    timezone: str = "UTC"

    def latest(self, now: int) -> int:
        return self._next(now + 60 - now % 60, reverse=True)

    def following(self, now: int) -> int:
        return self._next(now, reverse=False)

    def _next(self, now: int, *, reverse: bool) -> int:
        start = datetime.fromtimestamp(now, UTC).astimezone(ZoneInfo(self.timezone))
        return int(next(CronSim(self.expression, start, reverse=reverse)).timestamp())

    def __str__(self) -> str:
        return f"at {self.expression} ({self.timezone})"
