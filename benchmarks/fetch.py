"""Reading over HTTP, as a party that may."""

import random
import time
from collections.abc import Sequence

from benchmarks.served import DidNotRun, ServedGateway
from benchmarks.timing import percentile
from gateway.client.credentials import Credentials


def measure(gateway: ServedGateway, party: Credentials, records: Sequence[str], reads: int) -> dict[str, float]:
    """One client reads `reads` of `records` (`Type/id`), drawn at random, one after another."""
    drawn = random.Random(reads).choices(records, k=reads)
    connection = gateway.connect(party)
    for record in drawn[:20]:
        connection.ask("GET", f"/fhir/{record}")
    cpu = gateway.group.cpu_seconds()
    seconds, size = [], 0
    for record in drawn:
        started = time.perf_counter()
        answer = connection.ask("GET", f"/fhir/{record}")
        seconds.append(time.perf_counter() - started)
        size += len(answer.body)
        if answer.status != 200:
            raise DidNotRun(f"a read was answered with {answer.status}")
    cpu = gateway.group.cpu_seconds() - cpu
    connection.close()
    return {
        "reads": reads,
        "read_p50_ms": round(percentile(seconds, 0.5) * 1000, 2),
        "read_p99_ms": round(percentile(seconds, 0.99) * 1000, 2),
        "reads_per_s_per_core": round(reads / cpu, 1),
        "bytes_per_read": round(size / reads),
    }
