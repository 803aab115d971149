"""Reading a whole sealed bundle by its bundle key.

One record costs the header, the directory, its class part and its records segment: four small reads.
"""

from collections.abc import Iterable, Iterator, Mapping

from gateway.vault import primitives, submission
from gateway.vault.cover import CoverNode, path_of, root_of
from gateway.vault.directory import STATEMENT_CLASS, Directory
from gateway.vault.errors import LeafMismatch, SealBroken, WrongKey
from gateway.vault.opened_class import OpenedClass, OpenedRecord, RecordBatch, Segments
from gateway.vault.primitives import Unopened, WrapPrivateKey
from gateway.vault.sealed_bundle import Header, Read, wrap_info
from gateway.vault.segments import EntryRow


class OpenedBundle:
    """A whole sealed bundle, by its bundle key. SealBroken, WrongKey, LeafMismatch; IndexError for leaves that it does not have."""

    def __init__(self, read: Read, header: Header, bundle_key: bytes) -> None:
        self.header = header
        self._read = read
        self._key = bundle_key
        segments = Segments(read, header, primitives.directory_key(bundle_key), "directory")
        if header.slots[0].tag != primitives.segment_tag(primitives.directory_key(bundle_key), 0):
            raise WrongKey("directory", "the key is not this bundle's, or the header was altered")
        self.directory = Directory.parse(segments.content(0), len(header.slots))
        self._classes: dict[str, OpenedClass] = {}

    @property
    def leaf_count(self) -> int:
        return self.directory.leaf_count

    def class_key(self, class_name: str) -> bytes:
        """What opens exactly that class, for a reader who is permitted all of it."""
        return primitives.class_key(self._key, class_name)

    def opened_class(self, class_name: str) -> OpenedClass:
        if class_name not in self._classes:
            self._classes[class_name] = self._open_class(class_name)
        return self._classes[class_name]

    def _open_class(self, class_name: str) -> OpenedClass:
        entry = next((c for c in self.directory.classes if c.name == class_name), None)
        if entry is None:
            raise KeyError(class_name)
        numbers = (entry.part, *entry.records, *entry.entries)
        opened = OpenedClass(self._read, self.header, class_name, self.class_key(class_name), numbers)
        if (entry.first_leaf, entry.count) != (opened.part.first_leaf, len(opened.part.ids)):
            raise SealBroken(f"class {class_name}", "it has other leaves than the directory says")
        if (entry.records, entry.entries) != (opened.record_numbers, opened.entry_numbers):
            raise SealBroken(f"class {class_name}", "it has other segments than the directory says")
        return opened

    def record(self, leaf: int) -> OpenedRecord:
        return self.opened_class(self.directory.class_of(leaf).name).record(leaf)

    def entry(self, leaf: int) -> EntryRow | None:
        return self.opened_class(self.directory.class_of(leaf).name).entry(leaf)

    def statement(self) -> OpenedRecord:
        """Leaf 0: `body` is the submission statement."""
        return self.opened_class(STATEMENT_CLASS).record(0)

    def batches(self) -> Iterator[tuple[OpenedClass, RecordBatch]]:
        """Every record of the bundle in the order of leaves, the statement first."""
        for entry in self.directory.classes:
            opened = self.opened_class(entry.name)
            for batch in opened.batches():
                yield opened, batch

    def ids(self) -> list[bytes]:
        """Of every leaf, by the class parts; 16 bytes, zeros for the statement."""
        return [id_ for entry in self.directory.classes for id_ in self.opened_class(entry.name).part.ids]

    def root(self) -> bytes:
        """The bundle root by the class parts, no record opened."""
        return root_of([node for entry in self.directory.classes for nodes in self._nodes(entry.name) for node in nodes])

    def path(self, leaf: int) -> list[bytes]:
        """The RFC 6962 path from `leaf` to the root; opens the class parts and the one records segment in which the leaf lies."""
        batch = self.opened_class(self.directory.class_of(leaf).name).batch_of(leaf)
        cover: list[CoverNode] = []
        for entry in self.directory.classes:
            for (low, _), nodes in zip(self.opened_class(entry.name).part.ranges, self._nodes(entry.name), strict=True):
                cover += [CoverNode(1, leaf_hash) for leaf_hash in batch.leaf_hashes] if low == batch.first_leaf else nodes
        return path_of(cover, leaf)

    def _nodes(self, class_name: str) -> list[list[CoverNode]]:
        return self.opened_class(class_name).part.nodes()

    def check_root(self, root: bytes) -> None:
        """LeafMismatch unless the bundle's leaves are those of `root`."""
        if self.root() != root:
            raise LeafMismatch("bundle", "its leaves are not those of its root")

    def check_submission(self, root: bytes, leaves: Mapping[int, bytes] | None = None) -> None:
        """LeafMismatch unless the entries sealed here are those of the submission with `root`.

        Opens all entries, unless `leaves` are given: `entry_leaves` of every batch, from who has opened them anyway.
        """
        try:
            found = root_of(self.submission_cover() if leaves is None else self.cover_with(leaves))
        except ValueError:
            raise SealBroken("directory", "the submission's cover is none") from None
        if found != root:
            raise LeafMismatch("submission", "the sealed entries are not those of the submission's root")

    def submission_cover(self) -> list[CoverNode]:
        """The submission tree's cover in which every entry of this bundle stands singly; opens all entries."""
        leaves: dict[int, bytes] = {}
        for opened, batch in self.batches():
            leaves |= entry_leaves(opened.entries(batch))
        return self.cover_with(leaves)

    def cover_with(self, leaves: Mapping[int, bytes]) -> list[CoverNode]:
        """The same from `entry_leaves` of every batch."""
        cover: list[CoverNode] = []
        index = 0
        for item in self.directory.cover:
            if isinstance(item, int):
                cover += _singles(leaves, index, index + item)
                index += item
            else:
                cover.append(item)
                index += item.size
        return cover


def entry_leaves(rows: Iterable[EntryRow | None]) -> dict[int, bytes]:
    """The leaf hash in the submission's tree of each entry, by its number there."""
    present = [row for row in rows if row is not None]
    leaves = submission.entry_leaves([row.salt for row in present], [row.raw for row in present])
    return {row.index: leaf for row, leaf in zip(present, leaves, strict=True)}


def _singles(leaves: Mapping[int, bytes], start: int, end: int) -> list[CoverNode]:
    try:
        return [CoverNode(1, leaves[index]) for index in range(start, end)]
    except KeyError:
        raise SealBroken("directory", "the submission's cover counts on entries that are not here") from None


def unwrap_bundle_key(header: Header, key: WrapPrivateKey) -> bytes:
    """The bundle key by the recipient's private key; WrongKey if no wrap is for it or its wrap does not open."""
    key_id = key.public.key_id
    for wrap in header.wraps:
        if wrap.key_id == key_id:
            try:
                return key.unwrap(wrap.ciphertext, wrap_info(header.chain_id, header.bundle_id, key_id))
            except Unopened:
                raise WrongKey("header", "the wrap for this key does not open") from None
    raise WrongKey("header", "there is no wrap for this key")
