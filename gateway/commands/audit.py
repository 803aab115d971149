"""`fhir-anchor audit`: re-verify what the gateway keeps, and what the nightly audits found."""

import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gateway.commands.context import CouldNot, bar, check_out, instant, iso, json_option, leave, opened_index, settings_of, tell
from gateway.wording import counted, of_number
from jobs.audit import LEVELS, ROTATION_DAYS, Audit, run_audit
from jobs.audit_report import FINDING_CODES, Report, to_json

if TYPE_CHECKING:
    from gateway.index.audit_reports import StoredReport


@click.group(epilog="Examples: fhir-anchor --home ./gw audit run   fhir-anchor --home ./gw audit history")
def audit() -> None:
    """Re-verify the chain, the storage, the content and the conduct. Shows no clinical content; only the level content opens any."""


@audit.command(epilog="Example: fhir-anchor --home ./gw audit run --level storage --json")
@click.option(
    "--level",
    type=click.Choice([*LEVELS, "all"]),
    default="all",
    show_default=True,
    help="ledger: blocks, votes, state, derived rows. storage: every anchored container, the database's rows, orphans. "
    "content: every record opened and recomputed, who submitted it, the index held against what was sealed. "
    "conduct: every access anchored as it was logged and permitted when it was, every consent as the chain has it.",
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
    levels = tuple(LEVELS) if level == "all" else (level,)
    with bar() as progress:
        report = run_audit(Audit(settings_of(context), int(time.time()), rotating, progress), levels)
    tell(to_json(report), as_json=as_json, text=lambda: report_text(report))
    leave(report.exit_code)


@audit.command(epilog="Example: fhir-anchor --home ./gw audit history --json")
@click.option("--last", default=30, show_default=True, type=click.IntRange(1, 10_000), help="How many.")
@json_option
@click.pass_context
def history(context: click.Context, last: int, as_json: bool) -> None:
    """The nightly audits, the newest first; `audit show` shows one."""
    from gateway.index import audit_reports

    with opened_index(context) as index, index.reading() as connection:
        reports = audit_reports.newest(connection, last)
    tell({"audits": [_to_json(report) for report in reports]}, as_json=as_json, text=lambda: "\n".join(map(_line, reports)) or "None yet.")


@audit.command(epilog="Example: fhir-anchor --home ./gw audit show --html audits.html")
@click.argument("number", type=int, required=False)
@click.option("--html", type=click.Path(path_type=Path), help="Write a page with the last 30 audits and this one's findings.")
@json_option
@click.pass_context
def show(context: click.Context, number: int | None, html: Path | None, as_json: bool) -> None:
    """The report of the nightly audit NUMBER (the last one), as JSON or as a page. Exit codes: as that audit's."""
    from gateway.index import audit_reports
    from jobs.audit_page import page

    with opened_index(context) as index, index.reading() as connection:
        recent = audit_reports.newest(connection, 30)
        chosen = audit_reports.by_row(connection, number) if number is not None else next(iter(recent), None)
    if chosen is None:
        raise CouldNot("there is no such audit; `audit history` lists them, and `jobs run audit` makes one")
    if html:
        check_out(html)
        html.write_text(page(chosen, recent), encoding="utf-8")
    click.echo(chosen.body if as_json else _line(chosen) + (f"\n{html}" if html else ""))
    leave(chosen.exit_code)


def _to_json(report: "StoredReport") -> dict[str, object]:
    told = {"number": report.row, "started_at": iso(report.started_at), "ended_at": iso(report.ended_at)}
    return {**told, "levels": report.levels, "exit_code": report.exit_code, "digest": report.digest.hex()}


def _line(report: "StoredReport") -> str:
    verdict = ("clean", "findings", "not everything could be checked")[report.exit_code]
    return f"{report.row:>6}  {instant(report.started_at)}  {report.ended_at - report.started_at:>6} s  {verdict}"


def report_text(report: Report) -> str:
    """The report for people: counts, then each finding with what to do."""
    lines = [f"checked   {count:>10,}  {of_number(count, what)}" for what, count in report.checked.items()]
    lines += [f"pending   {subject}" for subject in report.pending]
    lines += [f"UNCHECKED {what}" for what in report.could_not_check]
    for finding in report.findings:
        lines += [f"FINDING   {finding.code}  {finding.subject}", f"          {finding.detail}", f"          {FINDING_CODES[finding.code]}"]
    lines.append(
        {
            0: "Clean.",
            1: f"{counted(len(report.findings), 'findings')}.",
            2: "Not everything could be checked.",
        }[report.exit_code]
    )
    return "\n".join(lines)
