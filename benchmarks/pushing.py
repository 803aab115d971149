"""Clients that push: everything is signed before the clock starts, so that only the gateway is measured."""

import json
import queue
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain

from benchmarks.served import DidNotRun, ServedGateway
from benchmarks.workload import Workload
from gateway.client.connection import Answer, Connection
from gateway.client.credentials import Credentials
from gateway.client.submission import Submission, parse_submission, signed_headers

CLIENTS = 2  # as many as `serve` has workers


@dataclass(frozen=True, slots=True)
class Request:
    sent: Submission
    headers: dict[str, str]

    def over(self, connection: Connection) -> Answer:
        """Raises DidNotRun unless it was accepted."""
        answer = connection.ask("POST", self.sent.path, self.sent.body, self.headers)
        if answer.status not in (200, 201):
            raise DidNotRun(f"a submission was answered with {answer.status}: {answer.body[:300].decode(errors='replace')}")
        return answer


@dataclass(frozen=True, slots=True)
class Pushed:
    """`wall` and `cpu` are seconds: by the clock, and of the gateway's processes. `records` are `Type/id`, in no order that counts."""

    resources: int
    wall: float
    cpu: float
    records: tuple[str, ...]


def signed(bodies: Sequence[bytes], party: Credentials) -> list[Request]:
    """The requests that carry `bodies`, signed by `party` now."""
    now = int(time.time())
    return [Request(sent, signed_headers(sent, party, now)) for sent in map(parse_submission, bodies)]


def push(gateway: ServedGateway, workload: Workload, party: Credentials) -> Pushed:
    """All of the workload, once, as `party`: what others refer to first, then the rest by two clients at once."""
    shared, others = signed(workload.shared, party), signed(workload.bundles, party)
    connections = [gateway.connect(party) for _ in range(CLIENTS)]
    wall, cpu = time.perf_counter(), gateway.group.cpu_seconds()
    answers = [request.over(connections[0]) for request in shared] + _at_once(others, connections)
    wall, cpu = time.perf_counter() - wall, gateway.group.cpu_seconds() - cpu
    for connection in connections:
        connection.close()
    records = tuple(record for answer in answers for record in taken(answer))
    if len(records) != workload.resources:
        raise DidNotRun(f"{len(records)} of {workload.resources} resources were taken")
    return Pushed(len(records), wall, cpu, records)


def taken(answer: Answer) -> list[str]:
    """`Type/id` of each entry that was taken: stored now or, the same resource in another bundle, before."""
    responses = [entry["response"] for entry in json.loads(answer.body)["entry"]]
    return [_record(response["location"]) for response in responses if response["status"].startswith("2")]


def _record(location: str) -> str:
    return "/".join(location.split("/_history/", maxsplit=1)[0].split("/")[-2:])


def _at_once(requests: Sequence[Request], connections: Sequence[Connection]) -> list[Answer]:
    waiting: queue.SimpleQueue[Request] = queue.SimpleQueue()
    for request in requests:
        waiting.put(request)

    def answered(connection: Connection) -> list[Answer]:
        answers = []
        with suppress(queue.Empty):
            while True:
                answers.append(waiting.get_nowait().over(connection))
        return answers

    with ThreadPoolExecutor(len(connections)) as clients:
        return list(chain.from_iterable(clients.map(answered, connections)))
