"""`fhir-anchor serve`: run the gateway."""

import click

from gateway.commands.context import CouldNot, settings_of
from gateway.serving import CouldNotServe
from gateway.serving import serve as serve_gateway
from gateway.settings import DEFAULT_PORT


@click.command(epilog="Example: fhir-anchor --home ./gw serve --port 8080")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on. TLS is the proxy's in front.")
@click.option("--port", default=DEFAULT_PORT, show_default=True, type=click.IntRange(0, 65535), help="Port; 0 takes a free one.")
@click.option("--workers", type=click.IntRange(1, 256), help="HTTP worker processes [FHIR_ANCHOR_WORKERS; 2].")
@click.option("--base-url", help="Address that clients use, where a proxy stands in front [FHIR_ANCHOR_BASE_URL].")
@click.option(
    "--metrics-address",
    metavar="[HOST:]PORT",
    help="Serve /metrics there, on loopback where no host is given [FHIR_ANCHOR_METRICS_ADDRESS; not served].",
)
@click.pass_context
def serve(context: click.Context, host: str, port: int, workers: int | None, base_url: str | None, metrics_address: str | None) -> None:
    """Run HTTP workers and the jobs process until Ctrl-C or SIGTERM; running requests are finished first."""
    from jobs.scheduler import run

    settings = settings_of(context, workers=workers, base_url=base_url, metrics_address=metrics_address)
    try:
        serve_gateway(settings, host, port, settings.workers, run)
    except CouldNotServe as error:
        raise CouldNot(str(error)) from error
