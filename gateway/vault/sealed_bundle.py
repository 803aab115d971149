"""The header of a sealed bundle, in clear: padded lengths, and tags that only key holders recognise. Formats: docs/design/sealed-bundle.md.

Behind it lie the segments. Segment 0 is the directory, under the bundle key. Each class has a part, under its class key, and segments of
records and of the entries they came from.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from itertools import accumulate

from chain import encoding
from gateway.vault import primitives
from gateway.vault.errors import SealBroken
from gateway.vault.shape import Shape

MAGIC = b"FHASB\x01"
VERSION = 1
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
        check_version(version, "header")
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


def check_version(version: object, part: str) -> None:
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
