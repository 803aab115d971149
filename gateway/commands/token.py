"""`fhir-anchor token`: an access token for other HTTP clients."""

from pathlib import Path

import click

from gateway.commands.context import CouldNot, json_option, tell


@click.command(
    epilog='Example: curl -H "Authorization: Bearer $(fhir-anchor token --as hospital.json)" http://127.0.0.1:8080/fhir/Patient/ID'
)
@click.option("--as", "credentials_path", required=True, metavar="CRED.json", type=click.Path(path_type=Path), help="Who signs in.")
@click.option("--url", help="Address of the gateway, instead of the one in CRED.json.")
@json_option
def token(*, credentials_path: Path, url: str | None, as_json: bool) -> None:
    """Sign in (SMART Backend Services) and print the access token, which holds for five minutes. Keep it out of logs and histories."""
    from gateway.client.connection import Connection, SignInRefused, Unreachable
    from gateway.client.credentials import BadCredentials, read

    try:
        given = Connection(read(credentials_path).at(url)).access_token()
    except (BadCredentials, SignInRefused, Unreachable) as error:
        raise CouldNot(str(error)) from error
    tell({"access_token": given, "token_type": "bearer"}, as_json=as_json, text=lambda: given)
