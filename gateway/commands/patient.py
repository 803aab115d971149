"""`fhir-anchor patient`: enrol patients, so that they can sign in."""

import os
import time
from pathlib import Path

import click

from gateway.commands.context import FINDINGS, CouldNot, check_out, json_option, leave, services_of, tell
from gateway.settings import DEFAULT_BASE_URL


@click.group()
def patient() -> None:
    """Patients own their archives. A custodial archive is there from the first record on; enrolling lets its patient sign in."""


@patient.command(
    epilog="Example: fhir-anchor --home ./gw patient enrol --identifier 'https://ids.example.org/person|4471' --out marit.json"
)
@click.option("--identifier", required=True, metavar="'SYSTEM|VALUE'", help="An identifier of the patient, as an institution sent it.")
@click.option("--url", help=f"Address of the gateway as the patient reaches it [FHIR_ANCHOR_BASE_URL; {DEFAULT_BASE_URL}].")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), required=True, help="Where the credentials go, mode 0600.")
@json_option
@click.pass_context
def enrol(context: click.Context, identifier: str, url: str | None, out: Path, as_json: bool) -> None:
    """Give the one patient with this identifier credentials. Check who asks before you run it. Exit code 1 if it is not exactly one."""
    from gateway.client.credentials import BadCredentials
    from gateway.errors import Unavailable
    from gateway.registration import NotOnePatient, enrol_patient

    system, bar, value = identifier.partition("|")
    if not (system and bar and value):
        raise CouldNot("--identifier must be 'SYSTEM|VALUE', such as 'https://ids.example.org/person|4471'")
    check_out(out)
    services = services_of(context)
    base_url = url or services.settings.base_url or DEFAULT_BASE_URL
    try:
        enrolled = enrol_patient(services, system, value, base_url, out, now=int(time.time()), random=os.urandom)
    except NotOnePatient as error:
        click.echo(f"fhir-anchor: {error}", err=True)
        leave(FINDINGS)
    except (BadCredentials, Unavailable, OSError) as error:
        raise CouldNot(str(error)) from error
    told = {"client_id": enrolled.client_id, "credentials": str(out)}
    tell(told, as_json=as_json, text=lambda: f"Enrolled as {enrolled.client_id}; the credentials are in {out} (for the patient alone).")
