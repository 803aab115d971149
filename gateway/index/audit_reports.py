"""Reports of the nightly audits, as they were made: their digest goes to the ledger, so that none can be replaced afterwards."""

from dataclasses import dataclass
from hashlib import sha256

from sqlalchemy import Connection, Row, insert, select

from gateway.index.schema import audit_report


@dataclass(frozen=True, slots=True)
class StoredReport:
    """One audit. Times in seconds since the epoch; `body` is the report as canonical JSON, `digest` its SHA-256."""

    row: int
    started_at: int
    ended_at: int
    levels: tuple[str, ...]
    exit_code: int  # as `audit run` would have ended
    digest: bytes
    body: bytes


def add(connection: Connection, started_at: int, ended_at: int, levels: tuple[str, ...], exit_code: int, body: bytes) -> bytes:
    """Keep a report; returns its digest."""
    digest = sha256(body).digest()
    row = {"started_at": started_at, "ended_at": ended_at, "levels": " ".join(levels), "exit_code": exit_code}
    connection.execute(insert(audit_report), [{**row, "digest": digest, "body": body}])
    return digest


def newest(connection: Connection, limit: int, before: int | None = None) -> list[StoredReport]:
    """The last `limit` reports, the newest first; of those before number `before`, if one is given."""
    query = select(audit_report).order_by(audit_report.c.row.desc()).limit(limit)
    return [_from_row(row) for row in connection.execute(query if before is None else query.where(audit_report.c.row < before))]


def newest_result(connection: Connection) -> tuple[int, int] | None:
    """When the last report was made and its exit code; reads no body."""
    found = select(audit_report.c.ended_at, audit_report.c.exit_code).order_by(audit_report.c.row.desc()).limit(1)
    row = connection.execute(found).one_or_none()
    return None if row is None else (row.ended_at, row.exit_code)


def following(connection: Connection, row: int, limit: int = 100) -> list[StoredReport]:
    """The first `limit` reports after number `row`, in the order in which they were made."""
    found = connection.execute(select(audit_report).where(audit_report.c.row > row).order_by(audit_report.c.row).limit(limit))
    return [_from_row(stored) for stored in found]


def by_row(connection: Connection, row: int) -> StoredReport | None:
    """One report."""
    found = connection.execute(select(audit_report).where(audit_report.c.row == row)).one_or_none()
    return None if found is None else _from_row(found)


def _from_row(row: Row[tuple[object, ...]]) -> StoredReport:
    return StoredReport(row.row, row.started_at, row.ended_at, tuple(row.levels.split()), row.exit_code, row.digest, row.body)
