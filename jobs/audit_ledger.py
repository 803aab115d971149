"""Audit level `ledger`: every block again from the genesis, every derived row against what that gives, and the delegates' own marks."""

from collections.abc import Iterable
from pathlib import Path

from chain.genesis import Genesis
from chain.keys import SigningKey
from chain.ledger import Ledger
from chain.store import LedgerStore
from chain.verify import verify_chain
from chain.watermark import Duty, Mark, WatermarkUnusable, read_marks
from jobs.audit_report import Finding, Report


def verify_ledger(store: LedgerStore, genesis: Genesis, watermarks: Iterable[tuple[Path, bytes]]) -> Report:
    """The whole chain. `watermarks` are the delegates' files with their public keys: what a delegate voted for must still be there."""
    head = Ledger(store, genesis).head()
    checked = {"blocks": head.height if head else 0, "transactions": head.log_size if head else 0}
    marks: list[Mark] = []
    missing: list[str] = []
    for path, key in watermarks:
        try:
            voted = read_marks(path, genesis.chain_id, key).get(Duty.VOTE)
        except WatermarkUnusable as error:
            missing.append(str(error))
            continue
        if voted is not None:
            marks.append(voted)
    findings = tuple(Finding(f.code.value, f.subject, f.detail) for f in verify_chain(store, genesis, dict(marks)))
    return Report(checked=checked, findings=findings, could_not_check=tuple(missing))


def delegate_watermarks(key_paths: Iterable[Path], keys: Iterable[SigningKey]) -> list[tuple[Path, bytes]]:
    """Each delegate's watermark file with its public key."""
    return [(path.with_suffix(".watermark"), key.public) for path, key in zip(key_paths, keys, strict=True)]
