"""Files of the ledger that are written and read as a stream: a CBOR sequence (RFC 8742) of byte strings, each the CBOR of one record.

The length before each record says how much is to be read, so that a reader holds one record at a time, and none larger than `MAX_RECORD`.
"""

from collections.abc import Iterator
from typing import IO, Any

from chain.block import BlockInvalid, FormatUnknown, Header, Vote, parse_votes
from chain.encoding import EncodingError, decode, encode
from chain.errors import LedgerError
from chain.format import MOST

MAX_RECORD = 4 * MOST.size  # bytes: the largest block with all its votes has less than half of it
_BYTES, _LENGTHS = 0x40, {24: 1, 25: 2, 26: 4}  # major type 2; the bytes of a length, by the low five bits of the head


class FileInvalid(LedgerError):
    """A file is none of the kind, or what it says does not hold; the message has the place."""


def write_record(file: IO[bytes], record: Any) -> None:
    """Appends one record."""
    file.write(encode(encode(record)))


def read_records(file: IO[bytes]) -> Iterator[Any]:
    """The records in their order, until the file ends. Raises `FileInvalid`."""
    number = 0
    while head := file.read(1):
        number += 1
        try:
            yield decode(_exactly(file, _length(file, head[0]), number))
        except EncodingError:
            raise FileInvalid(f"record {number} of the file does not decode") from None


def header_in(record: bytes, where: str) -> Header:
    """The header that a record holds. Raises `FileInvalid` with `where`, `FormatUnknown`."""
    try:
        return Header.from_bytes(record)
    except FormatUnknown:
        raise
    except BlockInvalid as error:
        raise FileInvalid(f"{where}: {error}") from None


def votes_in(record: list[Any], where: str) -> tuple[Vote, ...]:
    """The votes that a record holds, which nobody has verified. Raises `FileInvalid` with `where`."""
    try:
        return parse_votes(record)
    except EncodingError as error:
        raise FileInvalid(f"{where}: {error}") from None


def _length(file: IO[bytes], head: int) -> int:
    low = head - _BYTES
    if 0 <= low < min(_LENGTHS):
        return low
    return int.from_bytes(file.read(_LENGTHS[low]), "big") if low in _LENGTHS else MAX_RECORD + 1


def _exactly(file: IO[bytes], length: int, number: int) -> bytes:
    body = file.read(length) if length <= MAX_RECORD else b""
    if len(body) != length:
        raise FileInvalid(f"record {number} of the file is cut off, or is none")
    return body
