"""The parts of a sealed bundle that say what lies where: header, directory, class parts. Byte formats: docs/design/sealed-bundle.md.

The header is in clear and shows padded lengths and tags that only key holders recognise. Segment 0 is the directory, under the bundle key.
Each class has a part, under its class key, and segments of records and of the entries they came from. Leaves are numbered by class, the
statement's class first, so that a class is a range of leaves.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from itertools import accumulate, pairwise

from chain import encoding
from gateway.vault import primitives
from gateway.vault.cover import CoverNode, range_sizes
from gateway.vault.errors import SealBroken
from gateway.vault.shape import Shape, u32_column

MAGIC = b"FHASB\x01"
VERSION = 1
STATEMENT_CLASS = "$statement"  # sorts before every FHIR type
MAX_HEADER = 16 << 20
_PREFIX = len(MAGIC) + 4

Read = Callable[[int, int], bytes]  # (offset, length) -> exactly that slice of the sealed bundle, shorter only where it ends


@dataclass(frozen=True, slots=True)
class Wrap:
    """The bundle key for one recipient."""

    key_id: bytes  # 16 bytes
    suite: int  # primitives.WrapSuite; a number not known here is another reader's
    ciphertext: bytes


def wrap_info(chain_id: bytes, bundle_id: bytes, key_id: bytes) -> bytes:
    """What HPKE binds a wrap to."""
    return b"".join((primitives.BUNDLE_WRAP, b"\x00", chain_id, bundle_id, key_id))


@dataclass(frozen=True, slots=True)
class Slot:
    """One segment as the header shows it."""

    length: int  # of the padded plaintext; the segment itself is 16 bytes longer
    tag: bytes  # 8 bytes, primitives.segment_tag


@dataclass(frozen=True)
class Header:
    chain_id: bytes
    bundle_id: bytes
    wraps: Sequence[Wrap]
    slots: Sequence[Slot]

    @cached_property
    def encoded(self) -> bytes:
        return encoding.encode(
            {
                0: VERSION,
                1: self.chain_id,
                2: self.bundle_id,
                3: [{0: wrap.key_id, 1: wrap.suite, 2: wrap.ciphertext} for wrap in self.wraps],
                4: [[slot.length, slot.tag] for slot in self.slots],
            }
        )

    @cached_property
    def digest(self) -> bytes:
        """Associated data of every segment."""
        return sha256(self.encoded).digest()

    @cached_property
    def offsets(self) -> list[int]:
        """Where each segment starts in the sealed bundle, and at last where the bundle ends."""
        lengths = (slot.length + primitives.GCM_TAG_BYTES for slot in self.slots)
        return list(accumulate(lengths, initial=_PREFIX + len(self.encoded)))

    def to_bytes(self) -> bytes:
        return MAGIC + len(self.encoded).to_bytes(4, "big") + self.encoded

    @classmethod
    def parse(cls, content: bytes) -> "Header":
        shape = Shape("header")
        version, chain_id, bundle_id, wraps, slots = shape.fields(content, 5)
        _check_version(version, "header")
        header = cls(
            shape.octets(chain_id, 32),
            shape.octets(bundle_id, 16),
            [_parse_wrap(shape, wrap) for wrap in shape.array(wraps)],
            [_parse_slot(shape, slot) for slot in shape.array(slots)],
        )
        if not header.slots:
            raise SealBroken("header", "there is no segment")
        return header


def _parse_wrap(shape: Shape, value: object) -> Wrap:
    key_id, suite, ciphertext = shape.fields_of(value, 3)
    return Wrap(shape.octets(key_id, 16), shape.integer(suite), shape.octets(ciphertext))


def _parse_slot(shape: Shape, value: object) -> Slot:
    length, tag = shape.array(value, 2)
    return Slot(shape.integer(length), shape.octets(tag, 8))


def _check_version(version: object, part: str) -> None:
    if version != VERSION:
        raise SealBroken(part, "its version is not known here")


def read_header(read: Read, first_read: int = 4096) -> Header:
    """The header, in one read if it fits into `first_read` bytes, else in two. SealBroken."""
    start = read(0, first_read)
    if start[: len(MAGIC)] != MAGIC or len(start) < _PREFIX:
        raise SealBroken("header", "this is no sealed bundle")
    length = int.from_bytes(start[len(MAGIC) : _PREFIX], "big")
    if length > MAX_HEADER:
        raise SealBroken("header", "its length is out of bounds")
    content = start[_PREFIX : _PREFIX + length]
    if len(content) < length:
        content += read(_PREFIX + len(content), length - len(content))
    return Header.parse(content)


@dataclass(frozen=True, slots=True)
class ClassEntry:
    """A class as the directory lists it: its range of leaves and its segments; of entry segments none, or one for each of records."""

    name: str
    first_leaf: int
    count: int
    part: int
    records: Sequence[int]
    entries: Sequence[int]


@dataclass(frozen=True, slots=True)
class Directory:
    """Segment 0. `number` is the archive's running number of the bundle; `cover` is of the submission's tree, an int standing for so many
    entries of this bundle, whose hashes follow from the sealed entries themselves.
    """

    number: int
    leaf_count: int
    classes: Sequence[ClassEntry]
    cover: Sequence[CoverNode | int]

    def encode(self) -> bytes:
        return encoding.encode(
            {
                0: VERSION,
                1: self.number,
                2: self.leaf_count,
                3: [[c.name, c.first_leaf, c.count, c.part, list(c.records), list(c.entries)] for c in self.classes],
                4: [item if isinstance(item, int) else [item.size, item.hash] for item in self.cover],
            }
        )

    @classmethod
    def parse(cls, content: bytes, segments: int) -> "Directory":
        shape = Shape("directory")
        version, number, leaf_count, classes, cover = shape.fields(content, 5)
        _check_version(version, "directory")
        directory = cls(
            shape.integer(number),
            shape.integer(leaf_count),
            [_parse_class(shape, entry) for entry in shape.array(classes)],
            [_parse_cover_item(shape, item) for item in shape.array(cover)],
        )
        directory._check(segments)
        return directory

    def _check(self, segments: int) -> None:
        """Classes in order of name, leaves without gaps, every segment used once."""
        names = [entry.name for entry in self.classes]
        if not names or names[0] != STATEMENT_CLASS or names != sorted(set(names)):
            raise SealBroken("directory", "its classes are not in order")
        if [entry.first_leaf for entry in self.classes] + [self.leaf_count] != list(accumulate((e.count for e in self.classes), initial=0)):
            raise SealBroken("directory", "its classes do not share out the leaves")
        used = [n for entry in self.classes for n in (entry.part, *entry.records, *entry.entries)]
        if sorted(used) != list(range(1, segments)):
            raise SealBroken("directory", "its classes do not share out the segments")
        if any(len(entry.entries) not in {0, len(entry.records)} for entry in self.classes):
            raise SealBroken("directory", "a class has entries for some of its segments only")

    def class_of(self, leaf: int) -> ClassEntry:
        """The class whose range holds `leaf`; IndexError if there is no such leaf."""
        for entry in self.classes:
            if entry.first_leaf <= leaf < entry.first_leaf + entry.count:
                return entry
        raise IndexError(f"the bundle has {self.leaf_count} leaves, none is number {leaf}")


def _parse_class(shape: Shape, value: object) -> ClassEntry:
    name, first_leaf, count, part, records, entries = shape.array(value, 6)
    return ClassEntry(
        shape.text(name),
        shape.integer(first_leaf),
        shape.integer(count),
        shape.integer(part),
        shape.integers(records),
        shape.integers(entries),
    )


def _parse_cover_item(shape: Shape, value: object) -> CoverNode | int:
    if type(value) is int:
        return shape.integer(value)
    size, node = shape.array(value, 2)
    return CoverNode(shape.integer(size), shape.octets(node, 32))


@dataclass(frozen=True, slots=True)
class ClassPart:
    """What the holder of a class key needs to read it: leaf numbers, ids and versions, records a segment, and for each records segment the
    hashes of its leaves' range (`cover.range_sizes` gives their sizes).
    """

    first_leaf: int
    ids: Sequence[bytes]  # 16 bytes each
    versions: Sequence[int]
    counts: Sequence[int]
    hashes: Sequence[Sequence[bytes]]

    @property
    def ranges(self) -> list[tuple[int, int]]:
        """First leaf and end of each records segment."""
        return list(pairwise(accumulate(self.counts, initial=self.first_leaf)))

    def nodes(self) -> list[list[CoverNode]]:
        """The cover of each records segment."""
        return [
            [CoverNode(*pair) for pair in zip(range_sizes(*span), hashes, strict=True)]
            for span, hashes in zip(self.ranges, self.hashes, strict=True)
        ]

    def encode(self) -> bytes:
        return encoding.encode(
            {
                0: VERSION,
                1: self.first_leaf,
                2: b"".join(self.ids),
                3: u32_column(self.versions),
                4: u32_column(self.counts),
                5: b"".join(node for hashes in self.hashes for node in hashes),
            }
        )

    @classmethod
    def parse(cls, content: bytes, name: str) -> "ClassPart":
        part = f"class {name}"
        shape = Shape(part)
        version, first_leaf, ids, versions, counts, hashes = shape.fields(content, 6)
        _check_version(version, part)
        found = shape.chunks(ids, 16)
        sizes = shape.u32s(counts)
        if sum(sizes) != len(found) or not all(sizes):
            raise SealBroken(part, "its segments do not share out its records")
        bare = cls(shape.integer(first_leaf), found, shape.u32s(versions, len(found)), sizes, ())
        lengths = [len(range_sizes(*span)) for span in bare.ranges]
        nodes = iter(shape.chunks(hashes, 32, sum(lengths)))
        return cls(bare.first_leaf, found, bare.versions, sizes, [[next(nodes) for _ in range(length)] for length in lengths])
