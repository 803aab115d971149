"""Deterministic CBOR (RFC 8949, 4.2.1), narrowed: one value has one encoding, and nothing else is read.

Values are integers of 64 bits, booleans, null, byte strings, text, arrays, and maps whose keys are integers from 0 to 23. Floats, tags,
other simple values and indefinite lengths do not exist here. `decode` encodes again what it read and compares, so that every leniency of
the decoder below (long integers, duplicate or unordered keys, trailing bytes) is an error.
"""

from typing import Any

import cbor2

from chain.errors import LedgerError

MAX_DEPTH = 16
_MAX_KEY = 23
_MIN_INTEGER, _MAX_INTEGER = -(1 << 63), (1 << 64) - 1
_ATOMS = frozenset({bytes, str, bool, type(None)})


def _refuse(_decoder: object) -> Any:
    raise ValueError("a tag is no part of the ledger's encoding")


# The tags that cbor2 knows. Its decoders would compile patterns, parse mail and count in fractions: seconds and 200 MB for a megabyte.
_WITHOUT_DECODER = dict.fromkeys(
    (0, 1, 2, 3, 4, 5, 25, 28, 29, 30, 35, 36, 37, 52, 54, 100, 256, 258, 260, 261, 1004, 43000, 55799), _refuse
)


class EncodingError(LedgerError):
    """The bytes or the value have no place in deterministic CBOR as the ledger narrows it."""


def encode(value: Any) -> bytes:
    """The one encoding of `value`; tuples are written as arrays. Raises `EncodingError`."""
    try:
        return cbor2.dumps(value if _is_ordered(value, MAX_DEPTH) else _ordered(value))
    except (cbor2.CBOREncodeError, UnicodeError) as error:
        raise EncodingError("a value cannot be encoded") from error


def decode(data: bytes) -> Any:
    """The value that `data` is the one encoding of; arrays come as lists. Raises `EncodingError`."""
    try:
        value = cbor2.loads(
            data, max_depth=MAX_DEPTH, allow_indefinite=False, allow_duplicate_keys=False, semantic_decoders=_WITHOUT_DECODER
        )
    except Exception as error:  # whatever is raised, the bytes are at fault
        raise EncodingError("the bytes are not CBOR") from error
    if encode(value) != data:
        raise EncodingError("the bytes are not the deterministic encoding of their value")
    return value


def _is_ordered(value: Any, depth: int) -> bool:
    """Checks every type, and says whether all maps are in key order: then cbor2 writes `value` in its one form as it stands."""
    kind = type(value)
    if kind is dict:
        keys = list(value)
        for key in keys:
            if type(key) is not int or not 0 <= key <= _MAX_KEY:
                raise EncodingError("a map key is not an integer from 0 to 23")
        is_ordered, items = keys == sorted(keys), value.values()
    elif kind is list or kind is tuple:
        is_ordered, items = True, value
    else:
        is_ordered, items, depth = True, (value,), depth + 1
        if kind not in _ATOMS and kind is not int:
            raise EncodingError(f"{kind.__name__} is no type of the ledger's encoding")
    if not depth:
        raise EncodingError("a value is nested too deeply")
    for item in items:
        kind = type(item)
        if kind is int:
            if not _MIN_INTEGER <= item <= _MAX_INTEGER:
                raise EncodingError("an integer has more than 64 bits")
        elif kind not in _ATOMS:
            is_ordered = _is_ordered(item, depth - 1) and is_ordered
    return is_ordered


def _ordered(value: Any) -> Any:
    """`value` with its maps in key order; its types have been checked."""
    if isinstance(value, dict):
        return {key: _ordered(value[key]) for key in sorted(value)}
    if isinstance(value, list | tuple):
        return [_ordered(item) for item in value]
    return value
