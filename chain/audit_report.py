"""AUDIT_REPORT (docs/design/ledger.md): the digest of what an audit found, anchored, so that no report can be replaced or
forgotten afterwards.
"""

from typing import Any, ClassVar

from msgspec import Struct

from chain.kinds import Kind, TransactionInvalid, check_fields, is_count, is_hash

MAX_EXIT_CODE = 2


class AuditReportBody(Struct, frozen=True, gc=False):
    """One report. The ledger sees neither what was checked nor what was found."""

    digest: bytes  # SHA-256 of the report
    ended_at: int  # seconds since the epoch
    exit_code: int  # 0 clean, 1 findings, 2 not everything could be checked

    kind: ClassVar[Kind] = Kind.AUDIT_REPORT

    def to_map(self) -> dict[int, Any]:
        return {0: self.digest, 1: self.ended_at, 2: self.exit_code}

    @classmethod
    def from_map(cls, body: dict[int, Any]) -> "AuditReportBody":
        """Raises `TransactionInvalid`."""
        check_fields(body, 3)
        parsed = cls(body[0], body[1], body[2])
        parsed.check()
        return parsed

    def check(self) -> None:
        """Raises `TransactionInvalid` unless all has its form."""
        if not is_hash(self.digest):
            raise TransactionInvalid("AUDIT_REPORT has a digest of the wrong size")
        if not is_count(self.ended_at):
            raise TransactionInvalid("AUDIT_REPORT has an impossible time")
        if type(self.exit_code) is not int or not 0 <= self.exit_code <= MAX_EXIT_CODE:
            raise TransactionInvalid("AUDIT_REPORT has an unknown exit code")
