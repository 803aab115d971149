"""`fhir-anchor upgrade`: bring a gateway's databases to this version."""

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gateway.commands.context import CouldNot, json_option, settings_of, tell

if TYPE_CHECKING:
    from gateway.settings import Settings
    from gateway.upgrading import Plan


@click.command(epilog="Example: fhir-anchor --home ./gw upgrade --dry-run")
@click.option("--dry-run", is_flag=True, help="Only say what would be done.")
@click.option("--backup", "out", type=click.Path(path_type=Path), help="Where the backup of before goes, a file or a folder [--home].")
@click.option("--no-backup", is_flag=True, help="Make none: there is one already.")
@json_option
@click.pass_context
def upgrade(context: click.Context, dry_run: bool, out: Path | None, no_backup: bool, as_json: bool) -> None:
    """Bring both databases of an earlier version up to date, after a backup of them. Stop `serve` first; running it again changes nothing.

    It also vouches, once, for rows as they stand in the database that earlier versions wrote without a tag (parties, archives, what waits
    for the ledger, directory links, the review queue): run `audit run` with the earlier version before. From then on a row that this
    gateway did not write is refused and named by the audit. To go back: `backup restore` with the earlier version.
    """
    from chain.errors import LedgerError
    from gateway.backup.manifest import BackupRefused
    from gateway.errors import GatewayError
    from gateway.serving import CouldNotServe, the_only_one
    from gateway.upgrading import planned
    from gateway.upgrading import upgrade as upgrade_gateway

    settings = settings_of(context)
    try:
        with the_only_one(settings.home):
            plan = planned(settings)
            made = None
            if not dry_run and not plan.is_empty:
                made = None if no_backup else _backup(settings, out or settings.home)
                upgrade_gateway(settings, int(time.time()))
    except (GatewayError, LedgerError, BackupRefused, CouldNotServe, ValueError, OSError) as error:
        raise CouldNot(str(error)) from error
    told = {
        "home": str(settings.home),
        "database": plan.database,
        "ledger": plan.ledger,
        "vouched": plan.vouches,
        "registers": plan.registers,
    }
    told |= {"backup": made, "dry_run": dry_run}
    tell(told, as_json=as_json, text=lambda: _text(settings, plan, made, dry_run=dry_run))


def _backup(settings: "Settings", out: Path) -> str:
    from gateway.backup.creation import create

    return str(
        create(settings, out, with_keys=True, now=int(time.time()), random=os.urandom, progress=lambda _what, _reached, _total: None).path
    )


def _text(settings: "Settings", plan: "Plan", made: str | None, *, dry_run: bool) -> str:
    if plan.is_empty:
        return f"The gateway in {settings.home} is up to date; nothing to do."
    lines = [f"gateway.db  {step}" for step in plan.database] + [f"ledger.db   {step}" for step in plan.ledger]
    if plan.vouches:
        lines.append("gateway.db  rows of an earlier version, which had no tags, are vouched for as they stand")
    if plan.registers:
        lines.append(f"ledger      the keys with which these sign checkpoints become known to it: {', '.join(plan.registers)}")
    if made:
        lines.append(f"A backup of before is in {made}; it holds every key.")
    return "\n".join([*lines, "Nothing was changed." if dry_run else f"The gateway in {settings.home} is up to date."])
