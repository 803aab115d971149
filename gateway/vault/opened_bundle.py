"""Reading sealed bundles: by the bundle key all of it, by a class key that class and nothing else.

Every segment that is read is checked in full: its seal, its form, and that its records hash to the leaves that the class part states.
One record costs the header, the directory, its class part and its records segment: four small reads.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from chain import merkle
from gateway.vault import primitives
from gateway.vault.cover import CoverNode, path_of, range_sizes, root_of
from gateway.vault.errors import LeafMismatch, SealBroken, WrongKey
from gateway.vault.primitives import Unopened, WrapPrivateKey
from gateway.vault.sealed_bundle import STATEMENT_CLASS, ClassPart, Directory, Header, Read, wrap_info
from gateway.vault.segments import EntryRow, RecordRows, parse_entries, unpack
from gateway.vault.submission import entry_leaf


@dataclass(frozen=True, slots=True)
class OpenedRecord:
    leaf: int
    class_name: str
    id: bytes  # 16 bytes; zeros for the statement
    version: int
    body: bytes  # canonical bytes
    index_row: bytes
    salt: bytes  # 32 bytes

    @property
    def commitment(self) -> bytes:
        return primitives.commitment(self.salt, self.body)


@dataclass(frozen=True, slots=True)
class RecordBatch:
    """The records of one segment in columns, checked against their leaves; row i is leaf `first_leaf + i`."""

    class_name: str
    first_leaf: int
    ids: Sequence[bytes]
    versions: Sequence[int]
    bodies: Sequence[bytes]
    index_rows: Sequence[bytes]
    salts: Sequence[bytes]
    leaf_hashes: Sequence[bytes]
    content: bytes  # the segment unpacked: dictionary of its entries

    def record(self, leaf: int) -> OpenedRecord:
        i = leaf - self.first_leaf
        return OpenedRecord(leaf, self.class_name, self.ids[i], self.versions[i], self.bodies[i], self.index_rows[i], self.salts[i])


class OpenedClass:
    """One class of a sealed bundle, by its class key alone. SealBroken, WrongKey, LeafMismatch."""

    def __init__(self, read: Read, header: Header, class_name: str, key: bytes) -> None:
        self.name = class_name
        self._segments = _Segments(read, header, key, f"class {class_name}")
        numbers = [n for n, slot in enumerate(header.slots) if slot.tag == primitives.segment_tag(key, n)]
        if not numbers:
            raise WrongKey(f"class {class_name}", "the key is of no class of this bundle")
        self.part = ClassPart.parse(self._segments.content(numbers[0]), class_name)
        chunks = len(self.part.counts)
        rest = numbers[1:]
        self._entry_numbers = rest[1::2] if len(rest) == 2 * chunks else []
        self._record_numbers = rest[::2] if self._entry_numbers else rest
        if len(self._record_numbers) != chunks:
            raise SealBroken(f"class {class_name}", "segments are missing or too many")
        self._seed = b""

    def batches(self) -> Iterator[RecordBatch]:
        """All records, segment by segment, in the order of leaves."""
        return (self._batch(chunk) for chunk in range(len(self.part.counts)))

    def batch_of(self, leaf: int) -> RecordBatch:
        """The segment in which `leaf` lies; IndexError if the class does not hold it."""
        return self._batch(self._chunk_of(leaf))

    def record(self, leaf: int) -> OpenedRecord:
        return self.batch_of(leaf).record(leaf)

    def entry(self, leaf: int) -> EntryRow | None:
        """The entry that the record came from: its number in the submission, salt, exact bytes."""
        batch = self.batch_of(leaf)
        return self.entries(batch)[leaf - batch.first_leaf]

    def entries(self, batch: RecordBatch) -> list[EntryRow | None]:
        """The entries of a batch of this class, row by row."""
        if not self._entry_numbers:
            return [None] * len(batch.bodies)
        number = self._entry_numbers[self._chunk_of(batch.first_leaf)]
        return parse_entries(self._segments.content(number, batch.content), len(batch.bodies), self._segments.part(number))

    def _chunk_of(self, leaf: int) -> int:
        for chunk, (low, high) in enumerate(self.part.ranges):
            if low <= leaf < high:
                return chunk
        raise IndexError(f"leaf {leaf} is not in class {self.name}")

    def _batch(self, chunk: int) -> RecordBatch:
        low, high = self.part.ranges[chunk]
        start, end = low - self.part.first_leaf, high - self.part.first_leaf
        content = self._segments.content(self._record_numbers[chunk])
        part = self._segments.part(self._record_numbers[chunk])
        ids = self.part.ids[start:end]
        rows = RecordRows.parse(content, ids, part)
        salts = primitives.record_salts(self._class_seed(rows, chunk, part), low, high - low)
        leaves = [merkle.leaf_hash(commitment) for commitment in primitives.commitments(salts, rows.bodies)]
        if _range_hashes(leaves, low) != list(self.part.hashes[chunk]):
            raise LeafMismatch(part, "a record is not the one that its leaf commits to")
        return RecordBatch(self.name, low, ids, self.part.versions[start:end], rows.bodies, rows.index_rows, salts, leaves, content)

    def _class_seed(self, rows: RecordRows, chunk: int, part: str) -> bytes:
        """The seed stands in the first segment only."""
        if len(rows.seed) != (0 if chunk else primitives.KEY_BYTES):
            raise SealBroken(part, "the salt seed is missing or out of place")
        if chunk and not self._seed:
            first = self._record_numbers[0]
            ids = self.part.ids[: self.part.counts[0]]
            self._seed = RecordRows.parse(self._segments.content(first), ids, self._segments.part(first)).seed
        elif not chunk:
            self._seed = rows.seed
        return self._seed


def _range_hashes(leaf_hashes: Sequence[bytes], low: int) -> list[bytes]:
    """The hashes of the largest aligned subtrees over `leaf_hashes`, the first of which is leaf `low`."""
    hashes, at = [], 0
    for size in range_sizes(low, low + len(leaf_hashes)):
        hashes.append(merkle.root(leaf_hashes[at : at + size]))
        at += size
    return hashes


class OpenedBundle:
    """A whole sealed bundle, by its bundle key. SealBroken, WrongKey, LeafMismatch; IndexError for leaves that it does not have."""

    def __init__(self, read: Read, header: Header, bundle_key: bytes) -> None:
        self.header = header
        self._read = read
        self._key = bundle_key
        segments = _Segments(read, header, primitives.directory_key(bundle_key), "directory")
        if header.slots[0].tag != primitives.segment_tag(primitives.directory_key(bundle_key), 0):
            raise WrongKey("directory", "the key is not this bundle's")
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
        opened = OpenedClass(self._read, self.header, class_name, self.class_key(class_name))
        if (entry.first_leaf, entry.count) != (opened.part.first_leaf, len(opened.part.ids)):
            raise SealBroken(f"class {class_name}", "it has other leaves than the directory says")
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

    def submission_cover(self) -> list[CoverNode]:
        """The submission tree's cover in which every entry of this bundle stands singly; opens all entries."""
        own = {row.index: entry_leaf(row.salt, row.raw) for opened, batch in self.batches() for row in opened.entries(batch) if row}
        cover: list[CoverNode] = []
        index = 0
        for item in self.directory.cover:
            if isinstance(item, int):
                try:
                    cover += [CoverNode(1, own[i]) for i in range(index, index + item)]
                except KeyError:
                    raise SealBroken("directory", "the submission's cover counts on entries that are not here") from None
                index += item
            else:
                cover.append(item)
                index += item.size
        return cover


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


class _Segments:
    """The segments that one key opens."""

    def __init__(self, read: Read, header: Header, key: bytes, owner: str) -> None:
        self._read = read
        self._header = header
        self._key = key
        self._owner = owner

    def part(self, number: int) -> str:
        return f"{self._owner}, segment {number}"

    def content(self, number: int, dictionary: bytes = b"") -> bytes:
        start, end = self._header.offsets[number], self._header.offsets[number + 1]
        ciphertext = self._read(start, end - start)
        if len(ciphertext) != end - start:
            raise SealBroken(self.part(number), "it is cut off")
        try:
            plaintext = primitives.open_segment(self._key, number, self._header.digest, ciphertext)
        except Unopened:
            raise SealBroken(self.part(number), "it was altered, or the header was") from None
        return unpack(plaintext, self.part(number), dictionary)
