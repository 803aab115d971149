"""The jobs besides block production: what each does, and when. The scheduler and the command line read the same lines."""

import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, field

import msgspec

from chain.audit_report import AuditReportBody
from chain.ledger import Ledger
from chain.store import LedgerStore
from gateway.bootstrap import keyring_of, read_genesis
from gateway.index import accesses, audit_reports, job_runs, outbox, parties
from gateway.index.database import Index, open_index
from gateway.settings import Settings
from gateway.storage.file_store import FileObjectStore
from gateway.storage.opening import open_object_store
from gateway.storage.packs import object_reader
from gateway.storage.port import ObjectStore
from jobs.archive_blocks import archive_blocks
from jobs.audit import LEVELS, Audit, run_audit
from jobs.audit_lasting_rows import lasting_rows
from jobs.audit_report import to_json
from jobs.schedule import Cron, Every, Schedule
from jobs.sweep_orphans import GRACE_SECONDS, sweep_orphans


@dataclass(frozen=True, slots=True)
class Opened:
    """What a job may use, opened for one run."""

    settings: Settings
    index: Index
    ledger: Ledger
    store: ObjectStore


@dataclass(frozen=True, slots=True)
class Result:
    """What a run came to: counts in words, and `gateway.index.job_runs` DONE, or FINDINGS where something is for the operator to see."""

    counts: dict[str, int] = field(default_factory=dict)
    outcome: str = job_runs.DONE


@dataclass(frozen=True, slots=True)
class Job:
    """Running one twice, or late, does no harm.

    `claimed`: each of its times is served once whatever the number of hosts, after a downtime too, and stands in the history; otherwise it
    is so short and frequent that neither is worth a row. `apart`: it has a process of its own, so that blocks are not late for its work.
    `within`: seconds after which it is taken for one that hangs; far more than it takes on any bucket that is worth keeping.
    """

    name: str
    does: str
    schedule: Schedule
    run: Callable[[Opened], Result]
    within: int = 600
    claimed: bool = True
    apart: bool = False


def _sweep(opened: Opened) -> Result:
    return Result(asdict(sweep_orphans(opened.ledger, opened.index, opened.store, now=int(time.time()))))


def _prune(opened: Opened) -> Result:
    """One-time tokens of sign-ins that have expired, the oldest history, and the temporary files of puts that never ended."""
    now = int(time.time())
    with opened.index.atomic() as connection:
        pruned = parties.prune_jtis(connection, now)
        runs = job_runs.forget(connection, now)
    if isinstance(opened.store, FileObjectStore):
        opened.store.remove_left_overs(older_than=GRACE_SECONDS, now=now)
    return Result({"tokens": pruned, "runs": runs})


def _close_access_batch(opened: Opened) -> Result:
    """Looked at without the write lock first: most of the time nobody has read anything."""
    with opened.index.reading() as connection:
        if not accesses.is_batch_open(connection):
            return Result({"accesses": 0})
    with opened.index.atomic() as connection:
        return Result({"accesses": accesses.close_batch(connection, int(time.time()))})


def _audit(opened: Opened) -> Result:
    """Every level; the report is kept, and its digest recorded on the ledger. Not having looked everywhere is a finding, too."""
    started_at = int(time.time())
    levels = tuple(LEVELS)
    report = run_audit(Audit(opened.settings, started_at, rotating=True), levels)
    ended_at = int(time.time())
    told = {"started_at": started_at, "ended_at": ended_at, "levels": levels, **to_json(report)}
    with opened.index.atomic() as connection:
        body = msgspec.json.encode({**told, "lasting": lasting_rows(connection)}, order="sorted")
        digest = audit_reports.add(connection, started_at, ended_at, levels, report.exit_code, body)
        outbox.add(connection, AuditReportBody(digest, ended_at, report.exit_code), ended_at)
    counts = {"findings": len(report.findings), "could_not_check": len(report.could_not_check), "pending": len(report.pending)}
    return Result(counts, job_runs.FINDINGS if report.exit_code else job_runs.DONE)


def _archive(opened: Opened) -> Result:
    """Nothing where all epochs are to stay in the database."""
    settings, genesis = opened.settings, opened.ledger.genesis
    if settings.ledger_keep_epochs is None:
        return Result({"packs": 0})
    with closing(LedgerStore.open(settings.effective_ledger_url, genesis)) as store:
        return Result(asdict(archive_blocks(store, genesis, opened.store, settings.ledger_keep_epochs)))


def jobs_of(settings: Settings) -> tuple[Job, ...]:
    """Every job of the gateway of `settings`, at the times that it sets."""
    return (
        Job("sweep-orphans", "Remove objects that no record points to, once they are an hour old.", Every(3600), _sweep, 6 * 3600),
        Job("prune", "Forget expired one-time tokens, old history and unfinished temporary files.", Every(600), _prune),
        Job("archive-blocks", "Move transactions of old epochs into the bucket, where that is wished.", Every(86_400), _archive, 6 * 3600),
        Job(
            "close-access-batch",
            "Put what was read by consent since the last batch in line for the ledger.",
            Every(10),
            _close_access_batch,
            claimed=False,
        ),
        Job(
            "audit",
            "Re-verify chain, storage, content and conduct, and keep the report (`audit history`).",
            Cron(settings.audit_cron, settings.timezone),
            _audit,
            20 * 3600,
            apart=True,
        ),
    )


@contextmanager
def opened_for(settings: Settings) -> Iterator[Opened]:
    """Index, chain (read-only) and bucket, closed again afterwards."""
    genesis = read_genesis(settings)
    ledger = Ledger.open(settings.effective_ledger_url, genesis, object_reader(settings.effective_bucket_url))
    index = open_index(settings.effective_database_url, keyring_of(settings))
    try:
        yield Opened(settings, index, ledger, open_object_store(settings.effective_bucket_url))
    finally:
        index.close()
        ledger.close()
