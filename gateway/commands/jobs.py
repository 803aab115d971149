"""`fhir-anchor jobs`: the jobs process on its own, for set-ups that run it beside the web workers."""

import click

from gateway.commands.context import CouldNot, settings_of


@click.group()
def jobs() -> None:
    """The jobs process: hands over the outbox, produces blocks. `serve` runs it by itself."""


@jobs.command(epilog="Example: fhir-anchor --home ./gw jobs run")
@click.pass_context
def run(context: click.Context) -> None:
    """Run the jobs until Ctrl-C or SIGTERM. Only one process can do so for a gateway at a time."""
    from chain.errors import LedgerError
    from gateway.key_files import KeyFileUnusable
    from gateway.logs import configure_logs
    from jobs.scheduler import run as run_jobs

    configure_logs()
    try:
        run_jobs(settings_of(context))
    except (LedgerError, KeyFileUnusable) as error:
        raise CouldNot(str(error)) from error
