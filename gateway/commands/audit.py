"""`fhir-anchor audit`: re-verify what the gateway keeps."""

import time
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

import click
from sqlalchemy.exc import DatabaseError

from chain.errors import LedgerError
from gateway.bootstrap import read_genesis
from gateway.commands.context import json_option, leave, settings_of, tell
from gateway.commands.ledger import opened_ledger
from gateway.errors import GatewayError
from gateway.settings import BadSetting, Settings
from jobs.audit_report import FINDING_CODES, Report, merge, to_json

if TYPE_CHECKING:
    from rich.progress import Progress

ROTATION_DAYS = 30
PENDING_SLOTS = 60  # slots after which an unanchored container is a finding: longer than a restart takes


@click.group()
def audit() -> None:
    """Re-verify the chain, the storage and the content. Shows no clinical content; only the level content opens any."""


@audit.command(epilog="Example: fhir-anchor --home ./gw audit run --level storage --json")
@click.option(
    "--level",
    type=click.Choice(["ledger", "storage", "content", "all"]),
    default="all",
    show_default=True,
    help="ledger: blocks, votes, state, derived rows. storage: every anchored container, the database's rows, orphans. "
    "content: every record opened and recomputed, who submitted it, the index held against what was sealed.",
)
@click.option(
    "--rotating",
    is_flag=True,
    help=f"Open the senders' original entries of one container in {ROTATION_DAYS} only, of others each day.",
)
@json_option
@click.pass_context
def run(context: click.Context, level: str, rotating: bool, as_json: bool) -> None:
    """Run an audit. Exit codes: 0 clean, 1 findings, 2 something could not be checked."""
    report = audit_report(settings_of(context), tuple(_LEVELS) if level == "all" else (level,), rotating=rotating)
    tell(to_json(report), as_json=as_json, text=lambda: report_text(report))
    leave(report.exit_code)


def audit_report(settings: Settings, levels: tuple[str, ...], *, rotating: bool = False) -> Report:
    """The levels asked for, one after another."""
    report = Report()
    for level in levels:
        try:
            report = merge(report, _LEVELS[level](settings, rotating))
        except (BadSetting, GatewayError, LedgerError, DatabaseError, OSError) as error:
            report = merge(report, Report(could_not_check=(f"level {level}: {_sentence(error)}",)))
    return report


def _sentence(error: Exception) -> str:
    """SQLAlchemy's own text is its cause with a statement and an address around it."""
    return str(error.orig if isinstance(error, DatabaseError) else error)


def _ledger(settings: Settings, _rotating: bool) -> Report:
    from jobs.audit_ledger import verify_ledger

    with opened_ledger(settings) as (store, genesis):
        return verify_ledger(store, genesis, settings.keys_path)


def _storage(settings: Settings, _rotating: bool) -> Report:
    from chain.ledger import Ledger
    from gateway.index.database import open_index
    from gateway.storage.opening import open_object_store
    from jobs.audit_storage import Bounds, verify_storage

    bounds = Bounds(int(time.time()), PENDING_SLOTS * read_genesis(settings).slot_seconds)
    index = open_index(settings.effective_database_url)
    report = Report()
    try:
        with opened_ledger(settings) as (store, genesis):
            for shard in verify_storage(Ledger(store, genesis), index, open_object_store(settings.effective_bucket_url), bounds):
                report = merge(report, shard)
    finally:
        index.close()
    return report


def _content(settings: Settings, rotating: bool) -> Report:
    from chain.ledger import Ledger
    from jobs.audit_content import ALL, Turn, verify_content

    originals = Turn(int(time.time()) // 86_400, ROTATION_DAYS) if rotating else ALL
    report = Report()
    with opened_ledger(settings) as (store, genesis), _progress() as progress:
        reader = Ledger(store, genesis)
        head = reader.head()
        task = progress.add_task("content", total=head.height if head else 0)
        for height, part in verify_content(settings, reader, originals=originals):
            report = merge(report, part)
            progress.update(task, completed=height)
    return replace(report, findings=tuple(dict.fromkeys(report.findings)))  # two shards may meet the same archive


def _progress() -> "Progress":
    """A bar on stderr where that is a terminal, else nothing."""
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    return Progress(console=console, transient=True, disable=not console.is_terminal)


_LEVELS: dict[str, Callable[[Settings, bool], Report]] = {"ledger": _ledger, "storage": _storage, "content": _content}


def report_text(report: Report) -> str:
    """The report for people: counts, then each finding with what to do."""
    lines = [f"checked   {count:>10,}  {what}" for what, count in report.checked.items()]
    lines += [f"pending   {subject}" for subject in report.pending]
    lines += [f"UNCHECKED {what}" for what in report.could_not_check]
    for finding in report.findings:
        lines += [f"FINDING   {finding.code}  {finding.subject}", f"          {finding.detail}", f"          {FINDING_CODES[finding.code]}"]
    lines.append(
        {
            0: "Clean.",
            1: f"{len(report.findings)} finding{'s' if len(report.findings) > 1 else ''}.",
            2: "Not everything could be checked.",
        }[report.exit_code]
    )
    return "\n".join(lines)
