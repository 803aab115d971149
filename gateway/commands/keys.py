"""`fhir-anchor keys`: the key-encryption key, replaced and moved."""

import os
import time

import click

from gateway.commands.context import FINDINGS, CouldNot, instant, iso, json_option, leave, services_of, settings_of, tell
from gateway.errors import GatewayError
from gateway.settings import BadSetting, check_settings
from gateway.vault.kek_file import KekFile, KekVersion
from gateway.vault.kms import kms_of
from gateway.wording import counted


@click.group(epilog="Examples: fhir-anchor --home ./gw keys list   fhir-anchor --home ./gw keys rotate-kek")
def keys() -> None:
    """The key-encryption key: all other keys and secrets in the database are sealed under it."""


@keys.command("list", epilog="Example: fhir-anchor --home ./gw keys list")
@json_option
@click.pass_context
def list_keys(context: click.Context, as_json: bool) -> None:
    """Every version that can open something, and where they lie. The keys themselves are never shown."""
    settings = settings_of(context)
    try:
        found = _file(context).read()
    except GatewayError as error:
        raise CouldNot(str(error)) from error
    place = settings.kek_uri or settings.kek_path.absolute().as_uri()
    told = [{"version": key.version, "state": key.state, "changed_at": iso(key.changed_at) if key.changed_at else None} for key in found]
    tell({"kek_uri": place, "keys": told}, as_json=as_json, text=lambda: "\n".join([place, *map(_line, found)]))


@keys.command("rotate-kek", epilog="Example: fhir-anchor --home ./gw keys rotate-kek")
@click.option("--prepare", is_flag=True, help="Only put a new key, which seals nothing yet, into the file: for several hosts.")
@json_option
@click.pass_context
def rotate_kek(context: click.Context, prepare: bool, as_json: bool) -> None:
    """Seal everything under a new key-encryption key, while the gateway serves. Stopped in the middle, it goes on when it is run again.

    The old key is kept as `retired` until `keys retire`. With several hosts: --prepare, copy the file of the keys to each, then rotate.
    """
    from gateway.key_rotation import prepare as prepare_kek
    from gateway.key_rotation import rotate

    services, file, now = services_of(context), _file(context), int(time.time())
    try:
        if prepare:
            key = prepare_kek(file, services, now)
            tell(
                {"version": key.version, "state": key.state}, as_json=as_json, text=lambda: f"Version {key.version} waits for the rotation."
            )
            return
        rotation = rotate(file, services, now, lambda table, rows: click.echo(f"{table}: {counted(rows, 'rows')}", err=True))
    except (GatewayError, OSError) as error:
        raise CouldNot(f"{error}; what was sealed opens as before: run it again") from error
    told = {"version": rotation.version, "resealed": rotation.resealed, "unopened": rotation.unopened}
    sealed = counted(rotation.resealed, "values")
    done = f"Everything is under version {rotation.version}; sealed anew: {sealed}. `keys retire` drops the old key."
    lines = [f"does not open, left as it is: {row}" for row in rotation.unopened]
    tell(told, as_json=as_json, text=lambda: done if rotation.is_done else "\n".join([*lines, "The old key stays. `audit run` says more."]))
    if not rotation.is_done:
        leave(FINDINGS)


@keys.command(epilog="Example: fhir-anchor --home ./gw keys retire")
@json_option
@click.pass_context
def retire(context: click.Context, as_json: bool) -> None:
    """Drop retired keys for good, after looking once more that nothing needs them. Older copies of the database need them to be opened."""
    from gateway.key_rotation import NotRetired
    from gateway.key_rotation import retire as retire_keks

    try:
        dropped = retire_keks(_file(context), services_of(context), int(time.time()))
    except NotRetired as error:
        click.echo(f"fhir-anchor: {error}", err=True)
        leave(FINDINGS)
    except (GatewayError, OSError) as error:
        raise CouldNot(str(error)) from error
    tell({"dropped": dropped}, as_json=as_json, text=lambda: f"Dropped: version {', '.join(map(str, dropped)) or 'none'}.")


@keys.command(epilog="Example: fhir-anchor --home ./gw keys rewrap --kek-uri gcp-kms://projects/P/locations/L/keyRings/R/cryptoKeys/K")
@click.option("--kek-uri", required=True, help="Where they go: gcp-kms://projects/..., or file:///PATH, in clear.")
@json_option
@click.pass_context
def rewrap(context: click.Context, kek_uri: str, as_json: bool) -> None:
    """Move the key-encryption keys to a KMS that wraps them, or back to a file. Run it again if it was stopped; then restart `serve`."""
    from gateway.key_move import move_keks

    settings = settings_of(context)
    try:
        check_settings({"kek_uri": kek_uri})
        move_keks(settings, kek_uri)
    except (BadSetting, GatewayError, OSError) as error:
        raise CouldNot(str(error)) from error
    set_elsewhere = os.environ.get("FHIR_ANCHOR_KEK_URI") not in (None, "", kek_uri)
    more = " Set FHIR_ANCHOR_KEK_URI to it: the environment still says otherwise." if set_elsewhere else ""
    tell({"kek_uri": kek_uri}, as_json=as_json, text=lambda: f"The keys lie at {kek_uri} now. Restart `serve`.{more}")


def _file(context: click.Context) -> KekFile:
    settings = settings_of(context)
    return KekFile(settings.kek_path, kms_of(settings.kek_uri))


def _line(key: KekVersion) -> str:
    return f"  {key.version:>3}  {key.state:<9} since {instant(key.changed_at) if key.changed_at else 'it was made'}"
