"""Reading one class of a sealed bundle, for which its class key is enough and which is all that the key opens.

Every segment that is read is checked in full: its seal, its form, and that its records hash to the leaves that the class part states.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from chain import merkle
from gateway.vault import primitives
from gateway.vault.directory import ClassPart
from gateway.vault.errors import LeafMismatch, SealBroken, WrongKey
from gateway.vault.primitives import Unopened
from gateway.vault.sealed_bundle import Header, Read
from gateway.vault.segments import EntryRow, RecordRows, parse_entries, unpack


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

    def __init__(self, read: Read, header: Header, class_name: str, key: bytes, numbers: Sequence[int] | None = None) -> None:
        """`numbers`, from the directory, saves the search for the class's segments by their tags."""
        self.name = class_name
        self._segments = Segments(read, header, key, f"class {class_name}")
        self.numbers = sorted(numbers) if numbers else self._segments.find()
        self.part = ClassPart.parse(self._segments.content(self.numbers[0]), class_name)
        rest, chunks = self.numbers[1:], len(self.part.counts)
        if len(rest) not in {chunks, 2 * chunks}:
            raise SealBroken(f"class {class_name}", "segments are missing or too many")
        self.entry_numbers = rest[1::2] if len(rest) > chunks else []
        self.record_numbers = rest[::2] if self.entry_numbers else rest
        self._seed = b""
        self._latest: tuple[int, RecordBatch] | None = None  # a page of records mostly asks for one segment

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
        if not self.entry_numbers:
            return [None] * len(batch.bodies)
        number = self.entry_numbers[self._chunk_of(batch.first_leaf)]
        return parse_entries(self._segments.content(number, batch.content), len(batch.bodies), self._segments.part(number))

    def _chunk_of(self, leaf: int) -> int:
        for chunk, (low, high) in enumerate(self.part.ranges):
            if low <= leaf < high:
                return chunk
        raise IndexError(f"leaf {leaf} is not in class {self.name}")

    def _batch(self, chunk: int) -> RecordBatch:
        if self._latest is None or self._latest[0] != chunk:
            self._latest = (chunk, self._open_batch(chunk))
        return self._latest[1]

    def _open_batch(self, chunk: int) -> RecordBatch:
        low, high = self.part.ranges[chunk]
        start, end = low - self.part.first_leaf, high - self.part.first_leaf
        content = self._segments.content(self.record_numbers[chunk])
        part = self._segments.part(self.record_numbers[chunk])
        ids = self.part.ids[start:end]
        rows = RecordRows.parse(content, ids, part)
        salts = primitives.record_salts(self._class_seed(rows, chunk, part), low, high - low)
        leaves = merkle.leaf_hashes(primitives.commitments(salts, rows.bodies))
        if merkle.subtree_roots(leaves, low) != list(self.part.hashes[chunk]):
            raise LeafMismatch(part, "a record is not the one that its leaf commits to")
        return RecordBatch(self.name, low, ids, self.part.versions[start:end], rows.bodies, rows.index_rows, salts, leaves, content)

    def _class_seed(self, rows: RecordRows, chunk: int, part: str) -> bytes:
        """The seed stands in the first segment only."""
        if len(rows.seed) != (0 if chunk else primitives.KEY_BYTES):
            raise SealBroken(part, "the salt seed is missing or out of place")
        if chunk and not self._seed:
            first = self.record_numbers[0]
            ids = self.part.ids[: self.part.counts[0]]
            self._seed = RecordRows.parse(self._segments.content(first), ids, self._segments.part(first)).seed
        elif not chunk:
            self._seed = rows.seed
        return self._seed


class Segments:
    """The segments that one key opens."""

    def __init__(self, read: Read, header: Header, key: bytes, owner: str) -> None:
        self._read = read
        self._header = header
        self._key = key
        self._owner = owner

    def find(self) -> list[int]:
        """The numbers of the key's segments, known by their tags; WrongKey if there are none."""
        numbers = [n for n, slot in enumerate(self._header.slots) if slot.tag == primitives.segment_tag(self._key, n)]
        if not numbers:
            raise WrongKey(self._owner, "the key opens nothing of this bundle")
        return numbers

    def part(self, number: int) -> str:
        return f"{self._owner}, segment {number}"

    def content(self, number: int, dictionary: bytes = b"") -> bytes:
        """The unpacked content of one segment."""
        start, end = self._header.offsets[number], self._header.offsets[number + 1]
        ciphertext = self._read(start, end - start)
        if len(ciphertext) != end - start:
            raise SealBroken(self.part(number), "it is cut off")
        try:
            plaintext = primitives.open_segment(self._key, number, self._header.digest, ciphertext)
        except Unopened:
            raise SealBroken(self.part(number), "it was altered, or the header was") from None
        return unpack(plaintext, self.part(number), dictionary)
