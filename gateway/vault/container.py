r"""Containers: one object in the bucket, named by its digest, holding one or more sealed bundles and a table of them.

    b"FHACO\x01" | u32 table length | table, deterministic CBOR | sealed bundles, back to back

Table: {0: version, 1: [[offset from the table's end, length, bundle id (16), bundle root (32)]...]}. The container root, which the ANCHOR
carries, is the RFC 6962 root whose leaf i is leaf_hash(bundle root i).
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from itertools import accumulate

from chain import encoding, merkle
from gateway.vault.errors import SealBroken
from gateway.vault.seal import SealedBundle
from gateway.vault.sealed_bundle import Read
from gateway.vault.shape import Shape

MAGIC = b"FHACO\x01"
VERSION = 1
MAX_TABLE = 16 << 20
_PREFIX = len(MAGIC) + 4
_NAME = re.compile(r"([0-9a-f]{2})/(\1[0-9a-f]{62})\.container", re.ASCII)


@dataclass(frozen=True, slots=True)
class BundleSlot:
    """Where one sealed bundle lies: `offset` from the start of the container, `length` in bytes."""

    offset: int
    length: int
    bundle_id: bytes
    root: bytes

    def reader(self, read: Read) -> Read:
        """`read` of the container, narrowed to this bundle."""
        return narrowed(read, self.offset, self.length)


def narrowed(read: Read, offset: int, length: int) -> Read:
    """A reader of the `length` bytes from `offset` on, as `sealed_bundle.read_header` and `OpenedBundle` take it."""
    return lambda at, wanted: read(offset + at, max(0, min(wanted, length - at)))


@dataclass(frozen=True)
class Container:
    """A container in memory, ready to be put under `name`."""

    body: bytes
    slots: Sequence[BundleSlot]
    leaf_count: int  # over all bundles, as the ANCHOR states it

    @cached_property
    def digest(self) -> bytes:
        return sha256(self.body).digest()

    @property
    def name(self) -> str:
        return container_name(self.digest)

    @property
    def root(self) -> bytes:
        return container_root([slot.root for slot in self.slots])


def build_container(bundles: Sequence[SealedBundle]) -> Container:
    """The container of `bundles`, in this order; ValueError for none."""
    if not bundles:
        raise ValueError("a container holds at least one bundle")
    ends = list(accumulate((len(bundle.body) for bundle in bundles), initial=0))
    rows = [[offset, len(b.body), b.bundle_id, b.root] for offset, b in zip(ends, bundles, strict=False)]
    table = encoding.encode({0: VERSION, 1: rows})
    start = _PREFIX + len(table)
    body = b"".join((MAGIC, len(table).to_bytes(4, "big"), table, *(bundle.body for bundle in bundles)))
    slots = [BundleSlot(start + offset, len(b.body), b.bundle_id, b.root) for offset, b in zip(ends, bundles, strict=False)]
    return Container(body, slots, sum(bundle.leaf_count for bundle in bundles))


def read_table(read: Read, size: int) -> list[BundleSlot]:
    """The bundles of a container of `size` bytes; SealBroken unless the table accounts for every byte behind it."""
    start = read(0, 4096)
    if start[: len(MAGIC)] != MAGIC or len(start) < _PREFIX:
        raise SealBroken("container table", "this is no container")
    length = int.from_bytes(start[len(MAGIC) : _PREFIX], "big")
    if length > MAX_TABLE:
        raise SealBroken("container table", "its length is out of bounds")
    content = start[_PREFIX : _PREFIX + length]
    if len(content) < length:
        content += read(_PREFIX + len(content), length - len(content))
    return _parse_table(content, _PREFIX + length, size)


def _parse_table(content: bytes, start: int, size: int) -> list[BundleSlot]:
    shape = Shape("container table")
    version, rows = shape.fields(content, 2)
    if version != VERSION:
        raise SealBroken("container table", "its version is not known here")
    slots = []
    end = start
    for row in shape.array(rows):
        offset, length, bundle_id, root = shape.array(row, 4)
        if start + shape.integer(offset) != end:
            raise SealBroken("container table", "its bundles overlap or leave a gap")
        slots.append(BundleSlot(end, shape.integer(length), shape.octets(bundle_id, 16), shape.octets(root, 32)))
        end += slots[-1].length
    if end != size or not slots:
        raise SealBroken("container table", "its bundles do not fill the container")
    return slots


def container_root(bundle_roots: Sequence[bytes]) -> bytes:
    """RFC 6962 root over the bundle roots, in order."""
    return merkle.root(merkle.leaf_hashes(bundle_roots))


def bundle_path(bundle_roots: Sequence[bytes], index: int) -> list[bytes]:
    """The RFC 6962 path from bundle `index` to the container root."""
    return merkle.inclusion_path(merkle.leaf_hashes(bundle_roots), index)


def container_name(digest: bytes) -> str:
    """The object's name in the bucket: content addressed and spread over 256 folders."""
    text = digest.hex()
    return f"{text[:2]}/{text}.container"


def digest_of_name(name: str) -> bytes | None:
    """The digest that a container's name states, None for any other name."""
    match = _NAME.fullmatch(name)
    return bytes.fromhex(match[2]) if match else None
