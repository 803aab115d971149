"""`fhir-anchor party`: register institutions and agencies."""

import os
import time
from pathlib import Path

import click

from gateway.commands.context import FINDINGS, CouldNot, check_out, json_option, leave, services_of, tell
from gateway.settings import DEFAULT_BASE_URL

_PURPOSE_HELP = "v3 ActReason code that it may state, such as TREAT or HPAYMT. Repeatable [any but BTG and ETREAT]."


@click.group(
    epilog="Examples: fhir-anchor --home ./gw party register institution 'Nordvik Hospital' --out nordvik.json   "
    "fhir-anchor --home ./gw party list"
)
def party() -> None:
    """Institutions push and read; agencies request and fetch."""


@party.command(epilog="Example: fhir-anchor --home ./gw party register institution 'Nordvik Hospital' --out nordvik.json")
@click.argument("kind", type=click.Choice(["institution", "agency"]))
@click.argument("name")
@click.option("--purpose", "purposes", multiple=True, metavar="CODE", help=_PURPOSE_HELP)
@click.option(
    "--signing",
    type=click.Choice(["own", "gateway"]),
    default="gateway",
    show_default=True,
    help="own: submissions that it has not signed itself are refused. gateway: those are attested by the gateway for it.",
)
@click.option("--url", help=f"Address of the gateway as the party reaches it [FHIR_ANCHOR_BASE_URL; {DEFAULT_BASE_URL}].")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), required=True, help="Where its credentials go, mode 0600.")
@json_option
@click.pass_context
def register(
    context: click.Context, kind: str, name: str, purposes: tuple[str, ...], signing: str, url: str | None, out: Path, as_json: bool
) -> None:
    """Register NAME and write its credentials. It can sign in at once; the ledger records it within a slot or two."""
    from chain.transactions import TransactionInvalid
    from gateway.client.credentials import BadCredentials
    from gateway.errors import Unavailable
    from gateway.registration import PurposeUnknown, register_party

    check_out(out)
    services = services_of(context)
    base_url = url or services.settings.base_url or DEFAULT_BASE_URL
    try:
        registered = register_party(services, kind, name, purposes, signing, base_url, out, now=int(time.time()), random=os.urandom)
    except (TransactionInvalid, PurposeUnknown, BadCredentials, Unavailable, OSError) as error:
        raise CouldNot(str(error)) from error
    told = {"client_id": registered.client_id, "name": name, "kind": kind, "signing": signing, "credentials": str(out)}
    tell(told, as_json=as_json, text=lambda: _words(name, registered.client_id, out, base_url))


def _words(name: str, client_id: str, out: Path, base_url: str) -> str:
    return f"Registered {name} as {client_id} at {base_url}.\nIts credentials are in {out}: hand them over and keep no copy."


@party.command("list", epilog="Example: fhir-anchor --home ./gw party list")
@json_option
@click.pass_context
def list_parties(context: click.Context, as_json: bool) -> None:
    """Every registered party; enrolled patients are not listed."""
    from gateway.index import parties

    with services_of(context).index.reading() as connection:
        found = [p for p in parties.all_parties(connection) if p.role is not parties.PartyRole.PATIENT]
    told = [
        {"client_id": p.client_id, "name": p.name, "kind": p.role.name.lower(), "signing": p.signing, "status": p.status} for p in found
    ]
    tell({"parties": told}, as_json=as_json, text=lambda: "\n".join(map(_line, told)) or "No party is registered.")


def _line(party: dict[str, str]) -> str:
    unsigned = {"own": "refused", "gateway": "attested by the gateway"}[party["signing"]]
    return f"{party['client_id']}  {party['name']}  {party['kind']}  what it does not sign: {unsigned}  {party['status']}"


@party.command(epilog="Example: fhir-anchor --home ./gw party suspend nordvik-hospital-1ec2df00")
@click.argument("client_id")
@json_option
@click.pass_context
def suspend(context: click.Context, client_id: str, as_json: bool) -> None:
    """Stop CLIENT_ID, a party or a patient's credentials, at once and for good. What it issued stays."""
    from gateway.index import parties

    with services_of(context).index.atomic() as connection:
        stopped = parties.suspend(connection, client_id, int(time.time()))
    if not stopped:
        click.echo(f"fhir-anchor: there is no active party {client_id}; `party list` names them", err=True)
        leave(FINDINGS)
    tell({"client_id": client_id, "status": "suspended"}, as_json=as_json, text=lambda: f"{client_id} is suspended.")
