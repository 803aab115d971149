"""What a segment of a sealed bundle holds: rows in columns, compressed, padded. docs/design/sealed-bundle.md has the bytes.

Columns, because rows of one kind side by side compress better and a whole column is sliced without decoding row by row.
Compressed and original bytes of other patients or classes never share a frame, so lengths tell nothing across them.
"""

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from operator import sub

import msgspec
import zstandard

from chain import encoding
from gateway.vault.errors import SealBroken
from gateway.vault.shape import Shape, u32_column

LEVEL = 1  # of repetitive FHIR, 3 gains nothing and 5 to 12 gain 2 to 5 % at up to 20 times the time
MAX_PLAINTEXT = 256 << 20  # what a frame may say it unpacks to; a bundle of 32 MB in one segment stays far below
_LENGTH_BYTES = 4
SALT_BYTES = 16
_ID_DIGITS = 32  # of a 16-byte id


def padded_length(length: int) -> int:
    """Padmé (Nikitin et al., PURBs, 2019, algorithm 1): at most 12 % longer, and lets only log log n bits of the length through."""
    if length < 2:
        return length
    exponent = length.bit_length() - 1
    mask = (1 << (exponent - exponent.bit_length())) - 1
    return (length + mask) & ~mask


def pack(content: bytes, dictionary: bytes = b"") -> bytes:
    """The plaintext of a segment: u32 length, zstd frame, zeros up to `padded_length`."""
    frame = _with_dictionary(content, dictionary) if dictionary else _PLAIN.compressor.compress(content)
    framed = len(frame).to_bytes(_LENGTH_BYTES, "big") + frame
    return framed.ljust(padded_length(len(framed)), b"\x00")


def _with_dictionary(content: bytes, dictionary: bytes) -> bytes:
    """The window spans both, so that the last byte can still point at the first of the dictionary."""
    parameters = zstandard.ZstdCompressionParameters.from_level(
        LEVEL, source_size=len(content), dict_size=len(dictionary), window_log=max(10, (len(content) + len(dictionary)).bit_length())
    )
    raw = zstandard.ZstdCompressionDict(dictionary, dict_type=zstandard.DICT_TYPE_RAWCONTENT)
    return zstandard.ZstdCompressor(dict_data=raw, compression_params=parameters).compress(content)


def unpack(plaintext: bytes, part: str, dictionary: bytes = b"") -> bytes:
    """The content that was packed; SealBroken for any other form of the same plaintext."""
    end = _LENGTH_BYTES + int.from_bytes(plaintext[:_LENGTH_BYTES], "big")
    if len(plaintext) != padded_length(end) or plaintext.count(0, end) != len(plaintext) - end:
        raise SealBroken(part, "its padding is not the one prescribed")
    frame = plaintext[_LENGTH_BYTES:end]
    try:
        if not 0 <= zstandard.frame_content_size(frame) <= MAX_PLAINTEXT:  # before memory is set aside for it
            raise SealBroken(part, "its frame states no acceptable size")
        return _decompressor(dictionary).decompress(frame, allow_extra_data=False)
    except zstandard.ZstdError:
        raise SealBroken(part, "it cannot be decompressed") from None


class _Plain(threading.local):
    """For frames without a dictionary, one of each for each thread: making them takes longer than a small frame does."""

    def __init__(self) -> None:
        self.compressor, self.decompressor = zstandard.ZstdCompressor(level=LEVEL), zstandard.ZstdDecompressor()


_PLAIN = _Plain()


def _decompressor(dictionary: bytes) -> zstandard.ZstdDecompressor:
    if not dictionary:
        return _PLAIN.decompressor
    return zstandard.ZstdDecompressor(dict_data=zstandard.ZstdCompressionDict(dictionary, dict_type=zstandard.DICT_TYPE_RAWCONTENT))


@dataclass(frozen=True, slots=True)
class RecordRows:
    """Records of one class: canonical bytes and index rows. `seed` (32 bytes) only in the class's first segment, else empty.

    `ids` are the records' 16-byte ids, which the class part keeps: their hexadecimal form is cut out of the stored bodies (it does not
    compress) and put back when they are read.
    """

    seed: bytes
    bodies: Sequence[bytes]
    index_rows: Sequence[bytes]

    def encode(self, ids: Sequence[bytes]) -> bytes:
        cuts, bodies = [], []
        for body, record_id in zip(self.bodies, ids, strict=True):
            text = record_id.hex().encode()
            cut = body.find(text)
            cuts.append(cut + 1)
            bodies.append(body if cut < 0 else body[:cut] + body[cut + len(text) :])
        return encoding.encode(
            {
                0: self.seed,
                1: u32_column([len(body) for body in bodies]),
                2: u32_column(cuts),
                3: u32_column([len(row) for row in self.index_rows]),
                4: b"".join(bodies),
                5: b"".join(self.index_rows),
            }
        )

    @classmethod
    def parse(cls, content: bytes, ids: Sequence[bytes], part: str) -> "RecordRows":
        shape, count = Shape(part), len(ids)
        seed, sizes, cuts, row_sizes, bodies, rows = shape.columns(content, 6)
        lengths, places = shape.u32s(sizes, count), shape.u32s(cuts, count)
        if max(map(sub, places, lengths), default=0) > 1:
            raise SealBroken(part, "an id belongs behind the end of its row")
        ends, text = _ends(bodies, lengths, part), b"".join(ids).hex().encode()
        whole = [
            bodies[start : start + cut - 1] + text[at : at + _ID_DIGITS] + bodies[start + cut - 1 : end] if cut else bodies[start:end]
            for (start, end), cut, at in zip(pairwise(ends), places, range(0, len(text), _ID_DIGITS), strict=True)
        ]
        return cls(seed, whole, _sliced(rows, shape.u32s(row_sizes, count), part))


class EntryRow(msgspec.Struct, frozen=True, gc=False):
    """The entry of the submission that a record came from: its number there, its 16-byte salt, its exact bytes."""

    index: int
    salt: bytes
    raw: bytes


def encode_entries(rows: Sequence[EntryRow | None]) -> bytes:
    """The entries of one records segment, in its order; None where a record came from none."""
    present = [row for row in rows if row is not None]
    return encoding.encode(
        {
            0: u32_column([0 if row is None else row.index + 1 for row in rows]),
            1: u32_column([len(row.raw) for row in present]),
            2: b"".join(row.salt for row in present),
            3: b"".join(row.raw for row in present),
        }
    )


def parse_entries(content: bytes, count: int, part: str) -> list[EntryRow | None]:
    """Inverse of `encode_entries` for the segment of `count` records."""
    shape = Shape(part)
    numbers, sizes, salts, raw = shape.columns(content, 4)
    indices = shape.u32s(numbers, count)
    present = [index - 1 for index in indices if index]
    slices = _sliced(raw, shape.u32s(sizes, len(present)), part)
    entries = map(EntryRow, present, shape.chunks(salts, SALT_BYTES, len(present)), slices)
    return list(entries) if 0 not in indices else [next(entries) if index else None for index in indices]


def _sliced(column: bytes, sizes: Sequence[int], part: str) -> list[bytes]:
    return [column[start:end] for start, end in pairwise(_ends(column, sizes, part))]


def _ends(column: bytes, sizes: Sequence[int], part: str) -> list[int]:
    """Where each row ends, the first's start before; SealBroken unless they fill the column."""
    ends = list(accumulate(sizes, initial=0))
    if ends[-1] != len(column):
        raise SealBroken(part, "its rows do not fill their column")
    return ends
