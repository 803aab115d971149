"""`fhir-anchor party`: register institutions and agencies."""

import os
import time
from pathlib import Path

import click

from gateway.commands.context import CouldNot, json_option, settings_of, tell
from gateway.settings import DEFAULT_BASE_URL

_PURPOSE_HELP = "v3 ActReason code that it may state, such as TREAT or HPAYMT. Repeatable [any but BTG and ETREAT]."


@click.group()
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
    from gateway.bootstrap import open_services
    from gateway.client.credentials import BadCredentials
    from gateway.registration import register_party

    settings = settings_of(context)
    if out.exists():
        raise CouldNot(f"{out} is there already; credentials are never written over")
    services = open_services(settings)
    base_url = url or settings.base_url or DEFAULT_BASE_URL
    try:
        registered = register_party(services, kind, name, purposes, signing, base_url, out, now=int(time.time()), random=os.urandom)
    except (TransactionInvalid, BadCredentials, OSError) as error:
        raise CouldNot(str(error)) from error
    told = {"client_id": registered.client_id, "name": name, "kind": kind, "signing": signing, "credentials": str(out)}
    tell(
        told, as_json=as_json, text=lambda: f"Registered {name} as {registered.client_id}; its credentials are in {out} (keep them secret)."
    )
