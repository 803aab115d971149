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
_ATOMS = frozenset({bytes, str, bool, type(None)})


class EncodingError(LedgerError):
    """The bytes or the value have no place in deterministic CBOR as the ledger narrows it."""


def encode(value: Any) -> bytes:
    """The one encoding of `value`; tuples are written as arrays. Raises `EncodingError`."""
    try:
        return cbor2.dumps(_ordered(value, MAX_DEPTH))
    except (cbor2.CBOREncodeError, UnicodeError) as error:
        raise EncodingError("a value cannot be encoded") from error


def decode(data: bytes) -> Any:
    """The value that `data` is the one encoding of; arrays come as lists. Raises `EncodingError`."""
    try:
        value = cbor2.loads(data, max_depth=MAX_DEPTH, allow_indefinite=False, allow_duplicate_keys=False)
    except Exception as error:  # tags run decoders of dates, fractions, addresses: whatever they raise, the bytes are at fault
        raise EncodingError("the bytes are not CBOR") from error
    if encode(value) != data:
        raise EncodingError("the bytes are not the deterministic encoding of their value")
    return value


def _ordered(value: Any, depth: int) -> Any:
    """`value` with its maps in key order, after a check of every type: what it returns cbor2 writes in the shortest form."""
    kind = type(value)
    if kind in _ATOMS:
        return value
    if kind is int:
        if not -(1 << 63) <= value < 1 << 64:
            raise EncodingError("an integer has more than 64 bits")
        return value
    if not depth:
        raise EncodingError("a value is nested too deeply")
    if kind is dict:
        for key in value:
            if type(key) is not int or not 0 <= key <= _MAX_KEY:
                raise EncodingError("a map key is not an integer from 0 to 23")
        return {key: _ordered(value[key], depth - 1) for key in sorted(value)}
    if kind in {list, tuple}:
        return [_ordered(item, depth - 1) for item in value]
    raise EncodingError(f"{kind.__name__} is no type of the ledger's encoding")
