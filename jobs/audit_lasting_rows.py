"""Rows that last: what an audit has seen of them must still be there at the next (docs/adr/0044-rows-that-last.md).

A tag says that the gateway wrote a row, not that it is the newest, nor that none is missing. So the report of each nightly audit says what
there was of those rows that nothing takes away but an erasure: since when archives are joined, what was decided in the review queue, who is
suspended. Its digest is on the ledger, so that no report can be taken back, and the next audit holds the database against the last one.
"""

from collections.abc import Iterator
from hashlib import sha256

import msgspec
from msgspec import Struct
from sqlalchemy import Connection

from chain.ledger import Ledger
from gateway.index import audit_reports, erasures, memberships, parties, persons
from jobs.audit_notes import Notes

_AT_ONCE = 10  # reports


class LastingRows(Struct, frozen=True):
    """What there was: lines of `membership` and the digest (hex) over them, every line of the queue, rows of suspended parties."""

    memberships: int
    memberships_digest: str
    decided: list[tuple[int, int, int, int]]  # line, its two archives, the number of its last decision; 0: open
    suspended: list[int]


class _Told(Struct):
    lasting: LastingRows | None = None


def lasting_rows(connection: Connection) -> LastingRows:
    """As they are now. `connection` is one snapshot."""
    count, digest = memberships.digest(connection)
    return LastingRows(count, digest.hex(), persons.decisions(connection), parties.suspended(connection))


def verify_lasting_rows(connection: Connection, ledger: Ledger, notes: Notes) -> None:
    """Against the last report whose digest the ledger has; nothing is known before the first."""
    found = next(_recorded(connection, ledger), None)
    if found is None:
        return
    number, then = found
    notes.count("rows that lasted since the last audit", then.memberships + len(then.decided) + len(then.suspended))
    _verify(connection, then, f"as audit {number} saw", notes)


def _verify(connection: Connection, then: LastingRows, seen: str, notes: Notes) -> None:
    if memberships.digest(connection, then.memberships) != (then.memberships, bytes.fromhex(then.memberships_digest)):
        notes.found("archive-altered", "memberships", f"since when archives are joined is not all there {seen}")
    # With its archives: the number of a line that went with an erasure may be given again.
    now = {(line, archive, other): number for line, archive, other, number in persons.decisions(connection)}
    erased = {row for row, _ in erasures.keyless(connection)}
    for line, archive, other, number in then.decided:
        its_number = now.get((line, archive, other))
        if its_number is None and not erased & {archive, other}:
            notes.found("review-altered", f"review line {line}", f"it is gone, and was there {seen}")
        elif its_number is not None and its_number < number:
            notes.found("review-altered", f"review line {line}", f"it is an older one: its decision is not the last {seen}")
    for client_id in parties.active_among(connection, then.suspended):
        notes.found("party-altered", f"party {client_id}", f"it is active, and suspended {seen}")


def _recorded(connection: Connection, ledger: Ledger) -> Iterator[tuple[int, LastingRows]]:
    """Number and content of the reports that are as the ledger recorded them, the newest first."""
    before = None
    while found := audit_reports.newest(connection, _AT_ONCE, before):
        for report in found:
            told = msgspec.json.decode(report.body, type=_Told).lasting if _is_recorded(report, ledger) else None
            if told is not None:
                yield report.row, told
        before = found[-1].row


def _is_recorded(report: audit_reports.StoredReport, ledger: Ledger) -> bool:
    return sha256(report.body).digest() == report.digest and ledger.audit_report(report.digest) is not None
