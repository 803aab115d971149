"""What a service costs: CPU time and memory of every process of its process group, from Linux's /proc (proc(5)).

CPU time includes that of children that ended and were waited for. Memory is the proportional set size: a page that three processes share
counts a third in each, so that the sum is what the service takes from the machine.
"""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")
SAMPLE_SECONDS = 0.05
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Stat:
    """Of /proc/PID/stat: the process group, and CPU time in clock ticks, that of waited-for children included."""

    group: int
    ticks: int


def parse_stat(line: str) -> Stat:
    """The command's name stands in parentheses and may hold anything, so fields are counted from its end."""
    fields = line[line.rindex(")") + 2 :].split()
    return Stat(int(fields[2]), sum(map(int, fields[11:15])))


class ProcessGroup:
    """The processes of group `group`; those that come and go meanwhile are no error."""

    def __init__(self, group: int, proc: Path = PROC) -> None:
        self.group, self._proc = group, proc

    def cpu_seconds(self) -> float:
        """Seconds of CPU used so far."""
        return sum(stat.ticks for _, stat in self._members()) / _TICKS

    def memory_bytes(self) -> int:
        """Sum of the proportional set sizes."""
        return sum(_pss_bytes(folder) for folder, _ in self._members())

    def processes(self) -> int:
        return sum(1 for _ in self._members())

    @contextmanager
    def peak(self) -> Iterator["Peak"]:
        """While inside, memory is looked at every 50 ms; `Peak.bytes` is the highest seen."""
        peak = Peak(self.memory_bytes())
        stop = threading.Event()

        def watch() -> None:
            while not stop.wait(SAMPLE_SECONDS):
                peak.bytes = max(peak.bytes, self.memory_bytes())

        watcher = threading.Thread(target=watch, daemon=True)
        watcher.start()
        try:
            yield peak
        finally:
            stop.set()
            watcher.join()
            peak.bytes = max(peak.bytes, self.memory_bytes())

    def _members(self) -> Iterator[tuple[Path, Stat]]:
        for folder in self._proc.iterdir():
            if not folder.name.isdecimal():
                continue
            try:
                stat = parse_stat((folder / "stat").read_text())
            except (FileNotFoundError, ProcessLookupError):
                continue
            if stat.group == self.group:
                yield folder, stat


@dataclass(slots=True)
class Peak:
    bytes: int


def _pss_bytes(folder: Path) -> int:
    try:
        for line in (folder / "smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) << 10
    except (FileNotFoundError, ProcessLookupError):
        pass
    return 0
