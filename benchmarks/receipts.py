"""Receipts: how soon they are final, what assembling one costs the gateway, and how fast they verify offline, by either implementation."""

import time
from collections.abc import Callable, Sequence
from typing import Any

from benchmarks.ingest import created_reference, observations
from benchmarks.served import DidNotRun, ServedGateway
from benchmarks.timing import percentile
from gateway import independent, verification
from gateway.client.connection import Connection
from gateway.client.credentials import Credentials

_FINAL, _PENDING = 200, 202
_WAIT_SECONDS = 30.0
_POLL_SECONDS = 0.05
_CREATES_A_SECOND = 5
_INDEPENDENT = 40  # pycryptodome takes milliseconds for each

Verify = Callable[[bytes, bytes, bytes | None], Any]
Pair = tuple[bytes, bytes]  # receipt, record


def measure(gateway: ServedGateway, party: Credentials, records: Sequence[str], creates: int) -> dict[str, float]:
    """`records` are `Type/id` of one bundle, so that their receipts share a header; `creates` are made anew to see them become final."""
    connection = gateway.connect(party)
    until_final(connection, records[0])
    cpu = gateway.group.cpu_seconds()
    receipts = [_body(connection, f"/ledger/receipts/{record}") for record in records]
    cpu = gateway.group.cpu_seconds() - cpu
    pairs = [(receipt, _body(connection, f"/fhir/{record}")) for receipt, record in zip(receipts, records, strict=True)]
    connection.close()
    return {
        "receipts": len(receipts),
        "bytes_per_receipt": round(sum(map(len, receipts)) / len(receipts)),
        "assembled_per_s_per_core": round(len(receipts) / cpu, 1),
        "verified_per_s_per_core": round(verified(verification.verify_receipt, pairs, gateway.genesis), 1),
        "independent_verified_per_s": round(verified(independent.verify_receipt, pairs[:_INDEPENDENT], gateway.genesis), 1),
        **finality(gateway, creates),
    }


def verified(verify: Verify, pairs: Sequence[Pair], genesis: bytes) -> float:
    """Receipts a second of CPU, one after another, each with its record; every one must be valid."""
    started = time.process_time()
    for receipt, record in pairs:
        verify(receipt, genesis, record)
    return len(pairs) / (time.process_time() - started)


def finality(gateway: ServedGateway, creates: int, slot_seconds: int = 1) -> dict[str, float]:
    """In slots, how long after the answer to a create its receipt is final. Creates come spread over the slots."""
    party = gateway.new_party()
    connection = gateway.connect(party)
    waiting: list[tuple[str, float]] = []
    slots: list[float] = []
    for request in observations(gateway, party, creates):
        waiting.append((created_reference(request.over(connection)), time.perf_counter()))
        slots += _became_final(connection, waiting, until=waiting[-1][1] + 1 / _CREATES_A_SECOND)
    deadline = time.perf_counter() + _WAIT_SECONDS
    while waiting:
        slots += _became_final(connection, waiting, until=time.perf_counter() + _POLL_SECONDS)
        if time.perf_counter() > deadline:
            raise DidNotRun(f"{len(waiting)} of {creates} receipts were not final after {_WAIT_SECONDS:.0f} s")
    connection.close()
    return {f"final_slots_p{share}": round(percentile(slots, share / 100) / slot_seconds, 2) for share in (50, 99)}


def _became_final(connection: Connection, waiting: list[tuple[str, float]], until: float) -> list[float]:
    """Ask for the oldest that waits until it is final or the time is up: anchors become final in the order of their creates."""
    waited = []
    while waiting:
        record, since = waiting[0]
        if connection.ask("GET", f"/ledger/receipts/{record}").status == _FINAL:
            waited.append(time.perf_counter() - since)
            waiting.pop(0)
        elif time.perf_counter() < until:
            time.sleep(_POLL_SECONDS / 5)
        else:
            break
    time.sleep(max(0.0, until - time.perf_counter()))
    return waited


def until_final(connection: Connection, record: str) -> None:
    """Waits until the receipt of `record` (`Type/id`) can be had. Raises DidNotRun if it takes too long."""
    deadline = time.perf_counter() + _WAIT_SECONDS
    while connection.ask("GET", f"/ledger/receipts/{record}").status == _PENDING:
        if time.perf_counter() > deadline:
            raise DidNotRun(f"the anchor of {record} did not become final")
        time.sleep(_POLL_SECONDS)


def _body(connection: Connection, path: str) -> bytes:
    answer = connection.ask("GET", path)
    if answer.status != _FINAL:
        raise DidNotRun(f"{path.split('/')[1]} answered with {answer.status}")
    return answer.body
