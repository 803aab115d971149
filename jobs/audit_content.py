"""Audit level `content`: what the chain anchors is opened and recomputed, and the database held against it, row by row.

The chain is believed, bucket and database are not: it says which containers there are, their bytes, their roots. From there each bundle is
opened with its archive's key; every commitment, the roots, ids, running numbers, statements and index rows follow.

A shard is a run of containers. It reads the database once, in one snapshot, before anything is opened: whatever is committed meanwhile is
newer than its containers and changes nothing of what they say, since a version's place never changes.
"""

from collections.abc import Callable, Iterator
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from hashlib import sha256

from chain.encoding import EncodingError
from chain.errors import LedgerError
from chain.ledger import Ledger
from chain.transactions import AnchorBody, parse_transaction
from gateway.bootstrap import open_services, read_genesis
from gateway.errors import Unavailable
from gateway.index import restores
from gateway.services import Services
from gateway.settings import Settings
from gateway.storage.packs import object_reader
from gateway.storage.port import ObjectMissing
from gateway.vault.container import container_name, container_root, read_table
from gateway.vault.errors import SealBroken
from gateway.vault.sealed_bundle import Read
from jobs.audit_bundle import BundleAudit, Where
from jobs.audit_index_tables import verify_tables
from jobs.audit_notes import Notes
from jobs.audit_report import Report
from jobs.audit_row_tags import verify_keyless, verify_row_tags
from jobs.audit_shards import ShardRunner
from jobs.audit_stored_shard import StoredShard, read_stored

SHARD_LEAVES = 50_000  # a second's work; what the database says of so many records takes some 30 MB
_BUNDLE_LEAVES = 50  # how many leaves' work a bundle is by itself: its key is unwrapped, its tables are read


@dataclass(frozen=True, slots=True)
class Anchored:
    """An ANCHOR and its place in the log, and whether the original entries in its container are opened, too."""

    body: AnchorBody
    log_index: int
    originals: bool = True

    @property
    def name(self) -> str:
        return container_name(self.body.digest)

    @property
    def work(self) -> int:
        return self.body.leaves + _BUNDLE_LEAVES * self.body.bundles


@dataclass(frozen=True, slots=True)
class Turn:
    """Which containers' original entries are opened: all, or with `of` turns those whose turn it is, each container once in `of` turns.

    They are two thirds of the bytes and near half of the work, and who submitted them is proven by the statement, which is always verified.
    """

    number: int = 0
    of: int = 1

    def includes(self, anchor: AnchorBody) -> bool:
        return int.from_bytes(anchor.digest[:8], "big") % self.of == self.number % self.of


ALL = Turn()


@dataclass(frozen=True, slots=True)
class Shard:
    """A run of containers in the order of the log, and the last height that it reaches; heights that could not be read."""

    containers: tuple[Anchored, ...]
    last_height: int
    unreadable: tuple[int, ...] = ()


def shards(ledger: Ledger, heights: range, leaves: int = SHARD_LEAVES, originals: Turn = ALL) -> Iterator[Shard]:
    """The containers that the blocks at `heights` anchor, in runs of work for about `leaves` leaves."""
    run: list[Anchored] = []
    unreadable: list[int] = []
    work = 0
    for height in heights:
        try:
            anchored = _anchored_at(ledger, height, originals)
        except (LedgerError, EncodingError):
            anchored = []
            unreadable.append(height)
        for container in anchored:
            run.append(container)
            work += container.work
            if work >= leaves:
                yield Shard(tuple(run), height, tuple(unreadable))
                run, unreadable, work = [], [], 0
    if run or unreadable:
        yield Shard(tuple(run), heights[-1], tuple(unreadable))


def _anchored_at(ledger: Ledger, height: int, originals: Turn) -> list[Anchored]:
    block = ledger.block(height)
    if block is None:
        raise LedgerError(f"there is no block at height {height}")
    bodies = (parse_transaction(raw).body for raw in block.transactions)
    anchors = [(index, body) for index, body in enumerate(bodies, block.first_log_index) if isinstance(body, AnchorBody)]
    return [Anchored(body, index, originals.includes(body)) for index, body in anchors]


def verify_shard(shard: Shard, services: Services, ledger: Ledger) -> Report:
    """Everything of the shard's containers."""
    notes = Notes()
    for height in shard.unreadable:
        notes.could_not_check(f"height {height} cannot be read; see level ledger")
    try:
        stored = read_stored(services.index, [anchored.body.digest for anchored in shard.containers])
        audit = ContainerAudit(services, ledger, stored, notes)
        for anchored in shard.containers:
            audit.verify(anchored)
        audit.finish()
    except (Unavailable, LedgerError) as error:
        notes.could_not_check(f"the containers up to height {shard.last_height}: {error}")
    return notes.report()


def open_verify(settings: Settings) -> Callable[[Shard], Report]:
    """`verify_shard` for one process, with all that it needs opened; the process keeps it to its end."""
    services = open_services(settings)
    ledger = Ledger.open(settings.effective_ledger_url, read_genesis(settings), object_reader(settings.effective_bucket_url))
    return lambda shard: verify_shard(shard, services, ledger)


def verify_content(
    settings: Settings, ledger: Ledger, processes: int | None = None, leaves: int = SHARD_LEAVES, originals: Turn = ALL
) -> Iterator[tuple[int, Report]]:
    """The whole level up to the ledger's present head: reports to merge, each with the height that is reached, and at last the tables'.

    Raises BadSetting, WrongKey, KeyFileUnusable or Unavailable where the gateway cannot be opened at all.
    """
    services = open_services(settings)
    head = ledger.head()
    height = head.height if head else 0
    try:
        try:
            for shard, report in ShardRunner(settings, open_verify, processes).run(shards(ledger, range(1, height + 1), leaves, originals)):
                yield shard.last_height, report
        except BrokenProcessPool:
            yield height, Report(could_not_check=("a process of the audit was killed; the containers from there on",))
        yield height, verify_tables(services.index, services.ids)
        yield height, verify_row_tags(services.index, ledger)
        yield height, verify_keyless(services)
    finally:
        services.index.close()


class ContainerAudit:
    """Verifies containers one after another; what they have in common is opened once."""

    def __init__(self, services: Services, ledger: Ledger, stored: StoredShard, notes: Notes) -> None:
        self._services, self._stored, self._notes = services, stored, notes
        self._bundles = BundleAudit(services, ledger, stored, notes)
        with services.index.reading() as connection:
            self._lost = restores.losses(connection)

    def verify(self, anchored: Anchored) -> None:
        body = self._read(anchored)
        rows = self._stored.bundles.get(anchored.body.digest)
        if body is None:
            return
        if rows is None and self._lost.has_recorded(anchored.log_index):
            self._notes.count("containers lost at a restore")
            return
        if rows is None:
            self._notes.could_not_check(f"{anchored.name}: the database does not know it; see level storage")
            return
        by_ordinal = {row.ordinal: row for row in rows}
        leaves: list[int | None] = []
        for ordinal, slot in enumerate(read_table(_reader(body), len(body))):
            row = by_ordinal.pop(ordinal, None)
            where = Where(anchored.name, ordinal, anchored.log_index, anchored.originals)
            if row is None:
                leaves.append(None)
                self._notes.found("index-row-missing", where.subject, f"bundle {ordinal} has no row")
            else:
                leaves.append(self._bundles.verify(where, slot, slot.reader(_reader(body)), row))
        for row in by_ordinal.values():
            self._notes.found("index-row-unfounded", anchored.name, f"a row of bundle {row.ordinal}, which it does not have")
        self._notes.count("opened containers")
        if None not in leaves and (len(leaves), sum(filter(None, leaves))) != (anchored.body.bundles, anchored.body.leaves):
            self._notes.found("leaf-mismatch", anchored.name, "it holds other numbers of bundles and leaves than are anchored")

    def finish(self) -> None:
        """What was put off, to be asked for in bulk."""
        self._bundles.finish()

    def _read(self, anchored: Anchored) -> bytes | None:
        """The container, if it is what was anchored; all else is the level storage's to name."""
        anchor, fault = anchored.body, "it is not what was anchored"
        try:
            body = self._services.store.get_range(anchored.name, 0, anchor.size + 1)
            if sha256(body).digest() == anchor.digest:
                slots = read_table(_reader(body), len(body))
                if container_root([slot.root for slot in slots]) == anchor.root:
                    return body
        except ObjectMissing:
            fault = "it is missing"
        except SealBroken as error:
            fault = f"it is malformed ({error})"
        except Unavailable as error:
            fault = str(error)
        self._notes.could_not_check(f"{anchored.name}: {fault}; see level storage")
        return None


def _reader(body: bytes) -> Read:
    return lambda offset, length: body[offset : offset + length]
