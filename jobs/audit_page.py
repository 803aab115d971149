"""An audit's report as one page without scripts or anything from elsewhere: what was checked, what was found, and the audits before."""

from collections.abc import Sequence
from datetime import UTC, datetime
from html import escape
from typing import Any

import msgspec

from gateway.index.audit_reports import StoredReport
from gateway.wording import counted

_VERDICTS = ("clean", "findings", "not everything could be checked")
_COLOURS = ("#2e7d32", "#c62828", "#ef6c00")
_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #1c1c1c }
table { border-collapse: collapse; width: 100% } td, th { text-align: left; padding: .3rem .8rem .3rem 0; border-bottom: 1px solid #ddd }
td.number { text-align: right; font-variant-numeric: tabular-nums } .verdict { font-size: 1.4rem; font-weight: 600 }
@media (prefers-color-scheme: dark) { body { background: #161616; color: #eee } td, th { border-color: #444 } }
"""
_BAR, _GAP, _HEIGHT = 16, 4, 80


def page(report: StoredReport, recent: Sequence[StoredReport]) -> str:
    """The page for `report`, with a chart of the `recent` ones (newest first): a bar each, as high as it took long, coloured by verdict."""
    told = msgspec.json.decode(report.body)
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>Audit {report.row}</title>
<style>{_STYLE}</style></head><body>
<h1>Audit {report.row}</h1>
<p class="verdict" style="color:{_COLOURS[report.exit_code]}">{_VERDICTS[report.exit_code].capitalize()}</p>
<p>{_instant(report.started_at)} to {_instant(report.ended_at)} UTC. Levels: {escape(", ".join(report.levels))}.
SHA-256 of the report: <code>{report.digest.hex()}</code></p>
<h2>The last {counted(len(recent), "audits")}</h2>
{_chart(recent[::-1])}
<h2>Checked</h2>
<table>{"".join(f'<tr><td>{escape(what)}</td><td class="number">{count:,}</td></tr>' for what, count in told["checked"].items())}</table>
{_findings(told["findings"])}
{_list("Could not be checked", told["could_not_check"])}
{_list("Pending", told["pending"])}
</body></html>
"""


def _chart(reports: Sequence[StoredReport]) -> str:
    longest = max((report.ended_at - report.started_at for report in reports), default=0) or 1
    bars = []
    for number, report in enumerate(reports):
        height = max(4, _HEIGHT * (report.ended_at - report.started_at) // longest)
        title = f"{_instant(report.started_at)}: {_VERDICTS[report.exit_code]}, {report.ended_at - report.started_at} s"
        place = f'x="{number * (_BAR + _GAP)}" y="{_HEIGHT - height}" width="{_BAR}" height="{height}"'
        bars.append(f'<rect {place} fill="{_COLOURS[report.exit_code]}"><title>{title}</title></rect>')
    width = max(1, len(reports) * (_BAR + _GAP))
    return f'<svg role="img" aria-label="audits by duration and verdict" width="{width}" height="{_HEIGHT}">{"".join(bars)}</svg>'


def _findings(findings: Sequence[dict[str, Any]]) -> str:
    rows = "".join(
        f"<tr><td><code>{escape(f['code'])}</code></td><td>{escape(f['subject'])}<br>{escape(f['detail'])}</td><td>{escape(f['advice'])}</td></tr>"
        for f in findings
    )
    return f"<h2>Findings</h2><table><tr><th>code</th><th>what</th><th>what to do</th></tr>{rows}</table>" if findings else ""


def _list(title: str, lines: Sequence[str]) -> str:
    return f"<h2>{title}</h2><ul>{''.join(f'<li>{escape(line)}</li>' for line in lines)}</ul>" if lines else ""


def _instant(at: int) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(" ", "seconds").removesuffix("+00:00")
