"""The audit of content as the command runs it, on what a gateway took in: everything, and with the original entries in turns."""

import json
import os
import subprocess
from pathlib import Path
from typing import NamedTuple

from benchmarks.ingest import Say
from benchmarks.process_tree import ProcessGroup
from benchmarks.pushing import push
from benchmarks.receipts import until_final
from benchmarks.served import DidNotRun, ServedGateway, environment, make_home, served, words
from benchmarks.workload import Workload


class Audited(NamedTuple):
    """`cpu` seconds of the command and its processes, from start to end; `memory` the most that they took together, in bytes."""

    records: int
    cpu: float
    memory: int

    @property
    def rate(self) -> float:
        return round(self.records / self.cpu, 1)


def measure(folder: Path, workload: Workload, *, rounds: int, say: Say) -> dict[str, float]:
    """After the first of `rounds` (two at least) of the workload, each sent by another institution, and after the last."""
    home = make_home(folder)
    with served(folder, home) as gateway:
        _push(gateway, workload, 1)
        say("audit: content, after the first round")
        first = audited(folder, home)
        say(f"audit: content, {rounds - 1} rounds of {workload.source} bundles go in")
        _push(gateway, workload, rounds - 1)
        say("audit: content, after the last round, then with the original entries in turns")
        full, rotating = audited(folder, home), audited(folder, home, "--rotating")
    return {
        "content_records_per_s_per_core": full.rate,
        "content_rotating_records_per_s_per_core": rotating.rate,
        "content_records": full.records,
        "content_memory_mb": round(full.memory / 1e6, 1),
        "content_records_at_first": first.records,
        "content_cpu_s_at_first": round(first.cpu, 2),
        "content_memory_mb_at_first": round(first.memory / 1e6, 1),
    }


def audited(folder: Path, home: Path, *options: str) -> Audited:
    """One run of the command. Raises DidNotRun unless it finds all clean."""
    told = folder / "audit.json"
    with told.open("wb") as out:
        arguments = words(home, "audit", "run", "--level", "content", "--json", *options)
        process = subprocess.Popen(arguments, stdout=out, stderr=subprocess.DEVNULL, env=environment(), start_new_session=True)
    with ProcessGroup(process.pid).peak() as peak:
        _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise DidNotRun(f"the audit of what was just pushed ended with {process.returncode}: {told.read_text()[:300]}")
    return Audited(json.loads(told.read_bytes())["checked"]["records"], used.ru_utime + used.ru_stime, peak.bytes)


def _push(gateway: ServedGateway, workload: Workload, rounds: int) -> None:
    """Until the last of it is final."""
    for _ in range(rounds):
        party = gateway.new_party()
        pushed = push(gateway, workload, party)
    connection = gateway.connect(party)
    until_final(connection, pushed.records[-1])
    connection.close()
