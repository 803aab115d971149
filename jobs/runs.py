"""One run of a job: claim its time, do the work, record what came of it.

A crash after the claim leaves a run that did not end. The jobs process says so of its own runs when it starts, and any host's of one that
nothing was heard of for long (`job_runs.interrupt_silent`); then the time is claimed again. After the record nothing is left to do. A time
is tried `job_runs.MAX_ATTEMPTS` times.
"""

import multiprocessing
import os
import socket
import threading
import time
from contextlib import closing, suppress

import msgspec

from chain.errors import LedgerError
from gateway.bootstrap import keyring_of
from gateway.errors import GatewayError, Unavailable
from gateway.index import job_runs
from gateway.index.database import Index, LostRace, open_index
from gateway.logs import configure_logs, logger
from gateway.settings import BadSetting, Settings
from gateway.tenure import tenure_of
from jobs.registry import Job, Result, jobs_of, opened_for

_LOOK = 0.5  # seconds between two looks at a job in a process of its own
_TO_END = 5.0  # seconds that such a process has to end when told


class JobFailed(Exception):
    """The job could not do its work now; the text is for the operator."""


def holder_of(settings: Settings) -> str:
    """Who runs jobs here: this host's jobs process of this home, of which there is one at a time."""
    return f"{socket.gethostname()}:{settings.home.resolve()}"


def refuse_taken_over(settings: Settings) -> None:
    """Raises JobFailed where another home took over, or while that cannot be seen."""
    try:
        with opened_for(settings) as opened:
            tenure_of(opened.index, keyring_of(settings), opened.store).verify()
    except (BadSetting, GatewayError, LedgerError) as error:
        raise JobFailed(str(error)) from error


def run_now(settings: Settings, job: Job) -> Result:
    """Do it. Raises JobFailed."""
    try:
        with opened_for(settings) as opened:
            return job.run(opened)
    except (BadSetting, GatewayError, LedgerError) as error:
        raise JobFailed(str(error)) from error


def due_at(index: Index, job: Job, now: int, not_before: int) -> int | None:
    """The time of `job` that is to be served now: the last one, unless it is claimed or was before the gateway was."""
    scheduled_for = job.schedule.latest(now)
    if scheduled_for < not_before:
        return None
    with index.reading() as connection:
        return None if job_runs.is_claimed(connection, job.name, scheduled_for) else scheduled_for


def claim(index: Index, job: Job, scheduled_for: int, now: int, holder: str) -> bool:
    """Whether the time is ours to serve; another host may have been faster."""
    try:
        with index.atomic() as connection:
            return job_runs.claim(connection, job.name, scheduled_for, now, holder)
    except LostRace:
        return False


def perform(settings: Settings, job: Job, scheduled_for: int) -> None:
    """Run what was claimed, and record how it ended. Raises Unavailable if that could not be recorded: then it counts as interrupted."""
    log = logger().bind(job=job.name)
    try:
        result = run_now(settings, job)
        outcome, told = result.outcome, msgspec.json.encode(result.counts).decode()
        log.info("job done", outcome=outcome, **result.counts)
    except JobFailed as error:
        outcome, told = job_runs.FAILED, str(error)
        log.error("job failed; it is tried again", reason=told)  # noqa: TRY400 - the sentence says it all
    except Exception as error:  # whatever it is: a time that stayed claimed would not be tried again before the next start
        outcome, told = job_runs.FAILED, f"{type(error).__name__}; the log of `serve` says more"
        log.exception("job failed, and why is not known; it is tried again")
    index = open_index(settings.effective_database_url)
    try:
        with index.atomic() as connection:
            job_runs.ended(connection, job.name, scheduled_for, int(time.time()), outcome, told, holder_of(settings))
    finally:
        index.close()


def perform_apart(settings: Settings, job: Job, scheduled_for: int, told_to_stop: threading.Event) -> None:
    """`perform` in a process of its own, which ends with this one, when this one is told to stop, or at its deadline."""
    process = multiprocessing.get_context("spawn").Process(target=_be_apart, args=(settings, job.name, scheduled_for, os.getpid()))
    process.start()
    until = time.monotonic() + job.within
    while process.is_alive() and time.monotonic() < until:
        if told_to_stop.is_set():
            process.terminate()
        process.join(_LOOK)
    if process.is_alive():
        process.terminate()
        process.join(_TO_END)
        process.kill()
        process.join()
        say_overdue(settings, job.name, scheduled_for, job.within)
    elif process.exitcode:
        logger().error("a job's process ended before its work", job=job.name, code=process.exitcode)
        _ended(settings, job.name, scheduled_for, job_runs.INTERRUPTED, "its process was stopped")


def say_overdue(settings: Settings, job: str, scheduled_for: int | None, within: int) -> None:
    """In log and history: it was not done by its deadline and was ended. The time that it had claimed, if any, is free again."""
    logger().error("a job did not end in its time, and was ended", job=job, seconds=within)
    _ended(settings, job, scheduled_for, job_runs.OVERDUE, f"it was not done after {within} seconds, and was ended")


def _be_apart(settings: Settings, name: str, scheduled_for: int, parent: int) -> None:
    configure_logs()
    end_with(parent)
    perform(settings, next(job for job in jobs_of(settings) if job.name == name), scheduled_for)


def _ended(settings: Settings, job: str, scheduled_for: int | None, outcome: str, told: str) -> None:
    now, holder = int(time.time()), holder_of(settings)
    with (
        suppress(Unavailable),  # else the next start of the jobs process says it
        closing(open_index(settings.effective_database_url)) as index,
        index.atomic() as connection,
    ):
        if scheduled_for is None:
            job_runs.claim(connection, job, now, now, holder)
        job_runs.ended(connection, job, now if scheduled_for is None else scheduled_for, now, outcome, told, holder)


def end_with(parent: int) -> None:
    """Let this process end within a second of `parent`, its own, however that ended. For processes that only read."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
