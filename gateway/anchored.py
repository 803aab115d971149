"""Opening what is stored, and believing it only as far as the chain bears it out.

Whoever can write the bucket can seal anything to a patient's public key, and whoever can write the database can point a row anywhere. So a
bundle counts once its leaves are those that its container's ANCHOR commits to, and a record once the index row sealed beside it says the
same as the database. Until the ANCHOR is final, the root in the database stands for it.
"""

from collections import OrderedDict
from collections.abc import Collection
from threading import Lock

from sqlalchemy import Connection

from chain.ledger import Ledger
from gateway.errors import Unavailable
from gateway.index import archives, containers
from gateway.index.database import Index
from gateway.index.index_row import NotAnIndexRow, parse_index_row
from gateway.index.records import RecordLocation
from gateway.index.resource_types import NAME_OF
from gateway.storage.port import ObjectMissing, ObjectStore
from gateway.vault.container import BundleSlot, container_root, narrowed, read_table
from gateway.vault.errors import LeafMismatch, SealBroken
from gateway.vault.keyring import Keyring
from gateway.vault.opened_bundle import OpenedBundle, unwrap_bundle_key
from gateway.vault.opened_class import OpenedRecord
from gateway.vault.primitives import WrapPrivateKey
from gateway.vault.record_id import RecordIds
from gateway.vault.sealed_bundle import Read, read_header

_KEPT = 10_000


class CheckedHeaders:
    """Which bundle headers were found to lead to a final ANCHOR. A header binds the bundle's key and segments: once is enough.

    Safe for several threads; holds no key and no content.
    """

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple[bytes, int, bytes], None] = OrderedDict()
        self._lock = Lock()

    def __contains__(self, header: tuple[bytes, int, bytes]) -> bool:
        with self._lock:
            return header in self._kept

    def add(self, header: tuple[bytes, int, bytes]) -> None:
        """`header`: container digest, place of the bundle in it, digest of the header."""
        with self._lock:
            self._kept[header] = None
            while len(self._kept) > _KEPT:
                self._kept.popitem(last=False)


class AnchoredBundles:
    """Opens bundles and records for one process; keys live as long as what it returns."""

    def __init__(self, index: Index, store: ObjectStore, keyring: Keyring, ids: RecordIds, ledger: Ledger | None) -> None:
        self._index, self._store, self._keyring, self._ids, self._ledger = index, store, keyring, ids, ledger
        self._checked = CheckedHeaders()

    def private_key(self, archive: int) -> WrapPrivateKey:
        """What opens the bundles of the archive of this row number."""
        with self._index.reading() as connection:
            return self.private_key_in(connection, archive)

    def private_key_in(self, connection: Connection, archive: int) -> WrapPrivateKey:
        """The same in a unit that is open already."""
        return self._keyring.private_key(archives.by_rows(connection, [archive])[archive].keys)

    def bundle(self, location: RecordLocation, key: WrapPrivateKey | None = None) -> OpenedBundle:
        """The bundle that the record lies in, checked; `key` is its archive's, if the caller has it already.

        Raises SealBroken (LeafMismatch, WrongKey), Unavailable.
        """
        try:
            return self._bundle(location, key or self.private_key(location.archive))
        except ObjectMissing as error:
            raise Unavailable("the record's container cannot be read for now") from error

    def record(self, location: RecordLocation, opened: OpenedBundle | None = None) -> OpenedRecord:
        """The record at `location`, from its bundle if the caller has that open. SealBroken if it is another than the database says."""
        opened = opened or self.bundle(location)
        try:
            record = opened.record(location.leaf)
        except ObjectMissing as error:
            raise Unavailable("the record's container cannot be read for now") from error
        self._check_row(location, record)
        return record

    def _bundle(self, location: RecordLocation, key: WrapPrivateKey) -> OpenedBundle:
        whole = self._reader(location)
        read = narrowed(whole, location.bundle_offset, location.bundle_length)
        header = read_header(read)
        opened = OpenedBundle(read, header, unwrap_bundle_key(header, key))
        found = (location.container_digest, location.bundle_ordinal, header.digest)
        if found not in self._checked:
            slot, is_final = self._anchored(location, whole)
            opened.check_root(slot.root)
            if is_final:
                self._checked.add(found)
        return opened

    def _anchored(self, location: RecordLocation, read: Read) -> tuple[BundleSlot, bool]:
        """The bundle's place and root by its container's table, once the table is the one that was anchored; and whether that is final."""
        with self._index.reading() as connection:
            row = containers.by_digest(connection, location.container_digest)
        anchor = self._ledger.anchor(location.container_digest) if self._ledger else None
        if row is None:
            raise SealBroken("container", "the database does not know it")
        slots = read_table(read, row.size)
        if container_root([slot.root for slot in slots]) != (anchor.root if anchor else row.root):
            raise LeafMismatch("container table", "its bundles are not those that were anchored")
        if location.bundle_ordinal >= len(slots):
            raise SealBroken("container table", "it has fewer bundles than the database says")
        slot = slots[location.bundle_ordinal]
        if (slot.offset, slot.length) != (location.bundle_offset, location.bundle_length):
            raise SealBroken("container table", "the bundle lies elsewhere than the database says")
        return slot, anchor is not None

    def _reader(self, location: RecordLocation) -> Read:
        return lambda offset, length: self._store.get_range(location.container_name, offset, length)

    def _check_row(self, location: RecordLocation, record: OpenedRecord) -> None:
        part = f"leaf {location.leaf}"
        try:
            sealed = parse_index_row(record.index_row)
        except NotAnIndexRow:
            raise SealBroken(part, "no index row is sealed beside it") from None
        said = (sealed.row, NAME_OF.get(sealed.type), sealed.version, bool(sealed.deleted), sealed.issuer)
        if said != (location.row, location.type, location.version, location.deleted, location.issuer):
            raise SealBroken(part, "it is another record than the database says")
        if (record.id.hex(), record.version) != (self._ids.encode([location.row])[0], location.version):
            raise SealBroken(part, "it has another id or version than its index row")
        if sealed.also_of is not None and location.also_of != self._rows_of(sealed.also_of):
            raise SealBroken(part, "it is about other patients than the database says")

    def _rows_of(self, key_ids: Collection[bytes]) -> set[int | None]:
        """The archives of these key ids, None for what is none. RowAltered for one that is not as this gateway wrote it."""
        if not key_ids:
            return set()
        with self._index.reading() as connection:
            found = archives.by_key_ids(connection, key_ids)
        return {found.get(key_id) for key_id in key_ids}
