"""`fhir-anchor upgrade`: bring a gateway's database to this version."""

import click

from gateway.commands.context import CouldNot, json_option, settings_of, tell


@click.command(epilog="Example: fhir-anchor --home ./gw upgrade")
@json_option
@click.pass_context
def upgrade(context: click.Context, as_json: bool) -> None:
    """Bring the database of an earlier version up to date. Stop `serve` first and keep a copy of --home.

    The first time, it also vouches for the parties and archives as they stand in the database: run `audit run` with the earlier version
    before. From then on a row that this gateway did not write is refused and named by the audit. Running it again changes nothing.
    """
    from gateway.errors import GatewayError
    from gateway.upgrading import upgrade as upgrade_gateway

    settings = settings_of(context)
    try:
        vouched = upgrade_gateway(settings)
    except (GatewayError, OSError) as error:
        raise CouldNot(str(error)) from error
    words = "up to date; its parties and archives were vouched for as they stood" if vouched else "up to date"
    tell({"home": str(settings.home), "vouched": vouched}, as_json=as_json, text=lambda: f"The gateway in {settings.home} is {words}.")
