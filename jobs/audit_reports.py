"""The audits' own reports against the ledger: each is the one whose digest was recorded, with the verdict that was recorded."""

from collections.abc import Iterator
from hashlib import sha256

from chain.ledger import Ledger
from gateway.index import audit_reports
from gateway.index.audit_reports import StoredReport
from gateway.index.database import Index
from jobs.audit_report import Finding, Report
from jobs.audit_storage import Bounds


def verify_reports(index: Index, ledger: Ledger, bounds: Bounds) -> Report:
    """Every report that is kept. That one is missing shows where the numbers have a gap."""
    findings: list[Finding] = []
    pending: list[str] = []
    following = 1
    for report in _kept(index):
        name = f"audit {report.row}"
        if report.row != following:
            findings.append(Finding("report-altered", f"audits {following} to {report.row - 1}", "they are missing"))
        following = report.row + 1
        recorded = ledger.audit_report(report.digest)
        if sha256(report.body).digest() != report.digest or (recorded and recorded.exit_code != report.exit_code):
            findings.append(Finding("report-altered", name, "it is not the report that was recorded"))
        elif recorded is None and bounds.is_pending(report.ended_at):
            pending.append(name)
        elif recorded is None:
            findings.append(Finding("report-altered", name, "the ledger has no report with its digest"))
    return Report({"reports of audits": following - 1} if following > 1 else {}, tuple(pending), tuple(findings))


def _kept(index: Index) -> Iterator[StoredReport]:
    """In the order in which they were made, a few at a time."""
    after = 0
    while True:
        with index.reading() as connection:
            found = audit_reports.following(connection, after)
        if not found:
            return
        yield from found
        after = found[-1].row
