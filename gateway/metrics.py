"""What is counted as it happens, for Prometheus: requests, submissions, disclosures, sign-ins, puts and commits (docs/adr/0028-metrics.md).

Labels come from closed lists of our own: names of routes, outcomes, bases of decisions. Never a path, an id, a party or a patient.
What can be looked up when it is asked for, such as the length of the outbox, is not counted here: see `gateway.gauges`.
"""

import os
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from gateway.logs import logger

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

FOLDER_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"  # read by prometheus_client when it is first imported: set it before
Step = Literal["put", "commit"]
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_SUBMISSIONS = (1, 2, 4, 8, 16, 32, 64)
_FILE_BYTES = 1 << 20  # room for some 8,000 values; ours are about 1,500


class Metrics:
    """Counts in `registry`; without one it counts nothing and loads nothing, which is all that a command or a job needs."""

    def __init__(self, registry: "CollectorRegistry | None" = None) -> None:
        self._is_on = registry is not None
        if registry is None:
            return
        from prometheus_client import Counter as Total
        from prometheus_client import Histogram

        self._requests = Histogram(
            "fhir_anchor_request_duration_seconds",
            "Time until an answer's head was ready, by name of the route.",
            ("route", "method", "status"),
            registry=registry,
            buckets=_SECONDS,
        )
        self._submissions = Total("fhir_anchor_submissions", "Requests that write.", ("outcome",), registry=registry)
        self._resources = Total("fhir_anchor_resources", "Entries of submissions, by what became of them.", ("outcome",), registry=registry)
        self._disclosures = Total("fhir_anchor_disclosures", "Records about to leave, by decision.", ("decision",), registry=registry)
        self._sign_ins = Total("fhir_anchor_sign_ins", "Answers of the token endpoint.", ("outcome",), registry=registry)
        self._steps = Histogram(
            "fhir_anchor_store_duration_seconds",
            "Time to put a container into the bucket, and to commit its rows, with waiting for the write lock.",
            ("step",),
            registry=registry,
            buckets=_SECONDS,
        )
        self._groups = Histogram(
            "fhir_anchor_group_submissions",
            "Submissions that shared a container and a commit.",
            ("kind",),
            registry=registry,
            buckets=_SUBMISSIONS,
        )

    def request(self, route: str, method: str, status: int, seconds: float) -> None:
        """An answer: `route` is the name of a view, never an address; of the status its class is kept."""
        if self._is_on:
            self._requests.labels(route, method, f"{status // 100}xx").observe(seconds)

    def submission(self, outcome: str, results: Iterable[str] = ()) -> None:
        """A request that writes: accepted, replayed, refused or unavailable; `results` has the outcome of each of its entries."""
        if not self._is_on:
            return
        self._submissions.labels(outcome).inc()
        for result, count in Counter(results).items():
            self._resources.labels(result).inc(count)

    def disclosures(self, decisions: Iterable[str]) -> None:
        """Records of one page, by what the decision rests on: own, issued, granted, or withheld."""
        if self._is_on:
            for decision, count in Counter(decisions).items():
                self._disclosures.labels(decision).inc(count)

    def sign_in(self, outcome: str) -> None:
        """An answer of the token endpoint: granted, or an error code of RFC 6749, 5.2."""
        if self._is_on:
            self._sign_ins.labels(outcome).inc()

    def group(self, submissions: int) -> None:
        """How many submissions went into one container."""
        if self._is_on:
            self._groups.labels("container").observe(submissions)

    @contextmanager
    def timed(self, step: Step) -> Iterator[None]:
        """Takes the time of what is inside, whether or not it succeeds."""
        started = time.perf_counter()
        try:
            yield
        finally:
            if self._is_on:
                self._steps.labels(step).observe(time.perf_counter() - started)


def of_this_process() -> Metrics:
    """The metrics of a web worker: in files of FOLDER_VARIABLE's folder, which the metrics process adds up; nothing where it is not set."""
    folder = os.environ.get(FOLDER_VARIABLE)
    if folder is None:
        return Metrics()
    try:
        _reserve(Path(folder))
    except OSError as error:
        logger().error("this process is not counted: no room for its metrics", exc_info=error)
        return Metrics()
    from prometheus_client import CollectorRegistry

    return Metrics(CollectorRegistry())


def _reserve(folder: Path) -> None:
    """The room that the files of this process will need, with names as prometheus_client gives them. Raises OSError.

    It writes to them through memory: on a disk that is full, a page without room behind it would end the process at some later request.
    """
    for kind in ("counter", "histogram"):
        with (folder / f"{kind}_{os.getpid()}.db").open("ab") as file:
            os.posix_fallocate(file.fileno(), 0, _FILE_BYTES)
