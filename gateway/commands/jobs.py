"""`fhir-anchor jobs`: what runs at its time beside block production, and running one of them now."""

import click

from gateway.commands.context import CouldNot, json_option, settings_of, tell


@click.group()
def jobs() -> None:
    """`serve` runs all of these by itself; here one can be run at once."""


@jobs.command("list", epilog="Example: fhir-anchor --home ./gw jobs list")
@json_option
def list_jobs(as_json: bool) -> None:
    """What there is, and how often it runs."""
    from jobs.registry import JOBS

    told = [{"name": job.name, "every_seconds": job.every, "does": job.does} for job in JOBS]
    tell(
        {"jobs": told}, as_json=as_json, text=lambda: "\n".join(f"{job.name:<16}every {job.every // 60:>3} min  {job.does}" for job in JOBS)
    )


@jobs.command(epilog="Example: fhir-anchor --home ./gw jobs run sweep-orphans")
@click.argument("name")
@json_option
@click.pass_context
def run(context: click.Context, name: str, as_json: bool) -> None:
    """Run the job NAME once, now, also beside a running gateway."""
    from chain.errors import LedgerError
    from gateway.errors import GatewayError
    from jobs.registry import JOBS, opened_for

    job = next((job for job in JOBS if job.name == name), None)
    if job is None:
        raise CouldNot(f"there is no job {name!r}; `jobs list` names them")
    try:
        with opened_for(settings_of(context)) as opened:
            told = job.run(opened)
    except (GatewayError, LedgerError) as error:
        raise CouldNot(str(error)) from error
    tell(told, as_json=as_json, text=lambda: "  ".join(f"{what.replace('_', ' ')} {count}" for what, count in told.items()))
