"""What an audit says: counts of what was checked, what is pending, and findings from a closed list of codes.

Reports of shards merge associatively, so that one process, a pool or a cluster run the same code. "Could not check" is never clean.
"""

from dataclasses import dataclass, field

# code -> what to do. The closed list: a finding with another code is a programming error.
FINDING_CODES = {
    "container-missing": "Restore the object from the bucket's versions or a backup; its records cannot be served until then.",
    "container-altered": "Do not serve from it. Restore the object from a backup and look for who can write to the bucket.",
    "container-unindexed": "The chain anchors a container that the database does not know: restore the database, or rebuild its rows.",
    "container-unanchored": "The database names a container that the chain never anchored: look at `ledger status`, rejected.",
    "orphan-object": "No record points to it: a crash between storing and committing leaves it. `jobs run sweep-orphans` removes it.",
    "erasure-unfinished": "Run `patient erase` again. If nobody was to be erased, find out who can write to the bucket.",
    "written-after-backup": "It came after the backup that was restored: have its sender push it again, then run `backup accept-loss`.",
    "index-row-altered": "The database's row differs from what was sealed or anchored: restore the database.",
    "party-altered": "A party's keys, status or archive are not as the gateway wrote them, or as the ledger says: restore the database.",
    "archive-altered": "An archive's keys or links are not as the gateway wrote them: restore the database, look for who can write to it.",
    "block-missing": "The stored chain was cut at this height: restore ledger.db from a delegate or a backup.",
    "block-invalid": "The stored chain was changed at this height: restore ledger.db from a delegate or a backup.",
    "schedule-invalid": "A delegate produced in a slot that was not its own: find out who holds its key.",
    "vote-invalid": "The stored votes were changed at this height: restore ledger.db from a delegate or a backup.",
    "transaction-invalid": "A block records what the rules do not admit: restore ledger.db; if the votes hold, a quorum is at fault.",
    "log-mismatch": "The log's transactions or hashes were changed: restore ledger.db from a delegate or a backup.",
    "state-mismatch": "The ledger's state differs from what its blocks give: restore ledger.db from a delegate or a backup.",
    "index-mismatch": "The ledger's transaction index differs from its blocks: restore ledger.db from a delegate or a backup.",
    "pack-missing": "Old blocks are not in the bucket: restore the object from the bucket's versions, a backup or a delegate's copy.",
    "pack-altered": "Old blocks in the bucket were changed: restore the object, and look for who can write to the bucket.",
    "file-damaged": "A page, an index or a value of ledger.db is not as it was written: restore ledger.db, and look at the disk.",
    "leaf-mismatch": "A sealed record does not match its commitment: restore the container.",
    "record-mismatch": "A sealed record's bytes, leaf and index row are not of one record: what sealed it was at fault. Look at the logs.",
    "bundle-invalid": "A bundle is as it was anchored, but not what a gateway seals: find out who could anchor it.",
    "bundle-unopened": "A bundle does not open with its archive's key: restore the database; its records cannot be read until then.",
    "bundle-number-gap": "An archive's bundles are not numbered without a gap: rows are missing from the database. Restore it.",
    "statement-invalid": "Who submitted it is not proven: look at the issuer's keys on the ledger, and at what came in by whose token.",
    "index-row-missing": "What was sealed is not in the database, so it is not found or served: restore the database.",
    "index-row-unfounded": "The database names what no sealed record bears out: restore the database and look for who can write to it.",
    "permit-missing": "A disclosure had no consent or other basis in force: treat it as a breach.",
    "access-altered": "An entry of the access log is not what was anchored: restore the database; the patient was told something else.",
    "access-missing": "The chain has accesses that the database lost: restore the database; patients are not told of them until then.",
    "access-unanchored": "The access log names what the chain does not have: look at `jobs run close-access-batch` and at `ledger status`.",
    "sequence-gap": "Numbers of the commit sequence stand for nothing: entries were taken away before they were anchored. Restore them.",
    "consent-altered": "A consent is not what its patient granted or revoked: restore the database before more is disclosed by it.",
    "consent-missing": "The chain has a grant that the database lost: restore the database.",
    "consent-unanchored": "A grant or revoke is not on the chain: look at `ledger status`, rejected. If it is not there, nobody made it.",
    "report-altered": "An audit's report was changed or taken away after it was made: restore the database, and audit again.",
    "outbox-refused": "A transaction cannot be put on the ledger as it stands: mend what `jobs dead-letters` shows, then `--retry`.",
    "outbox-altered": "A transaction waits that the gateway did not write. It is never signed: find out who can write to gateway.db.",
    "link-altered": "The database says by whom a directory resource may be read, and the gateway did not write it: restore the database.",
    "review-altered": "A line of the review queue is not as the gateway wrote it: restore the database, and decide none before.",
    "outbox-waiting": "Transactions wait to be submitted for too long: see that the jobs process runs, and look at its logs.",
}


@dataclass(frozen=True, slots=True, order=True)
class Finding:
    """One thing that does not hold: `subject` names the container, height, row or record."""

    code: str
    subject: str
    detail: str

    def __post_init__(self) -> None:
        if self.code not in FINDING_CODES:
            raise ValueError(f"{self.code} is not a finding code")


@dataclass(frozen=True, slots=True)
class Report:
    """One shard's or a whole audit's result."""

    checked: dict[str, int] = field(default_factory=dict)
    pending: tuple[str, ...] = ()
    findings: tuple[Finding, ...] = ()
    could_not_check: tuple[str, ...] = ()

    @property
    def exit_code(self) -> int:
        """0 clean, 1 findings, 2 something could not be checked (and nothing worse was found)."""
        return 1 if self.findings else 2 if self.could_not_check else 0


def merge(left: Report, right: Report) -> Report:
    """Both together; associative, with `Report()` as its neutral element."""
    checked = dict(left.checked)
    for what, count in right.checked.items():
        checked[what] = checked.get(what, 0) + count
    return Report(
        checked,
        left.pending + right.pending,
        left.findings + right.findings,
        left.could_not_check + right.could_not_check,
    )


def to_json(report: Report) -> dict[str, object]:
    """The report as `--json` prints it."""
    return {
        "checked": report.checked,
        "pending": list(report.pending),
        "findings": [{"code": f.code, "subject": f.subject, "detail": f.detail, "advice": FINDING_CODES[f.code]} for f in report.findings],
        "could_not_check": list(report.could_not_check),
    }
