"""Ingest through HTTP against a running gateway: bundles, single creates, one very large bundle."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.generated_bundle import generated_bundle
from benchmarks.index_filler import fill
from benchmarks.places import containers, index_bytes
from benchmarks.pushing import Pushed, Request, push, signed
from benchmarks.served import DidNotRun, ServedGateway
from benchmarks.timing import percentile
from benchmarks.workload import Workload
from gateway.client.connection import Answer
from gateway.client.credentials import Credentials

SETTLE_SECONDS = 0.5  # after a start or a burst, before memory at rest is read
Say = Callable[[str], None]


def measure(gateway: ServedGateway, workload: Workload, *, rounds: int, singles: int, large_entries: int, say: Say) -> dict[str, Any]:
    """Each round is the whole workload, sent by another institution."""
    time.sleep(SETTLE_SECONDS)
    at_start = gateway.group.memory_bytes()
    before = _stored(gateway.home)
    pushed = []
    for number in range(1, rounds + 1):
        say(f"ingest: {workload.source} bundles, round {number} of {rounds}")
        pushed.append(push(gateway, workload, gateway.new_party()))
    grown = {name: size - before[name] for name, size in _stored(gateway.home).items()}
    resources = sum(p.resources for p in pushed)
    say("ingest: single creates")
    single = single_creates(gateway, singles)
    say(f"ingest: a bundle of {large_entries:,} entries")
    return {
        **throughput(pushed),
        "bundle_resources": resources,
        "workload": workload.source,
        **single,
        "sealed_bytes_per_record": round(grown["sealed"] / resources, 1),
        "index_bytes_per_record": round(grown["index"] / resources, 1),
        "memory_at_start_mb": _mb(at_start),
        **large_bundle(gateway, large_entries),
    }


def at_many_rows(gateway: ServedGateway, workload: Workload, *, rows: int, rounds: int) -> dict[str, Any]:
    """Throughput on a gateway whose index has been filled up to `rows`. The first bundle, which finds cold caches, is not counted."""
    push(gateway, workload.first(1), gateway.new_party())
    return {"rows": rows, **throughput([push(gateway, workload, gateway.new_party()) for _ in range(rounds)])}


def filled(home: Path, rows: int) -> int:
    """Fill the index of a stopped gateway, which holds a workload, up to about `rows`; how many there are."""
    return fill(home / "gateway.db", rows)


def throughput(pushed: list[Pushed]) -> dict[str, float]:
    """Resources by the seconds they took, over all rounds together."""
    resources = sum(p.resources for p in pushed)
    per_core, per_second = resources / sum(p.cpu for p in pushed), resources / sum(p.wall for p in pushed)
    return {"resources_per_s_per_core": round(per_core, 1), "resources_per_s": round(per_second, 1)}


def large_bundle(gateway: ServedGateway, entries: int) -> dict[str, Any]:
    """Memory of all the gateway's processes at rest and at its highest while one bundle of so many entries goes in."""
    body = generated_bundle(0, entries)
    party = gateway.new_party()
    request = signed([body], party)[0]
    connection = gateway.connect(party)
    time.sleep(SETTLE_SECONDS)
    rest = gateway.group.memory_bytes()
    with gateway.group.peak() as peak:
        started = time.perf_counter()
        request.over(connection)
        seconds = time.perf_counter() - started
    connection.close()
    time.sleep(SETTLE_SECONDS)
    return {
        "memory_mb": _mb(peak.bytes),
        "memory_before_mb": _mb(rest),
        "memory_after_mb": _mb(gateway.group.memory_bytes()),
        "memory_times_body": round((peak.bytes - rest) / len(body), 1),
        "large_bundle_mb": _mb(len(body)),
        "large_bundle_entries": entries,
        "large_bundle_seconds": round(seconds, 2),
    }


def single_creates(gateway: ServedGateway, count: int) -> dict[str, float]:
    """One client creates one Observation after another; from sending to the durable answer."""
    party = gateway.new_party()
    connection = gateway.connect(party)
    cpu = gateway.group.cpu_seconds()
    seconds = []
    for request in observations(gateway, party, count):
        started = time.perf_counter()
        request.over(connection)
        seconds.append(time.perf_counter() - started)
    cpu = gateway.group.cpu_seconds() - cpu
    connection.close()
    return {
        "single_create_p50_ms": round(percentile(seconds, 0.5) * 1000, 2),
        "single_create_p99_ms": round(percentile(seconds, 0.99) * 1000, 2),
        "single_creates_per_s_per_core": round(count / cpu, 1),
    }


def observations(gateway: ServedGateway, party: Credentials, count: int) -> list[Request]:
    """Requests that create one Observation each, of a patient who is there."""
    patient, _, *rest = [entry["resource"] for entry in json.loads(generated_bundle(1, count * 2 + 10))["entry"]]
    connection = gateway.connect(party)
    subject = {"reference": created_reference(signed([json.dumps(patient).encode()], party)[0].over(connection))}
    connection.close()
    found = [resource for resource in rest if resource["resourceType"] == "Observation"][:count]
    bodies = [{name: value for name, value in o.items() if name != "encounter"} | {"subject": subject} for o in found]
    return signed([json.dumps(body).encode() for body in bodies], party)


def created_reference(answer: Answer) -> str:
    """`Type/id` of the one resource that was created."""
    location = answer.headers.get("Location")
    if location is None:
        raise DidNotRun("a created resource has no Location")
    return "/".join(location.split("/_history/")[0].split("/")[-2:])


def _stored(home: Path) -> dict[str, int]:
    return {"sealed": sum(item.size for item in containers(home)), "index": index_bytes(home)}


def _mb(size: int) -> float:
    return round(size / 1e6, 1)
