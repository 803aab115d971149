"""What is looked up when Prometheus asks: the outbox, the chain, the jobs, the last audit, readiness. Nothing here is kept between scrapes.

What cannot be read is left out; `fhir_anchor_ready` says which part is missing.
"""

from collections.abc import Callable, Iterator
from contextlib import suppress

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector
from sqlalchemy import Connection

from chain.errors import LedgerError
from chain.ledger import Ledger
from gateway.errors import Unavailable
from gateway.index import audit_reports, job_runs, outbox
from gateway.index.database import Index
from gateway.readiness import PARTS, Readiness


class Gauges(Collector):
    """For a registry. `clock` in seconds since the epoch."""

    def __init__(self, index: Index, ledger: Ledger, readiness: Readiness, clock: Callable[[], float]) -> None:
        self._index, self._ledger, self._readiness, self._clock = index, ledger, readiness, clock

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Every family that can be told now."""
        yield self._ready()
        found: list[GaugeMetricFamily] = []
        with suppress(Unavailable), self._index.reading() as connection:
            found += [*_outbox(connection, self._clock()), *_jobs(connection), *_audit(connection)]
        with suppress(LedgerError):
            found += self._chain()
        yield from found

    def _ready(self) -> GaugeMetricFamily:
        missing = self._readiness.missing()
        family = GaugeMetricFamily("fhir_anchor_ready", "1 where a part of /readyz is in order.", labels=("part",))
        for part in PARTS:
            family.add_metric((part,), int(part not in missing))
        return family

    def _chain(self) -> list[GaugeMetricFamily]:
        head, genesis = self._ledger.head(), self._ledger.genesis
        last_at = genesis.slot_time(head.slot) if head else genesis.started_at
        return [
            _gauge("fhir_anchor_chain_height", "Height of the last final block.", head.height if head else 0),
            _gauge("fhir_anchor_chain_head_age_seconds", "Time since the slot of the last final block.", self._clock() - last_at),
            _gauge("fhir_anchor_chain_pool_transactions", "Transactions that wait for a block.", self._ledger.pending()),
            _gauge(
                "fhir_anchor_chain_rejected_transactions", "Transactions that the rules refused for good.", self._ledger.rejected_count()
            ),
        ]


def _outbox(connection: Connection, now: float) -> list[GaugeMetricFamily]:
    waiting = outbox.oldest(connection)
    return [
        _gauge("fhir_anchor_outbox_rows", "Transactions that wait to be submitted to the ledger.", outbox.size(connection)),
        _gauge("fhir_anchor_outbox_age_seconds", "Age of the oldest of them, 0 where none waits.", 0 if waiting is None else now - waiting),
        _gauge("fhir_anchor_dead_letters", "Rows of the outbox that no ledger can take.", len(outbox.dead_letters(connection))),
    ]


def _jobs(connection: Connection) -> list[GaugeMetricFamily]:
    runs = GaugeMetricFamily("fhir_anchor_job_runs", "Runs that the history keeps (90 days), by outcome.", labels=("job", "outcome"))
    name = "fhir_anchor_job_last_success_timestamp_seconds"
    succeeded = GaugeMetricFamily(name, "When the job last did its work.", labels=("job",))
    for job, outcome, count, ended_at in job_runs.totals(connection):
        runs.add_metric((job, outcome), count)
        if outcome == job_runs.DONE and ended_at is not None:
            succeeded.add_metric((job,), ended_at)
    return [runs, succeeded]


def _audit(connection: Connection) -> list[GaugeMetricFamily]:
    newest = audit_reports.newest_result(connection)
    if newest is None:
        return []
    ended_at, exit_code = newest
    return [
        _gauge("fhir_anchor_audit_last_timestamp_seconds", "When the last audit that was kept ended.", ended_at),
        _gauge("fhir_anchor_audit_last_exit_code", "0 clean, 1 findings, 2 something could not be checked.", exit_code),
    ]


def _gauge(name: str, says: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, says, value)
