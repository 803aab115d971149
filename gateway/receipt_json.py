"""Files of receipts, proofs and pins: JSON with no field missing, none unknown, none twice.

32-byte hashes stand in lower-case hex; other bytes in base64url without padding, whose unused bits are zero: so every value has one
spelling.
"""

import json
import re
from typing import Annotated, Any, NoReturn, TypeVar

import msgspec

from gateway.vault.submission import from_base64url, to_base64url

MAX_BYTES = 1 << 20  # a receipt has 3 to 6 kB; more than this is not read

Form = TypeVar("Form")
_HASH = re.compile(r"[0-9a-f]{64}", re.ASCII)


class NoReceipt(Exception):
    """These bytes are no receipt; the message says where they depart from the format."""


class Hash(bytes):
    """32 bytes, in the file 64 lower-case hex digits."""

    __slots__ = ()


class Raw(bytes):
    """Bytes of any length, in the file base64url without padding (RFC 4648, 5)."""

    __slots__ = ()


Number = Annotated[int, msgspec.Meta(ge=0, lt=1 << 53)]


class Part(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An object in such a file, strict."""


class File(Part, frozen=True):
    """What every file begins with."""

    format: str
    chain_id: Hash


def to_json(file: msgspec.Struct) -> bytes:
    """The file: compact JSON."""
    return msgspec.json.encode(msgspec.to_builtins(file, enc_hook=_spelled))


def read_strictly(body: bytes, kind: type[Form]) -> Form:
    """A file of this form. Raises NoReceipt."""
    if len(body) > MAX_BYTES:
        raise NoReceipt(f"a receipt has a few kB, this has {len(body)} bytes")
    found: Form = read_value(body, kind)
    return found


def read_value(body: bytes, kind: Any) -> Any:
    """A value of this type, of any size. Raises NoReceipt."""
    try:
        found = json.loads(body.decode(), object_pairs_hook=no_name_twice, parse_float=no_float, parse_constant=no_float)
    except (ValueError, RecursionError) as error:
        raise NoReceipt(f"it is not JSON as receipts have it: {error}") from error
    try:
        return msgspec.convert(found, kind, strict=True, dec_hook=_read)
    except (msgspec.ValidationError, UnicodeEncodeError) as error:  # a lone surrogate passes JSON, but is no text
        raise NoReceipt(str(error) if isinstance(error, msgspec.ValidationError) else "it holds half a surrogate pair") from error


def _spelled(value: object) -> str:
    assert isinstance(value, Hash | Raw)
    return value.hex() if isinstance(value, Hash) else to_base64url(value)


def _read(kind: type, value: object) -> Any:
    if not isinstance(value, str):
        raise TypeError("expected text")
    if kind is Hash:
        if not _HASH.fullmatch(value):
            raise ValueError("expected 64 lower-case hex digits")
        return Hash(bytes.fromhex(value))
    return Raw(from_base64url(value))


def no_name_twice(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name stands twice in one object")
    return found


def no_float(_text: str) -> NoReturn:
    raise ValueError("numbers are whole")
