"""The sealed tables of a bundle: its directory, and the part of each class. Formats: docs/design/sealed-bundle.md.

Leaves are numbered by class, the statement's class first, so that a class is a range of leaves.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate, pairwise

from chain import encoding
from gateway.vault.cover import CoverNode, range_sizes
from gateway.vault.errors import SealBroken
from gateway.vault.sealed_bundle import VERSION, check_version
from gateway.vault.shape import Shape, u32_column

STATEMENT_CLASS = "$statement"  # sorts before every FHIR type


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
        check_version(version, "directory")
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


@dataclass(frozen=True)
class ClassPart:
    """What the holder of a class key needs to read it: leaf numbers, ids and versions, records a segment, and for each records segment the
    hashes of its leaves' range (`cover.range_sizes` gives their sizes).
    """

    first_leaf: int
    ids: Sequence[bytes]  # 16 bytes each
    versions: Sequence[int]
    counts: Sequence[int]
    hashes: Sequence[Sequence[bytes]]

    @cached_property
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
        check_version(version, part)
        found = shape.chunks(ids, 16)
        sizes = shape.u32s(counts)
        if sum(sizes) != len(found) or not all(sizes):
            raise SealBroken(part, "its segments do not share out its records")
        bare = cls(shape.integer(first_leaf), found, shape.u32s(versions, len(found)), sizes, ())
        lengths = [len(range_sizes(*span)) for span in bare.ranges]
        nodes = iter(shape.chunks(hashes, 32, sum(lengths)))
        return cls(bare.first_leaf, found, bare.versions, sizes, [[next(nodes) for _ in range(length)] for length in lengths])
