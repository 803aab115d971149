"""The audits' own reports against the ledger: each is the one whose digest was recorded, with the verdict that was recorded."""

from collections.abc import Iterator
from hashlib import sha256

from chain.audit_report import AuditReportBody
from chain.encoding import EncodingError
from chain.errors import LedgerError
from chain.ledger import Ledger
from chain.transactions import parse_transaction
from gateway.index import audit_reports
from gateway.index.audit_reports import StoredReport
from gateway.index.database import Index
from jobs.audit_report import Finding, Report
from jobs.audit_storage import Bounds

_AT_ONCE = 1000  # transactions


def verify_reports(index: Index, ledger: Ledger, gateway: str, bounds: Bounds) -> Report:
    """Every report that is kept, and that the ledger has none after them. That one is missing shows where the numbers have a gap."""
    size, last = ledger.log_size(), 0
    findings: list[Finding] = []
    pending: list[str] = []
    following = 1
    for report in _kept(index):
        name = f"audit {report.row}"
        if report.row != following:
            findings.append(Finding("report-altered", f"audits {following} to {report.row - 1}", "they are missing"))
        following = report.row + 1
        recorded = ledger.audit_report(report.digest)
        last = recorded.log_index + 1 if recorded else last
        if sha256(report.body).digest() != report.digest or (recorded and recorded.exit_code != report.exit_code):
            findings.append(Finding("report-altered", name, "it is not the report that was recorded"))
        elif recorded is None and bounds.is_pending(report.ended_at):
            pending.append(name)
        elif recorded is None:
            findings.append(Finding("report-altered", name, "the ledger has no report with its digest"))
    unkept, unread = _unkept(ledger, gateway, range(last, size), bounds)
    checked = {"reports of audits": following - 1} if following > 1 else {}
    return Report(checked, tuple(pending), (*findings, *unkept), unread)


def _unkept(ledger: Ledger, gateway: str, log: range, bounds: Bounds) -> tuple[list[Finding], tuple[str, ...]]:
    """The gateway's reports in this part of the log, behind the last that is kept; and what could not be read of it.

    The log's size was read before the reports were: what has come since may be of a new one.
    """
    found = []
    try:
        for at, raw in _transactions(ledger, log):
            body = parse_transaction(raw).body
            if isinstance(body, AuditReportBody) and _is_of(ledger, gateway, body) and not bounds.lost.has_recorded(at):
                found.append(Finding("report-altered", f"transaction {at}", "the ledger has a later report than any that is kept"))
    except (LedgerError, EncodingError) as error:
        return found, (f"whether the ledger has later reports of audits: {error}",)
    return found, ()


def _transactions(ledger: Ledger, log: range) -> Iterator[tuple[int, bytes]]:
    """With their log indices. Those that are missing are named by the heights that cannot be read."""
    for first in range(log.start, log.stop, _AT_ONCE):
        some = range(first, min(first + _AT_ONCE, log.stop))
        found = ledger.entries(some.start, some.stop)
        whole = len(found) == len(some)
        yield from enumerate(found, first) if whole else ((at, raw) for at in some for raw in ledger.entries(at, at + 1))


def _is_of(ledger: Ledger, gateway: str, body: AuditReportBody) -> bool:
    recorded = ledger.audit_report(body.digest)
    return recorded is not None and recorded.gateway == gateway


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
