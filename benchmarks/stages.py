"""Where intake's CPU time goes, by stage: samples of the running stack while `receive` takes bundles in this process.

A timer of CPU time (setitimer, ITIMER_PROF) interrupts every few milliseconds; the outermost function of the stack that has a stage gets
the sample. Nothing is wrapped or patched, so what is measured is what runs. HTTP, sign-in and decoding are not in it.
"""

import gc
import os
import signal
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from benchmarks.workload import Workload
from fhir_adapters.definitions import RESOURCE_TYPES
from fhir_adapters.resource import warm
from gateway.bootstrap import open_services
from gateway.client import credentials
from gateway.client.credentials import Credentials
from gateway.client.submission import CONTENT_TYPE, parse_submission, signed_headers
from gateway.founding import found
from gateway.index.parties import Party
from gateway.intake import receive
from gateway.registration import register_party
from gateway.services import Services
from gateway.settings import load_settings
from gateway.submission import Submission
from gateway.vault.submission import from_base64url

INTERVAL_SECONDS = 0.001  # at most; the kernel's tick decides

# What marks a stage: a function, or any function of a package. Outermost first: what a stage calls belongs to the stage.
FUNCTIONS: Mapping[tuple[str, str], str] = {
    ("fhir_adapters.text", "check_text"): "check_text",
    ("fhir_adapters.bundle", "split_bundle"): "split",
    ("fhir_adapters.resource", "parse_resource"): "parse",
    ("gateway.sealing", "attest"): "attest",
    ("gateway.versions", "decide_version"): "content",
    ("fhir_adapters.resource", "standard_bytes"): "content",
    ("gateway.versions", "index_rows"): "index_rows",
}
PACKAGES: Mapping[str, str] = {
    "gateway.identity": "resolve",
    "gateway.sealing": "seal",
    "gateway.vault": "seal",
    "gateway.storage": "put",
    "gateway.index": "commit",
}
OTHER = "other"
STAGES = (*dict.fromkeys((*FUNCTIONS.values(), *PACKAGES.values())), OTHER)


class Sampler:
    """Counts samples by stage while it is on. For the main thread, where signals are heard."""

    def __init__(self) -> None:
        self.samples: Counter[str] = Counter()

    @contextmanager
    def on(self) -> Iterator[None]:
        before = signal.signal(signal.SIGPROF, self._sample)
        signal.setitimer(signal.ITIMER_PROF, INTERVAL_SECONDS, INTERVAL_SECONDS)
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
            signal.signal(signal.SIGPROF, before)

    def shares(self) -> dict[str, float]:
        """Each stage's share of all samples; together 1."""
        count = sum(self.samples.values()) or 1
        return {stage: round(self.samples[stage] / count, 3) for stage in STAGES}

    def _sample(self, _signal: int, frame: FrameType | None) -> None:
        self.samples[stage_of(_functions(frame))] += 1


def stage_of(functions: Sequence[tuple[str, str]]) -> str:
    """The stage of a stack of (module, function), innermost first."""
    for module, function in reversed(functions):
        package = ".".join(module.split(".")[:2])
        stage = FUNCTIONS.get((module, function)) or PACKAGES.get(package)
        if stage is not None:
            return stage
    return OTHER


def measure(folder: Path, workload: Workload, rounds: int) -> dict[str, float | dict[str, float]]:
    """Shares of CPU by stage, and microseconds of CPU a resource, over `rounds` institutions that each submit the whole workload."""
    home = folder / "stages-home"
    found(home, delegates=4, slot_seconds=1, chosen={}, now=int(time.time()), random=os.urandom)
    warm(RESOURCE_TYPES)
    gc.freeze()  # as `serve` does before it forks: what is warm is not looked through again and again
    services = open_services(load_settings(home, {}))
    sampler, cpu = Sampler(), 0.0
    try:
        for number in range(rounds + 1):
            measured = number > 0  # the first one warms what is compiled and connected on use
            submissions = _submissions(services, workload if measured else workload.first(1), folder / f"stages-{number}.json")
            spent = _received(services, submissions, sampler if measured else Sampler())
            cpu += spent if measured else 0.0
    finally:
        services.index.close()
        gc.unfreeze()
    return {
        "stages": sampler.shares(),
        "stage_samples": sampler.samples.total(),
        "intake_us_per_resource": round(cpu / (workload.resources * rounds) * 1e6, 1),
    }


def _received(services: Services, submissions: Sequence[tuple[Party, Submission]], sampler: Sampler) -> float:
    started = time.process_time()
    with sampler.on():
        for party, submission in submissions:
            receive(services, party, submission)
    return time.process_time() - started


def _submissions(services: Services, workload: Workload, out: Path) -> list[tuple[Party, Submission]]:
    """The workload as the web hands it over, signed by an institution that is registered now."""
    now = int(time.time())
    party = register_party(services, "institution", out.stem, (), "own", "http://127.0.0.1", out, now=now, random=os.urandom)
    held = credentials.read(out)
    return [(party, _submission(body, held, now)) for body in workload.all]


def _submission(body: bytes, held: Credentials, now: int) -> Submission:
    headers = signed_headers(parse_submission(body), held, now)
    return Submission(
        body=body,
        media_type=CONTENT_TYPE,
        signature=headers["X-Submission-Signature"],
        nonce=from_base64url(headers["X-Submission-Nonce"]),
        request_id="bench",
        received_at=float(now),
    )


def _functions(frame: FrameType | None) -> list[tuple[str, str]]:
    """The stack from `frame` outwards."""
    found = []
    while frame is not None:
        found.append((frame.f_globals.get("__name__", ""), frame.f_code.co_name))
        frame = frame.f_back
    return found
