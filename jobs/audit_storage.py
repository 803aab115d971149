"""Audit level `storage`: every anchored container exists and hashes to its anchor; nothing else lies in the bucket.

The chain is what is believed. The database is compared with it row by row, the bucket object by object; no
container is opened. The key-encryption key is needed only to believe what the database says was lost at restores.
Shards are ranges of heights for the anchors, of rows for the database, and of names for the bucket.
"""

from collections.abc import Callable, Iterator
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from hashlib import sha256

from chain.archive import pack_of_name
from chain.database import LedgerDamaged
from chain.errors import LedgerError
from chain.ledger import Ledger
from chain.transactions import AnchorBody, Transaction, parse_transaction
from gateway.bootstrap import keyring_of, read_genesis
from gateway.errors import Unavailable
from gateway.index import containers, erasures
from gateway.index.database import Index, open_index
from gateway.index.restores import NOTHING_LOST, Losses, losses
from gateway.settings import Settings
from gateway.storage.opening import open_object_store
from gateway.storage.packs import object_reader
from gateway.storage.port import ObjectMissing, ObjectStore, StoredObject
from gateway.vault.container import container_name, digest_of_name, read_table
from gateway.vault.container import container_root as root_of
from gateway.vault.erasure_mark import key_id_of_name
from gateway.vault.errors import SealBroken
from gateway.vault.tenure_mark import number_of_name
from jobs.audit_report import Finding, Report, merge
from jobs.audit_shards import ShardRunner

SHARD = 1000  # rows or heights
GRACE_SECONDS = 60  # an object this young may belong to a submission that is about to commit


@dataclass(frozen=True, slots=True)
class Bounds:
    """What counts as not yet anchored: younger than `pending_seconds` at `now` (both in seconds)."""

    now: int
    pending_seconds: int
    lost: Losses = NOTHING_LOST  # what restores from backups lost

    def is_pending(self, committed_at: float) -> bool:
        return self.now - committed_at <= self.pending_seconds


def verify_storage(
    settings: Settings, ledger: Ledger, index: Index, store: ObjectStore, bounds: Bounds, processes: int | None = None
) -> Iterator[Report]:
    """The whole level, a report a shard; merge them. Containers are read by a process a core, where there is more than one shard."""
    end = ledger.height() + 1
    heights = (range(first, min(first + SHARD, end)) for first in range(1, end, SHARD))
    try:
        yield from (report for _, report in ShardRunner(settings, open_verify, processes).run(heights))
    except BrokenProcessPool:
        yield Report(could_not_check=("a process of the audit was killed; the containers that were left",))
    for rows in containers.batches(index, SHARD):
        yield verify_rows(rows, ledger, bounds)
    for names in _listed(store):
        yield verify_names(names, ledger, index, bounds)


def open_verify(settings: Settings) -> Callable[[range], Report]:
    """`verify_anchors` for one process, with all that it needs opened; the process keeps it to its end."""
    genesis = read_genesis(settings)
    ledger = Ledger.open(settings.effective_ledger_url, genesis, object_reader(settings.effective_bucket_url))
    index = open_index(settings.effective_database_url, keyring_of(settings))
    store = open_object_store(settings.effective_bucket_url)
    with index.reading() as connection:
        lost = losses(connection)
    return lambda heights: verify_anchors(heights, ledger, index, store, lost)


def verify_anchors(heights: range, ledger: Ledger, index: Index, store: ObjectStore, lost: Losses = NOTHING_LOST) -> Report:
    """Every container that the blocks at `heights` anchor, read whole; `lost`: what restores lost is not asked of the database."""
    report = Report()
    for height in heights:
        try:
            transactions = _recorded(ledger, height)
        except LedgerError as error:
            report = merge(report, Report(could_not_check=(f"height {height}: {error}; see level ledger",)))
            continue
        for body in (t.body for t in transactions):
            if isinstance(body, AnchorBody):
                is_lost = bool(lost.restores) and lost.has_recorded(ledger.anchor_of(body.digest) or 0)
                report = merge(report, _verify_container(body, height, index, store, lost if is_lost else None))
    return report


def verify_rows(rows: list[containers.ContainerRow], ledger: Ledger, bounds: Bounds) -> Report:
    """Every container that the database knows is anchored as the database says, or young enough to be pending."""
    pending: list[str] = []
    findings: list[Finding] = []
    for row in rows:
        subject = row.name
        if ledger.anchor_of(row.digest) is None:
            if bounds.is_pending(row.created_at):
                pending.append(subject)
            else:
                findings.append(Finding("container-unanchored", subject, "no ANCHOR on the chain"))
    return Report({"container rows": len(rows)}, tuple(pending), tuple(findings))


def verify_names(objects: list[StoredObject], ledger: Ledger, index: Index, bounds: Bounds) -> Report:
    """Every object in the bucket is a container that the chain or the database knows, or young enough to become one."""
    pending: list[str] = []
    findings: list[Finding] = []
    for item in objects:
        digest = digest_of_name(item.name)
        if (key_id := key_id_of_name(item.name)) is not None:
            findings += _erasure(item.name, key_id, index)
            continue
        if number_of_name(item.name) is not None:
            continue
        if (packed := pack_of_name(item.name)) is not None and ledger.has_pack(*packed):
            continue
        known = digest is not None and (ledger.anchor_of(digest) is not None or _row(index, digest) is not None)
        if known:
            continue
        if bounds.now - item.created_at <= GRACE_SECONDS:
            pending.append(item.name)
        elif bounds.lost.is_open:
            findings.append(Finding("written-after-backup", item.name, "neither the chain nor the restored database knows it"))
        else:
            findings.append(Finding("orphan-object", item.name, "neither the chain nor the database knows it"))
    return Report({"objects": len(objects)}, tuple(pending), tuple(findings))


def _erasure(name: str, key_id: bytes, index: Index) -> list[Finding]:
    """A mark in the bucket without what it marks: the erasure was cut short, or a stranger put it there."""
    with index.reading() as connection:
        if erasures.is_destroyed(connection, key_id) is not False:  # None: of an archive that a restore lost
            return []
    return [Finding("erasure-unfinished", name, "the archive's keys are still there")]


def _recorded(ledger: Ledger, height: int) -> list[Transaction]:
    """All that the block records, as its header counts it: what is missing must not go unseen."""
    block, before = ledger.block(height), ledger.block(height - 1)
    if block is None or (before is None and height > 1):
        raise LedgerDamaged("the block, or the one before it, is missing")
    if len(block.transactions) != block.header.log_size - (before.header.log_size if before else 0):
        raise LedgerDamaged("transactions of the block are missing")
    return [parse_transaction(raw) for raw in block.transactions]


def _verify_container(anchor: AnchorBody, height: int, index: Index, store: ObjectStore, lost: Losses | None) -> Report:
    """`lost` where the chain recorded it after a backup that was restored."""
    name = container_name(anchor.digest)
    checked = {"containers": 1}
    try:
        body = store.get_range(name, 0, anchor.size + 1)  # one byte more shows that there is more, and a terabyte is not read
        checked["container bytes"] = len(body)
        fault = _fault(anchor, body) or _row_fault(anchor, index, lost)
    except ObjectMissing:
        fault = ("container-missing", f"anchored at height {height}, not in the bucket")
    except Unavailable as error:
        return Report(could_not_check=(f"{name}: {error}",))
    return Report(checked, findings=(Finding(fault[0], name, fault[1]),) if fault else ())


def _fault(anchor: AnchorBody, body: bytes) -> tuple[str, str] | None:
    if len(body) != anchor.size:
        return "container-altered", f"{'more' if len(body) > anchor.size else len(body)} bytes where {anchor.size} are anchored"
    if sha256(body).digest() != anchor.digest:
        return "container-altered", "it does not hash to its anchor"
    try:
        slots = read_table(lambda at, length: body[at : at + length], len(body))
    except SealBroken as error:
        return "container-altered", f"anchored as it is, but malformed: {error}"
    if (root_of([slot.root for slot in slots]), len(slots)) != (anchor.root, anchor.bundles):
        return "container-altered", "anchored as it is, but its table is not what the anchor says"
    return None


def _row_fault(anchor: AnchorBody, index: Index, lost: Losses | None) -> tuple[str, str] | None:
    row = _row(index, anchor.digest)
    if row is None and lost is not None:
        return ("written-after-backup", "anchored, and the database comes from a backup of before") if lost.is_open else None
    if row is None:
        return "container-unindexed", "the database does not know it"
    if (row.size, row.root, row.bundles, row.leaves) != (anchor.size, anchor.root, anchor.bundles, anchor.leaves):
        return "index-row-altered", "the database's row differs from its anchor"
    return None


def _row(index: Index, digest: bytes) -> containers.ContainerRow | None:
    with index.reading() as connection:
        return containers.by_digest(connection, digest)


def _listed(store: ObjectStore) -> Iterator[list[StoredObject]]:
    batch: list[StoredObject] = []
    for item in store.list():
        batch.append(item)
        if len(batch) == SHARD:
            yield batch
            batch = []
    if batch:
        yield batch
