"""Strict reading of the CBOR in sealed bundles and containers: exactly the fields, types and lengths prescribed, else SealBroken."""

import struct
from collections.abc import Sequence
from typing import Any

from chain import encoding
from gateway.vault.errors import SealBroken


def u32_column(numbers: Sequence[int]) -> bytes:
    """Numbers below 2^32, four bytes each: read by the hundred at once, where a list would cost a call a number."""
    return struct.pack(f">{len(numbers)}I", *numbers)


class Shape:
    """Checks for one named part, so that every refusal says where it was found."""

    def __init__(self, part: str) -> None:
        self._part = part

    def fields(self, content: bytes, count: int) -> list[Any]:
        """The values of a map whose keys are exactly 0..count-1, in order."""
        try:
            value = encoding.decode(content)
        except encoding.EncodingError as error:
            raise SealBroken(self._part, f"not deterministic CBOR ({error})") from None
        return self.fields_of(value, count)

    def columns(self, content: bytes, count: int) -> list[bytes]:
        """The byte strings of a map that holds nothing else, under exactly the keys 0..count-1.

        Read here, since each then is copied once; `fields` would encode all of it again to see that it has its one form.
        """
        columns, at = [], 1
        for key in range(count):
            start, end = _byte_string(content, at + 1)
            if content[at : at + 1] != bytes((key,)) or not start:
                raise SealBroken(self._part, "not deterministic CBOR, or not of byte strings only")
            columns.append(content[start:end])
            at = end
        if content[:1] != bytes((_MAP | count,)) or at != len(content):
            raise SealBroken(self._part, f"expected a map of exactly {count} fields")
        return columns

    def fields_of(self, value: object, count: int) -> list[Any]:
        if not isinstance(value, dict) or list(value) != list(range(count)):
            raise SealBroken(self._part, f"expected a map of exactly {count} fields")
        return list(value.values())

    def array(self, value: object, count: int | None = None) -> list[Any]:
        if not isinstance(value, list) or (count is not None and len(value) != count):
            raise SealBroken(self._part, "a list is missing or has another length")
        return value

    def integer(self, value: object) -> int:
        """Not negative."""
        if type(value) is not int or value < 0:
            raise SealBroken(self._part, "a number is missing or negative")
        return value

    def integers(self, value: object) -> list[int]:
        """A list of integers, none negative."""
        return [self.integer(item) for item in self.array(value)]

    def u32s(self, value: object, count: int | None = None) -> tuple[int, ...]:
        """A column of big-endian 32-bit numbers, as `u32_column` writes it."""
        column = self.octets(value, None if count is None else 4 * count)
        if len(column) % 4:
            raise SealBroken(self._part, "a column is cut off")
        return struct.unpack(f">{len(column) // 4}I", column)

    def octets(self, value: object, length: int | None = None) -> bytes:
        if type(value) is not bytes or (length is not None and len(value) != length):
            raise SealBroken(self._part, "a byte string is missing or has another length")
        return value

    def chunks(self, value: object, length: int, count: int | None = None) -> list[bytes]:
        """A byte string of `count` parts of `length` bytes each."""
        column = self.octets(value, None if count is None else length * count)
        if len(column) % length:
            raise SealBroken(self._part, "a column is cut off")
        return [column[at : at + length] for at in range(0, len(column), length)]

    def text(self, value: object) -> str:
        if type(value) is not str or not value:
            raise SealBroken(self._part, "a text is missing")
        return value


_MAP, _BYTES, _DIRECT = 0xA0, 0x40, 24  # RFC 8949, 3: major types in the upper three bits; below 24 the length itself stands in the lower
_SMALLEST = (_DIRECT, 1 << 8, 1 << 16, 1 << 32)  # lengths for which 1, 2, 4, 8 more bytes are the shortest form


def _byte_string(content: bytes, at: int) -> tuple[int, int]:
    """Where the content of the byte string at `at` starts and ends; (0, 0) if there is none in its shortest form."""
    short = (content[at] if at < len(content) else 0) - _BYTES
    if 0 <= short < _DIRECT:
        start, length = at + 1, short
    elif _DIRECT <= short < _DIRECT + len(_SMALLEST):
        start = at + 1 + (1 << (short - _DIRECT))
        length = int.from_bytes(content[at + 1 : start], "big")
        if length < _SMALLEST[short - _DIRECT]:
            return 0, 0
    else:
        return 0, 0
    return (start, start + length) if start + length <= len(content) else (0, 0)
