"""A reader for the ledger's CBOR and for nothing else: deterministic encoding of RFC 8949, 4.2, no floats, no tags.

Every length is the shortest and every map's keys ascend, so that one value has one spelling: no re-encoding is needed.
"""

from collections.abc import Callable

from gateway.independent.faults import Invalid

MAX_DEPTH = 16  # transactions and headers nest three deep

Value = int | bytes | str | bool | None | list["Value"] | dict[int, "Value"]


def decode(data: bytes, what: str) -> Value:
    """The one value that `data` spells. Raises Invalid, naming `what`."""
    try:
        value, end = _value(data, 0, MAX_DEPTH)
    except (IndexError, UnicodeDecodeError, ValueError) as error:
        raise Invalid(f"{what} is not deterministic CBOR: {error}") from error
    if end != len(data):
        raise Invalid(f"{what} is not deterministic CBOR: {len(data) - end} bytes too many")
    return value


def head(major: int, argument: int) -> bytes:
    """What stands before an item of `argument` bytes or items, or the number itself (RFC 8949, 3): the shortest form."""
    if argument < 24:
        return bytes([major << 5 | argument])
    width = next(width for width in (1, 2, 4, 8) if argument < 1 << (8 * width))
    return bytes([major << 5 | 23 + width.bit_length()]) + argument.to_bytes(width, "big")


def _value(data: bytes, at: int, depth: int) -> tuple[Value, int]:
    if depth == 0:
        raise ValueError("nested too deeply")
    major, argument, at = _head(data, at)
    reader = _READERS.get(major)
    if reader is None:
        raise ValueError(f"major type {major} is not used here")
    return reader(data, at, argument, depth - 1)


def _head(data: bytes, at: int) -> tuple[int, int, int]:
    major, short = data[at] >> 5, data[at] & 31
    at += 1
    if short < 24:
        return major, short, at
    if short > 27 or major == 7:
        raise ValueError("indefinite length, float or unknown simple value")
    width = 1 << (short - 24)
    argument = int.from_bytes(_take(data, at, width), "big")
    if argument < (24 if width == 1 else 1 << (4 * width)):
        raise ValueError("a length or number is not in its shortest form")
    return major, argument, at + width


def _take(data: bytes, at: int, length: int) -> bytes:
    if at + length > len(data):
        raise ValueError("cut short")
    return data[at : at + length]


def _unsigned(_data: bytes, at: int, argument: int, _depth: int) -> tuple[Value, int]:
    return argument, at


def _negative(_data: bytes, at: int, argument: int, _depth: int) -> tuple[Value, int]:
    if argument >= 1 << 63:
        raise ValueError("a number has more than 64 bits")
    return -1 - argument, at


def _bytes(data: bytes, at: int, argument: int, _depth: int) -> tuple[Value, int]:
    return _take(data, at, argument), at + argument


def _text(data: bytes, at: int, argument: int, _depth: int) -> tuple[Value, int]:
    return _take(data, at, argument).decode(), at + argument


def _array(data: bytes, at: int, argument: int, depth: int) -> tuple[Value, int]:
    if argument > len(data):
        raise ValueError("cut short")
    items: list[Value] = []
    for _ in range(argument):
        item, at = _value(data, at, depth)
        items.append(item)
    return items, at


def _map(data: bytes, at: int, argument: int, depth: int) -> tuple[Value, int]:
    if argument > 24:
        raise ValueError("a map with more than 24 keys")
    found: dict[int, Value] = {}
    last = -1
    for _ in range(argument):
        key, at = _value(data, at, depth)
        if type(key) is not int or not last < key < 24:
            raise ValueError("map keys must be numbers from 0 to 23, ascending")
        found[key], at = _value(data, at, depth)
        last = key
    return found, at


def _simple(_data: bytes, at: int, argument: int, _depth: int) -> tuple[Value, int]:
    if argument not in _SIMPLE:
        raise ValueError("unknown simple value")
    return _SIMPLE[argument], at


_SIMPLE: dict[int, Value] = {20: False, 21: True, 22: None}
_READERS: dict[int, Callable[[bytes, int, int, int], tuple[Value, int]]] = {
    0: _unsigned,
    1: _negative,
    2: _bytes,
    3: _text,
    4: _array,
    5: _map,
    7: _simple,
}
