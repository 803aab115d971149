"""Runs of scheduled jobs: which time was claimed by whom, and what came of it. The claim is the row: (job, time) is unique.

Who holds a claim says each minute that it is still at work. A claim of which nothing was heard for long counts as interrupted, so that
another host can have it: one that was lost for good, and one whose container came back under another name, would else keep it for ever.
A job that was not done by its deadline is `overdue`, and so is the row of one whose times are not claimed: it is there for that alone.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, Row, and_, delete, func, insert, select, update

from gateway.index.schema import job_run

RUNNING, DONE, FINDINGS, FAILED, INTERRUPTED, OVERDUE = "running", "done", "findings", "failed", "interrupted", "overdue"
MAX_ATTEMPTS = 3  # at one time of one job; what kills its process each time must not do so for ever
KEPT = 90 * 86_400  # seconds of history
SILENT_FOR = 600  # seconds without a word of who runs it; clocks of hosts differ by less


@dataclass(frozen=True, slots=True)
class JobRun:
    """One run. Times in seconds since the epoch; `told` is the result in words and counts, or why it failed."""

    job: str
    scheduled_for: int
    started_at: int
    ended_at: int | None
    outcome: str
    attempts: int
    told: str


def claim(connection: Connection, job: str, scheduled_for: int, now: int, holder: str) -> bool:
    """Whether the caller is to run `job` for this time. True once; again after a run that failed or did not end, up to MAX_ATTEMPTS."""
    row = connection.execute(select(job_run.c.outcome, job_run.c.attempts).where(_at(job, scheduled_for))).one_or_none()
    taken = {"started_at": now, "ended_at": None, "outcome": RUNNING, "holder": holder, "told": ""}
    if row is None:
        connection.execute(insert(job_run), [{"job": job, "scheduled_for": scheduled_for, "attempts": 1, **taken}])
        return True
    if not _is_free(row.outcome, row.attempts):
        return False
    connection.execute(update(job_run).where(_at(job, scheduled_for)).values(attempts=row.attempts + 1, **taken))
    return True


def is_claimed(connection: Connection, job: str, scheduled_for: int) -> bool:
    """Whether `claim` would say no; looked at without the write lock."""
    row = connection.execute(select(job_run.c.outcome, job_run.c.attempts).where(_at(job, scheduled_for))).one_or_none()
    return row is not None and not _is_free(row.outcome, row.attempts)


def ended(connection: Connection, job: str, scheduled_for: int, now: int, outcome: str, told: str, holder: str) -> None:
    """What came of a run that `holder` claimed; nothing is said of a run that another took over."""
    its_own = and_(_at(job, scheduled_for), job_run.c.holder == holder)
    connection.execute(update(job_run).where(its_own).values(ended_at=now, outcome=outcome, told=told))


def is_any_running(connection: Connection) -> bool:
    """Whether a claim is held; looked at without the write lock."""
    return connection.scalar(select(job_run.c.job).where(job_run.c.outcome == RUNNING).limit(1)) is not None


def seen(connection: Connection, holder: str, at_work: Mapping[str, int], now: int) -> None:
    """Say of the runs of `holder`, the time of each job that it is at, that they go on."""
    for job, scheduled_for in at_work.items():
        its_own = and_(_at(job, scheduled_for), job_run.c.holder == holder, job_run.c.outcome == RUNNING)
        connection.execute(update(job_run).where(its_own).values(ended_at=now))


def interrupt_silent(connection: Connection, now: int) -> int:
    """Say of every run of which nothing was heard for SILENT_FOR, or that was last seen so far in the future, that it was interrupted."""
    heard_at = func.coalesce(job_run.c.ended_at, job_run.c.started_at)
    is_silent = and_(job_run.c.outcome == RUNNING, ~heard_at.between(now - SILENT_FOR, now + SILENT_FOR))
    told = "nothing was heard of who ran it"
    return connection.execute(update(job_run).where(is_silent).values(outcome=INTERRUPTED, told=told)).rowcount


def interrupt(connection: Connection, holder: str) -> int:
    """Say of every run that `holder` began and did not end that it was interrupted: called when it starts anew. Returns how many."""
    left = and_(job_run.c.holder == holder, job_run.c.outcome == RUNNING)
    return connection.execute(update(job_run).where(left).values(outcome=INTERRUPTED)).rowcount


def history(connection: Connection, job: str | None = None, limit: int = 50) -> list[JobRun]:
    """The last runs, the newest first."""
    found = select(job_run).order_by(job_run.c.started_at.desc(), job_run.c.scheduled_for.desc()).limit(limit)
    return [_from_row(row) for row in connection.execute(found if job is None else found.where(job_run.c.job == job))]


def totals(connection: Connection) -> list[tuple[str, str, int, int | None]]:
    """Of every job and outcome: how many runs are kept, and when the last of them ended."""
    columns = (job_run.c.job, job_run.c.outcome, func.count(), func.max(job_run.c.ended_at))
    return [tuple(row) for row in connection.execute(select(*columns).group_by(job_run.c.job, job_run.c.outcome))]


def forget(connection: Connection, now: int) -> int:
    """Drop what is older than KEPT. Returns how many."""
    return connection.execute(delete(job_run).where(job_run.c.scheduled_for < now - KEPT)).rowcount


def _is_free(outcome: str, attempts: int) -> bool:
    """Whether a time that was claimed may be claimed once more."""
    return outcome in (FAILED, INTERRUPTED, OVERDUE) and attempts < MAX_ATTEMPTS


def _at(job: str, scheduled_for: int) -> ColumnElement[bool]:
    return and_(job_run.c.job == job, job_run.c.scheduled_for == scheduled_for)


def _from_row(row: Row[tuple[object, ...]]) -> JobRun:
    ended_at = None if row.outcome == RUNNING else row.ended_at
    return JobRun(row.job, row.scheduled_for, row.started_at, ended_at, row.outcome, row.attempts, row.told)
