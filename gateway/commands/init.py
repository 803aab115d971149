"""`fhir-anchor init`: make a new gateway in an empty folder."""

import os
import re
import time
from pathlib import Path
from urllib.parse import urlsplit

import click

from chain.genesis import Delegate
from gateway.commands.context import CouldNot, home_of, json_option, tell
from gateway.errors import GatewayError
from gateway.founding import FoundingRefused, found
from gateway.settings import BadSetting, databases_from


@click.command(epilog="Examples: fhir-anchor --home ./gw init   fhir-anchor --home ./gw init --bucket gs://my-bucket/gateway-1")
@click.option("--delegates", type=click.IntRange(0), help="How many delegates have their keys here [as many as make four, or seven, ...].")
@click.option(
    "--delegate",
    "elsewhere",
    multiple=True,
    metavar="NAME=KEY",
    help="A delegate elsewhere, by its public key (`delegate key`). Repeatable.",
)
@click.option("--slot-seconds", default=2, show_default=True, type=click.IntRange(1, 3600), help="Length of a slot of the chain.")
@click.option(
    "--bucket", "bucket_url", help="Where containers go: file:///FOLDER, gs://BUCKET or gs://BUCKET/PREFIX, empty [file://HOME/bucket]."
)
@click.option("--database-url", help="The index's database [sqlite:///HOME/gateway.db], or postgresql+psycopg://...")
@click.option("--ledger-url", help="The chain's database [sqlite:///HOME/ledger.db]; with PostgreSQL a database of its own.")
@click.option(
    "--kek-uri",
    help="Where the key-encryption key lies: file:///PATH, or gcp-kms://projects/... which wraps it [file://HOME/keys/kek.json].",
)
@click.option("--base-url", help="Address that clients use, where a proxy stands in front.")
@click.option(
    "--shared-system", "shared_systems", multiple=True, metavar="URI", help="Identifier system that all institutions share. Repeatable."
)
@json_option
@click.pass_context
def init(
    context: click.Context,
    delegates: int | None,
    elsewhere: tuple[str, ...],
    slot_seconds: int,
    bucket_url: str | None,
    database_url: str | None,
    ledger_url: str | None,
    kek_uri: str | None,
    base_url: str | None,
    shared_systems: tuple[str, ...],
    as_json: bool,
) -> None:
    """Make a new gateway in --home: keys (0600), genesis.json, databases, bucket. Refused where a gateway already is.

    All delegates together are 1, 4, 7, ... (3f+1). Those elsewhere run `fhir-anchor delegate` with the genesis.json that is made here.

    Databases of PostgreSQL must exist and be empty. Their addresses are kept in settings.json (0600); to keep a password out of it and of
    the list of processes, give them as FHIR_ANCHOR_DATABASE_URL and FHIR_ANCHOR_LEDGER_URL instead, or leave the password to ~/.pgpass.
    """
    home = home_of(context)
    for system in shared_systems:
        if not urlsplit(system).scheme:
            raise CouldNot(f"--shared-system {system!r} is no URI; identifier systems look like https://... or urn:oid:...")
    others = tuple(_elsewhere(text) for text in elsewhere)
    here = max(4 - len(others), (1 - len(others)) % 3) if delegates is None else delegates
    try:
        genesis = found(
            home,
            delegates=here,
            elsewhere=others,
            slot_seconds=slot_seconds,
            chosen={
                "bucket_url": bucket_url,
                "database_url": database_url,
                "ledger_url": ledger_url,
                "kek_uri": kek_uri,
                "base_url": base_url,
                "shared_systems": shared_systems,
            },
            unsaved=databases_from(os.environ),
            kek_uri=kek_uri or os.environ.get("FHIR_ANCHOR_KEK_URI") or None,
            now=int(time.time()),
            random=os.urandom,
        )
    except (FoundingRefused, BadSetting) as error:
        raise CouldNot(str(error)) from error
    except (GatewayError, OSError) as error:
        raise CouldNot(f"no gateway was made: {error}") from error
    told = {
        "home": str(home),
        "genesis": str(home / "genesis.json"),
        "chain_id": genesis.chain_id.hex(),
        "delegates": len(genesis.delegates),
        "delegates_here": here,
        "delegates_elsewhere": [{"name": other.name, "key": other.key.hex()} for other in others],
    }
    tell(told, as_json=as_json, text=lambda: _words(home, genesis.chain_id, here, [other.name for other in others]))


def _elsewhere(text: str) -> Delegate:
    name, is_given, key = text.partition("=")
    if not is_given or not re.fullmatch(r"[0-9a-f]{64}", key):
        raise CouldNot(f"--delegate {text!r} is not of the form NAME=KEY, with the 64 hex digits that `fhir-anchor delegate key` printed")
    return Delegate(name, bytes.fromhex(key))


def _words(home: Path, chain_id: bytes, here: int, elsewhere: list[str]) -> str:
    quorum = (here + len(elsewhere)) * 2 // 3 + 1
    away = f", {len(elsewhere)} elsewhere ({', '.join(elsewhere)}); a block needs {quorum}" if elsewhere else ""
    start_away = "\nThere:          fhir-anchor delegate --key KEY.json --gateway URL --genesis genesis.json" if elsewhere else ""
    return (
        f"A gateway was made in {home}.\n"
        f"  chain id      {chain_id.hex()}\n"
        f"  delegates     {here} here{away}\n"
        f"  give away     {home / 'genesis.json'}   (whoever verifies receipts needs it)\n"
        f"  keep secret   {home / 'keys'}\n"
        f"Start it:       fhir-anchor --home {home} serve{start_away}"
    )
