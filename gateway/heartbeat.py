"""The jobs process's sign of life: a file in the home folder, touched twice a second; its time is what the workers look at."""

from pathlib import Path

_FILE = "jobs.heartbeat"
FRESH_FOR = 10  # seconds; a machine under load may lose a few


def clear(home: Path) -> None:
    """Forget the beats of an earlier run."""
    (home / _FILE).unlink(missing_ok=True)


def beat(home: Path) -> None:
    """Raises OSError where the disk takes nothing."""
    (home / _FILE).touch()


def is_beating(home: Path, now: float) -> bool:
    """Whether there was a beat in the last FRESH_FOR seconds before `now` (seconds since the epoch).

    One from later than now is from before the clock was put back, and says nothing.
    """
    try:
        return abs(now - (home / _FILE).stat().st_mtime) <= FRESH_FOR
    except FileNotFoundError:
        return False
