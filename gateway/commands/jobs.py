"""`fhir-anchor jobs`: what runs at its time beside block production, what became of it, and running one of them now."""

import time
from typing import TYPE_CHECKING

import click

from gateway.commands.context import FINDINGS, CouldNot, instant, iso, iso_or_none, json_option, leave, opened_index, settings_of, tell

if TYPE_CHECKING:
    from gateway.index.job_runs import JobRun
    from jobs.registry import Job


@click.group(epilog="Examples: fhir-anchor --home ./gw jobs list   fhir-anchor --home ./gw jobs run sweep-orphans")
def jobs() -> None:
    """`serve` runs all of these by itself; here one can be run at once, and seen how they went."""


@jobs.command("list", epilog="Example: fhir-anchor --home ./gw jobs list")
@json_option
@click.pass_context
def list_jobs(context: click.Context, as_json: bool) -> None:
    """What there is, when it runs next, and how its last run ended."""
    from gateway.index import job_runs
    from jobs.registry import jobs_of

    settings = settings_of(context)
    with opened_index(context) as index, index.reading() as connection:
        last = {job.name: next(iter(job_runs.history(connection, job.name, 1)), None) for job in jobs_of(settings)}
    told = [_to_json(job, last[job.name], int(time.time())) for job in jobs_of(settings)]
    tell({"jobs": told}, as_json=as_json, text=lambda: "\n".join(_line(job, last[job.name]) for job in jobs_of(settings)))


@jobs.command(epilog="Example: fhir-anchor --home ./gw jobs run sweep-orphans")
@click.argument("name")
@json_option
@click.pass_context
def run(context: click.Context, name: str, as_json: bool) -> None:
    """Run the job NAME once, now, also beside a running gateway. Exit codes: 0 done, 1 findings, 2 it could not be done."""
    from gateway.index import job_runs
    from jobs.registry import jobs_of
    from jobs.runs import JobFailed, refuse_taken_over, run_now

    settings = settings_of(context)
    job = next((job for job in jobs_of(settings) if job.name == name), None)
    if job is None:
        raise CouldNot(f"there is no job {name!r}; `jobs list` names them")
    try:
        refuse_taken_over(settings)
        result = run_now(settings, job)
    except JobFailed as error:
        raise CouldNot(str(error)) from error
    tell(result.counts, as_json=as_json, text=lambda: _counts(result.counts))
    if result.outcome == job_runs.FINDINGS:
        leave(FINDINGS)


@jobs.command(epilog="Example: fhir-anchor --home ./gw jobs history --job sweep-orphans --last 10")
@click.option("--job", "name", help="Only of this job.")
@click.option("--last", default=20, show_default=True, type=click.IntRange(1, 10_000), help="How many runs.")
@json_option
@click.pass_context
def history(context: click.Context, name: str | None, last: int, as_json: bool) -> None:
    """The last runs at their times, the newest first: when, how long, how they ended. Kept for 90 days."""
    from gateway.index import job_runs

    with opened_index(context) as index, index.reading() as connection:
        runs = job_runs.history(connection, name, last)
    told = [
        {
            "job": run.job,
            "scheduled_for": iso(run.scheduled_for),
            "started_at": iso(run.started_at),
            "ended_at": iso_or_none(run.ended_at),
            "outcome": run.outcome,
            "attempts": run.attempts,
            "told": run.told,
        }
        for run in runs
    ]
    tell({"runs": told}, as_json=as_json, text=lambda: "\n".join(map(_run_line, runs)) or "Nothing has run yet.")


@jobs.command("dead-letters", epilog="Example: fhir-anchor --home ./gw jobs dead-letters --retry")
@click.option("--retry", is_flag=True, help="Put them in line again, after what damaged them was mended.")
@click.option("--drop", type=int, metavar="ID", help="Forget the one of this id for good, such as one that the gateway did not write.")
@json_option
@click.pass_context
def dead_letters(context: click.Context, retry: bool, drop: int | None, as_json: bool) -> None:
    """What waits for the ledger and cannot be taken by it. Exit codes: 0 none (or put in line again), 1 there are some."""
    from gateway.index import outbox

    with opened_index(context) as index:
        if drop is not None:
            with index.atomic() as connection:
                if not outbox.drop(connection, drop):
                    raise CouldNot(f"no dead letter has the id {drop}")
        with index.reading() as connection:
            letters = outbox.dead_letters(connection)
        if retry and letters:
            with index.atomic() as connection:
                outbox.retry(connection, [letter.id for letter in letters])
    told = [{"id": letter.id, "kind": letter.kind, "created_at": iso(letter.created_at), "reason": letter.reason} for letter in letters]
    lines = [f"{letter.id:>8}  {instant(letter.created_at)}  kind {letter.kind:<3} {letter.reason}" for letter in letters]
    tell({"dead_letters": told, "retried": retry}, as_json=as_json, text=lambda: "\n".join(lines) or "There are none.")
    if letters and not retry:
        leave(FINDINGS)


def _to_json(job: "Job", last: "JobRun | None", now: int) -> dict[str, object]:
    ran = None
    if last is not None:
        times = {"started_at": iso(last.started_at), "ended_at": iso_or_none(last.ended_at)}
        ran = {**times, "outcome": last.outcome, "told": last.told}
    return {"name": job.name, "runs": str(job.schedule), "next_at": iso(job.schedule.following(now)), "does": job.does, "last": ran}


def _line(job: "Job", last: "JobRun | None") -> str:
    ran = "not yet" if last is None else f"{last.outcome} {instant(last.started_at)}"
    return f"{job.name:<20}{job.schedule!s:<26}last: {ran if job.claimed else 'not kept':<32}{job.does}"


def _run_line(run: "JobRun") -> str:
    took = "" if run.ended_at is None else f"{run.ended_at - run.started_at} s"
    return f"{instant(run.scheduled_for)}  {run.job:<20}{run.outcome:<12}{took:>7}  {run.told}"


def _counts(counts: dict[str, int]) -> str:
    return "  ".join(f"{what.replace('_', ' ')} {count}" for what, count in counts.items())
