"""Sealing one patient's records of one submission. The pieces in order: leaves, segments, directory, header, encryption."""

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from chain import merkle
from gateway.vault import primitives
from gateway.vault.cover import CoverNode, Tree
from gateway.vault.directory import STATEMENT_CLASS, ClassEntry, ClassPart, Directory
from gateway.vault.primitives import Random, WrapPublicKey
from gateway.vault.sealed_bundle import Header, Slot, Wrap, wrap_info
from gateway.vault.segments import EntryRow, RecordRows, encode_entries, pack

SEGMENT_BYTES = 128 << 10  # canonical bytes after which a records segment is closed
_NO_ID = bytes(16)


@dataclass(frozen=True, slots=True)
class RecordToSeal:
    """One record as it goes in. `class_name` is `Type` or `Type/category`; `entry` is where it came from, None if from no entry."""

    class_name: str
    id: bytes  # 16 bytes, the gateway id
    version: int
    body: bytes  # canonical bytes
    index_row: bytes
    entry: EntryRow | None


@dataclass(frozen=True, slots=True)
class SealedBundle:
    """A sealed bundle, ready for a container."""

    body: bytes
    bundle_id: bytes
    root: bytes  # RFC 6962 root over the leaves
    leaf_count: int  # the statement's included
    placements: Sequence[int]  # for each record given, in order, its leaf number


def seal_bundle(
    *,
    chain_id: bytes,
    bundle_id: bytes,
    number: int,
    statement: bytes,
    records: Sequence[RecordToSeal],
    cover: Sequence[CoverNode],
    recipients: Sequence[WrapPublicKey],
    random: Random,
) -> SealedBundle:
    """Seals `records` (in any order) with `statement` as leaf 0; see `pack_bundle` and `PackedBundle.seal`."""
    bundle_key = random(primitives.KEY_BYTES)
    packed = pack_bundle(statement=statement, records=records, cover=cover, random=random)
    return packed.seal(bundle_key, chain_id=chain_id, bundle_id=bundle_id, number=number, recipients=recipients)


@dataclass(frozen=True, slots=True)
class PackedBundle:
    """A bundle that has no number and no key yet: its leaves hashed, its classes compressed."""

    segments: Sequence[tuple[str, bytes]]  # all but the directory: class and plaintext
    classes: Sequence[ClassEntry]
    cover: Sequence[CoverNode | int]
    root: bytes
    leaf_count: int
    placements: Sequence[int]

    @property
    def size(self) -> int:
        """Bytes, but for the header and the directory."""
        return sum(len(plaintext) for _, plaintext in self.segments)

    def seal(
        self, bundle_key: bytes, *, chain_id: bytes, bundle_id: bytes, number: int, recipients: Sequence[WrapPublicKey]
    ) -> SealedBundle:
        """`number` is the archive's running number behind `bundle_id`. `bundle_key` must be 32 new random bytes each time: under a key that
        sealed another number already, the directory would be a second plaintext of one key and nonce.
        """
        keys = {entry.name: primitives.class_key(bundle_key, entry.name) for entry in self.classes}
        directory = pack(Directory(number, self.leaf_count, self.classes, self.cover).encode())
        segments = [(primitives.directory_key(bundle_key), directory), *((keys[name], plaintext) for name, plaintext in self.segments)]
        header = Header(
            chain_id,
            bundle_id,
            [_wrap(recipient, chain_id, bundle_id, bundle_key) for recipient in recipients],
            [Slot(len(plaintext), primitives.segment_tag(key, at)) for at, (key, plaintext) in enumerate(segments)],
        )
        sealed = (primitives.seal_segment(key, at, header.digest, plaintext) for at, (key, plaintext) in enumerate(segments))
        return SealedBundle(b"".join((header.to_bytes(), *sealed)), bundle_id, self.root, self.leaf_count, self.placements)


def pack_bundle(*, statement: bytes, records: Sequence[RecordToSeal], cover: Sequence[CoverNode], random: Random) -> PackedBundle:
    """`records` in any order, `statement` as leaf 0. `cover` is the submission tree's cover for the entries of these records
    (`SubmissionTree.tree.cover`). `random` gives one salt seed a class.
    """
    order = _by_class(records)
    laid_out = _lay_out(statement, records, order, random)
    tree = Tree([leaf for laid in laid_out for leaf in laid.leaf_hashes()])
    segments = _Segments(len(laid_out))
    classes = [laid.pack(part, segments, tree) for part, laid in enumerate(laid_out, start=1)]
    stored_cover = _stored_cover(cover, {r.entry.index for r in records if r.entry})
    return PackedBundle(segments.packed[1:], classes, stored_cover, tree.root, tree.size, _placements(order))


def _by_class(records: Sequence[RecordToSeal]) -> dict[str, list[int]]:
    """Positions of the records of each class, classes by name."""
    order = defaultdict(list)
    for position, record in enumerate(records):
        order[record.class_name].append(position)
    return dict(sorted(order.items()))


def _placements(order: Mapping[str, Sequence[int]]) -> list[int]:
    positions = [position for members in order.values() for position in members]
    placements = [0] * len(positions)
    for leaf, position in enumerate(positions, start=1):
        placements[position] = leaf
    return placements


@dataclass(slots=True)
class _LaidOutClass:
    """A class with its leaf numbers, not yet packed."""

    name: str
    first_leaf: int
    seed: bytes
    records: Sequence[RecordToSeal]

    def leaf_hashes(self) -> list[bytes]:
        salts = primitives.record_salts(self.seed, self.first_leaf, len(self.records))
        return merkle.leaf_hashes(primitives.commitments(salts, [record.body for record in self.records]))

    def pack(self, part_number: int, segments: "_Segments", tree: Tree) -> ClassEntry:
        """Puts the class's part and segments among `segments` and returns its line in the directory."""
        chunks = list(_chunks(self.records))
        record_numbers: list[int] = []
        entry_numbers: list[int] = []
        hashes: list[list[bytes]] = []
        leaf = self.first_leaf
        has_entries = any(record.entry for record in self.records)
        for chunk in chunks:
            seed = b"" if record_numbers else self.seed
            content = RecordRows(seed, [r.body for r in chunk], [r.index_row for r in chunk]).encode([r.id for r in chunk])
            record_numbers.append(segments.add(self.name, content))
            if has_entries:
                entry_numbers.append(segments.add(self.name, encode_entries([r.entry for r in chunk]), dictionary=content))
            hashes.append(tree.range_hashes(leaf, leaf + len(chunk)))
            leaf += len(chunk)
        ids, versions = [r.id for r in self.records], [r.version for r in self.records]
        segments.put(part_number, self.name, ClassPart(self.first_leaf, ids, versions, [len(c) for c in chunks], hashes).encode())
        return ClassEntry(self.name, self.first_leaf, len(self.records), part_number, record_numbers, entry_numbers)


def _lay_out(statement: bytes, records: Sequence[RecordToSeal], order: Mapping[str, Sequence[int]], random: Random) -> list[_LaidOutClass]:
    head = RecordToSeal(STATEMENT_CLASS, _NO_ID, 1, statement, b"", None)
    classes = [_LaidOutClass(STATEMENT_CLASS, 0, random(primitives.KEY_BYTES), [head])]
    for name, members in order.items():
        if name <= STATEMENT_CLASS:
            raise ValueError("a class is named Type or Type/category")
        first_leaf = classes[-1].first_leaf + len(classes[-1].records)
        classes.append(_LaidOutClass(name, first_leaf, random(primitives.KEY_BYTES), [records[i] for i in members]))
    return classes


def _chunks(records: Sequence[RecordToSeal]) -> Iterator[Sequence[RecordToSeal]]:
    """Runs of records, each closed once it holds `SEGMENT_BYTES`."""
    start = size = 0
    for end, record in enumerate(records, start=1):
        size += len(record.body)
        if size >= SEGMENT_BYTES or end == len(records):
            yield records[start:end]
            start, size = end, 0


class _Segments:
    """The packed segments by number, each with its class. The directory and the class parts have their numbers reserved."""

    def __init__(self, classes: int) -> None:
        self.packed: list[tuple[str, bytes]] = [("", b"")] * (1 + classes)

    def put(self, number: int, name: str, content: bytes) -> None:
        self.packed[number] = (name, pack(content))

    def add(self, name: str, content: bytes, dictionary: bytes = b"") -> int:
        self.packed.append((name, pack(content, dictionary)))
        return len(self.packed) - 1


def _wrap(recipient: WrapPublicKey, chain_id: bytes, bundle_id: bytes, bundle_key: bytes) -> Wrap:
    info = wrap_info(chain_id, bundle_id, recipient.key_id)
    return Wrap(recipient.key_id, int(recipient.suite), recipient.wrap(bundle_key, info))


def _stored_cover(cover: Sequence[CoverNode], own: Collection[int]) -> list[CoverNode | int]:
    """The cover with each run of entries of this bundle as a number: their hashes follow from the sealed entries."""
    stored: list[CoverNode | int] = []
    index = 0
    for node in cover:
        if node.size > 1 or index not in own:
            stored.append(node)
        elif stored and isinstance(stored[-1], int):
            stored[-1] += 1
        else:
            stored.append(1)
        index += node.size
    return stored
