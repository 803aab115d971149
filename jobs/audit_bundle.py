"""One sealed bundle: opened with its archive's key, all of it recomputed, and its row in the database held against it."""

from collections.abc import Mapping
from dataclasses import dataclass

from chain.ledger import Ledger
from gateway.index import parties
from gateway.index.archives import Archive
from gateway.index.containers import BundleRow
from gateway.services import Services
from gateway.vault.container import BundleSlot
from gateway.vault.directory import STATEMENT_CLASS
from gateway.vault.errors import LeafMismatch, SealBroken, WrongKey
from gateway.vault.opened_bundle import OpenedBundle, entry_leaves, unwrap_bundle_key
from gateway.vault.sealed_bundle import Header, Read, read_header
from gateway.vault.submission import SubmissionInvalid
from jobs.audit_archive_keys import ArchiveKeys, KeysBroken, NotCheckable, OpenedKeys
from jobs.audit_index_rows import BundleRows, Place
from jobs.audit_notes import Notes
from jobs.audit_source_names import SourceNames
from jobs.audit_statement import Stated, Statements
from jobs.audit_stored_shard import StoredShard, archives_by_key_id


@dataclass(frozen=True, slots=True)
class Where:
    """A bundle's place on the chain: its container's name, its number there, the ANCHOR's index in the log. `originals`: whether the
    original entries are opened, too.
    """

    container: str
    ordinal: int
    anchor_index: int
    originals: bool

    @property
    def subject(self) -> str:
        return f"{self.container} bundle {self.ordinal}"


class BundleAudit:
    """Verifies the bundles of a shard one after another."""

    def __init__(self, services: Services, ledger: Ledger, stored: StoredShard, notes: Notes) -> None:
        self._services, self._stored, self._notes = services, stored, notes
        self._archives: dict[int, Archive] = dict(stored.archives)
        self._keys = ArchiveKeys(services.keyring, self._archives, notes)
        self._statements = Statements(ledger)
        self._names = SourceNames(services.index, services.tokens, services.ids, notes)
        self._parties: dict[str, int | None] = {}

    def verify(self, where: Where, slot: BundleSlot, read: Read, row: BundleRow) -> int | None:
        """Its leaves, None if it could not be opened."""
        try:
            header = read_header(read)
            archive = self._archive_of(header, row)
            self._check_row(where, "archive", row.archive, archive)
            keys = self._keys.of(archive)
            bundle = OpenedBundle(read, header, unwrap_bundle_key(header, keys.private))
            self._verify_opened(where, slot, row, archive, keys, bundle)
        except NotCheckable:
            self._notes.count("bundles not checkable by design")
        except KeysBroken:
            self._notes.could_not_check(f"{where.subject}: the keys of its archive do not open")
        except LeafMismatch as error:
            self._notes.found("leaf-mismatch", where.subject, str(error))
        except WrongKey as error:
            self._notes.found("bundle-unopened", where.subject, str(error))
        except SealBroken as error:
            self._notes.found("bundle-invalid", where.subject, str(error))
        else:
            return bundle.leaf_count
        return None

    def finish(self) -> None:
        """What is asked for in bulk and has not been yet."""
        self._names.finish()

    def _verify_opened(self, where: Where, slot: BundleSlot, row: BundleRow, archive: int, keys: OpenedKeys, bundle: OpenedBundle) -> None:
        _check_ids(bundle, slot, keys, self._services.chain_id)
        bundle.check_root(slot.root)
        number, leaves = bundle.directory.number, bundle.leaf_count
        stored = (row.offset, row.length, row.number, row.leaves)
        sealed = (slot.offset, slot.length, number, leaves)
        for name, value, own in zip(("offset", "length", "number", "leaves"), stored, sealed, strict=True):
            self._check_row(where, name, value, own)
        self._notes.count("bundles")
        self._notes.count("records", leaves - 1)
        stated = self._stated(where, bundle)
        entries = self._verify_records(where, bundle, row.row, archive, stated)
        if stated is not None and stated.fault is None:
            self._check_submission(where, bundle, stated, entries)

    def _verify_records(self, where: Where, bundle: OpenedBundle, row: int, archive: int, stated: Stated | None) -> dict[int, bytes]:
        """Opens every record, and entry if they are wanted: then the leaves of the entries in the submission's tree."""
        issuer = stated.statement.issuer if stated else None
        party = self._party(issuer) if issuer else None
        place = Place(row, archive, issuer, party) if issuer and party else None
        rows = BundleRows(place, self._stored.rows, bundle.ids(), self._services.ids) if place else None
        leaves: dict[int, bytes] = {}
        for opened, batch in bundle.batches():
            if batch.class_name == STATEMENT_CLASS:
                continue
            numbers = rows.compare(batch) if rows else None
            if where.originals:
                entries = opened.entries(batch)
                leaves |= entry_leaves(entries)
                if numbers and party:
                    self._names.add(party, batch.class_name.partition("/")[0], numbers, entries)
        self._notes.count("original entries", len(leaves))
        if rows:
            rows.finish(self._services.index, self._notes)
        return leaves

    def _archive_of(self, header: Header, row: BundleRow) -> int:
        """The archive that the bundle is sealed to: its row's, unless the wraps name another."""
        wrapped_for = {wrap.key_id for wrap in header.wraps}
        of_row = self._archives.get(row.archive)
        if of_row is not None and of_row.keys.key_id in wrapped_for:
            return row.archive
        found = archives_by_key_id(self._services.index, sorted(wrapped_for))
        self._archives.update(found)
        return next(iter(found), row.archive)

    def _check_row(self, where: Where, column: str, stored: object, own: object) -> None:
        if stored != own:
            self._notes.found("index-row-altered", where.subject, f"its row differs from what was sealed in: {column}")

    def _stated(self, where: Where, bundle: OpenedBundle) -> Stated | None:
        try:
            stated = self._statements.read(bundle.statement().body, where.anchor_index)
        except SubmissionInvalid as error:
            self._notes.found("statement-invalid", where.subject, str(error))
            return None
        if stated.fault is not None:
            self._notes.found("statement-invalid", where.subject, stated.fault)
        return stated

    def _party(self, client_id: str) -> int | None:
        """The issuer's row, by which its records name it."""
        if client_id not in self._parties:
            with self._services.index.reading() as connection:
                row = self._parties[client_id] = parties.row_of(connection, client_id)
            if row is None:
                self._notes.found("index-row-missing", f"party {client_id}", "it issued what was sealed, and the database does not know it")
        return self._parties[client_id]

    def _check_submission(self, where: Where, bundle: OpenedBundle, stated: Stated, entries: Mapping[int, bytes]) -> None:
        count = sum(item if isinstance(item, int) else item.size for item in bundle.directory.cover)
        try:
            if count != stated.statement.count:
                raise LeafMismatch("submission", "the statement counts other entries than were sealed")
            if where.originals:
                bundle.check_submission(stated.root, entries)
        except LeafMismatch as error:
            self._notes.found("statement-invalid", where.subject, str(error))


def _check_ids(bundle: OpenedBundle, slot: BundleSlot, keys: OpenedKeys, chain_id: bytes) -> None:
    """SealBroken unless the bundle is this chain's, the one that the table names, and the archive's bundle of its number."""
    header, directory = bundle.header, bundle.directory
    if header.chain_id != chain_id:
        raise SealBroken("header", "it is of another chain")
    if not header.bundle_id == slot.bundle_id == keys.secret.bundle_id(directory.number):
        raise SealBroken("header", "its id is not that of its archive's running number")
    if directory.classes[0].count != 1:
        raise SealBroken("directory", "it does not have exactly one statement")
