"""Many clients at once, each creating one Observation after another: what group commit makes of it, beside the disk's syncs.

The clients are threads of processes of their own, each with a connection, and have signed everything before the clock starts.
"""

import http.client
import multiprocessing
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from functools import partial
from multiprocessing.synchronize import Barrier
from typing import Any
from urllib.parse import urlsplit

from benchmarks.ingest import observations
from benchmarks.places import containers, ledger_bytes
from benchmarks.pushing import Request
from benchmarks.served import DidNotRun, ServedGateway
from benchmarks.timing import percentile

CLIENTS = 64
PROCESSES = 2
SETTLE_SECONDS = 4  # until what was created is in blocks

Prepared = list[tuple[str, bytes, dict[str, str]]]  # path, body, headers
_start: Barrier | None = None  # of this process


def measure(gateway: ServedGateway, each: int, fsync_per_s: float) -> dict[str, Any]:
    """`each` creates by each of CLIENTS. `fsync_per_s` is the disk's rate in the same run."""
    party = gateway.new_party()
    connection = gateway.connect(party)
    token = connection.access_token()
    connection.close()
    requests = observations(gateway, party, CLIENTS * each)
    shares = [[_prepared(request, token) for request in requests[n::CLIENTS]] for n in range(CLIENTS)]
    time.sleep(SETTLE_SECONDS)
    ledger, before, cpu = ledger_bytes(gateway.home), len(containers(gateway.home)), gateway.group.cpu_seconds()
    seconds, wall = _at_once(urlsplit(gateway.url).netloc, shares)
    cpu = gateway.group.cpu_seconds() - cpu
    shared = len(containers(gateway.home)) - before
    time.sleep(SETTLE_SECONDS)
    count = len(seconds)
    return {
        "clients": CLIENTS,
        "creates_per_s": round(count / wall, 1),
        "creates_per_s_per_core": round(count / cpu, 1),
        "creates_per_fsync": round(count / wall / fsync_per_s, 2),
        "p50_ms": round(percentile(seconds, 0.5) * 1000, 1),
        "p99_ms": round(percentile(seconds, 0.99) * 1000, 1),
        "creates_per_container": round(count / shared, 2),
        "ledger_bytes_per_record": round((ledger_bytes(gateway.home) - ledger) / count, 1),
    }


def _prepared(request: Request, token: str) -> tuple[str, bytes, dict[str, str]]:
    return request.sent.path, request.sent.body, {**request.headers, "Authorization": f"Bearer {token}"}


def _at_once(address: str, shares: Sequence[Prepared]) -> tuple[list[float], float]:
    """Seconds of every create, and of all of them together by the clock. Raises DidNotRun."""
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(PROCESSES)
    with ProcessPoolExecutor(PROCESSES, context, _keep, (barrier,)) as pool:
        found = list(pool.map(partial(_of_one_process, address), [shares[n::PROCESSES] for n in range(PROCESSES)]))
    started, ended = min(began for _, began, _ in found), max(end for _, _, end in found)
    return [seconds for these, _, _ in found for seconds in these], ended - started


def _keep(barrier: Barrier) -> None:
    global _start  # noqa: PLW0603 - a pool's process is given it once
    _start = barrier


def _of_one_process(address: str, shares: Sequence[Prepared]) -> tuple[list[float], float, float]:
    """Seconds of each create, and when by the monotonic clock the first began and the last ended."""
    assert _start is not None
    with ThreadPoolExecutor(len(shares)) as pool:
        _start.wait()
        started = time.monotonic()
        seconds = [one for these in pool.map(partial(_client, address), shares) for one in these]
        return seconds, started, time.monotonic()


def _client(address: str, requests: Prepared) -> list[float]:
    connection = http.client.HTTPConnection(address, timeout=60)
    seconds = []
    for path, body, headers in requests:
        started = time.perf_counter()
        connection.request("POST", path, body, headers)
        answer = connection.getresponse()
        told = answer.read()
        seconds.append(time.perf_counter() - started)
        if answer.status != 201:
            raise DidNotRun(f"a create was answered with {answer.status}: {told[:300].decode(errors='replace')}")
    connection.close()
    return seconds
