"""The receipt as a file: its exact fields and spellings. docs/design/receipt.md is the specification.

JSON with no field missing, none unknown, none twice; 32-byte hashes in lower-case hex; other bytes in base64url without padding, whose
unused bits are zero: so every value has one spelling. A path in a bundle says for each hash on which side it stands, because nothing
signed binds a bundle's number of leaves; the other paths are read by number, in trees whose size is signed.
"""

import json
import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Annotated, Any, Final, Literal, NoReturn, TypeVar

import msgspec

from chain import proof
from chain.block import Vote
from chain.merkle import Side, sides_of
from gateway.vault.submission import from_base64url, to_base64url

FORMAT: Final = "fhir-anchor receipt 1"
MAX_BYTES = 1 << 20  # a receipt has 3 to 6 kB; more than this is not read

Form = TypeVar("Form", bound=msgspec.Struct)
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
Reference = Annotated[str, msgspec.Meta(pattern=r"\A[A-Z][A-Za-z]{1,63}/[A-Za-z0-9.-]{1,64}/_history/[A-Za-z0-9.-]{1,64}\Z")]
SidedPath = tuple[tuple[Side, Hash], ...]
Votes = tuple[tuple[Number, Raw], ...]


class Part(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An object of a receipt's file, strict."""


class Record(Part, frozen=True):
    """Leaf of the record in its bundle. `salt` is for the entitled: with it and the record's bytes the commitment can be recomputed."""

    reference: Reference
    commitment: Hash
    path: SidedPath
    salt: Raw | msgspec.UnsetType = msgspec.UNSET


class Bundle(Part, frozen=True):
    """Leaf of the bundle root in its container; `size` bundles are in it."""

    index: Number
    size: Number
    path: tuple[Hash, ...]


class Handover(Part, frozen=True):
    """A final header that names other delegates for the next epoch, and their public keys by index."""

    header: Raw
    votes: Votes
    delegates: tuple[Hash, ...]


class LoggedTransaction(Part, frozen=True):
    """Leaf of a transaction in the log whose size and root the header says."""

    transaction: Raw
    index: Number
    path: tuple[Hash, ...]


class Statement(Part, frozen=True):
    """The submission's statement: the bundle's first leaf."""

    bytes: Raw
    salt: Raw
    path: SidedPath


class Receipt(Part, frozen=True):
    """`statement`, `issuer` and `record.salt` are there together, for the entitled, or none of them is."""

    format: Literal["fhir-anchor receipt 1"]
    chain_id: Hash
    record: Record
    bundle: Bundle
    anchor: LoggedTransaction
    header: Raw
    votes: Votes
    handovers: tuple[Handover, ...]  # every change of the acting set since genesis
    statement: Statement | msgspec.UnsetType = msgspec.UNSET
    issuer: LoggedTransaction | Literal["genesis"] | msgspec.UnsetType = msgspec.UNSET  # "genesis": a party that genesis itself names


def to_json(receipt: msgspec.Struct) -> bytes:
    """The file: compact JSON."""
    return msgspec.json.encode(msgspec.to_builtins(receipt, enc_hook=_spelled))


def from_json(body: bytes) -> Receipt:
    """Raises NoReceipt."""
    receipt = _from_parts(body) or read_strictly(body, Receipt)
    if len({receipt.record.salt is msgspec.UNSET, receipt.statement is msgspec.UNSET, receipt.issuer is msgspec.UNSET}) != 1:
        raise NoReceipt("record.salt, statement and issuer belong together: some are missing")
    return receipt


def read_strictly(body: bytes, kind: type[Form]) -> Form:
    """A file of this form, with nothing missing, unknown or there twice. Raises NoReceipt."""
    if len(body) > MAX_BYTES:
        raise NoReceipt(f"a receipt has a few kB, this has {len(body)} bytes")
    found: Form = _strictly(body, kind)
    return found


def _strictly(body: bytes, kind: Any) -> Any:
    try:
        found = json.loads(body.decode(), object_pairs_hook=no_name_twice, parse_float=no_float, parse_constant=no_float)
    except (ValueError, RecursionError) as error:
        raise NoReceipt(f"it is not JSON as receipts have it: {error}") from error
    try:
        return msgspec.convert(found, kind, strict=True, dec_hook=_read)
    except (msgspec.ValidationError, UnicodeEncodeError) as error:  # a lone surrogate passes JSON, but is no text
        raise NoReceipt(str(error) if isinstance(error, msgspec.ValidationError) else "it holds half a surrogate pair") from error


_FIELDS = {field.encode_name: field.type for field in msgspec.structs.fields(Receipt)}
_Parts = msgspec.defstruct("_Parts", [(name, msgspec.Raw | msgspec.UnsetType, msgspec.UNSET) for name in _FIELDS])
_KEPT_BYTES = 16_384  # a part that is larger is read anew each time


def _from_parts(body: bytes) -> Receipt | None:
    """The same, for a file as `to_json` writes it, else None. It is split at its fields, whose values are read as strictly as the whole;
    those that the receipts of one container share are read once.
    """
    if len(body) > MAX_BYTES:
        return None
    try:
        parts = msgspec.structs.asdict(msgspec.json.decode(body, type=_Parts))
    except (msgspec.MsgspecError, RecursionError):
        return None
    told = {name: bytes(part) for name, part in parts.items() if part is not msgspec.UNSET}
    if b"{" + b",".join(b'"' + name.encode() + b'":' + part for name, part in told.items()) + b"}" != body:
        return None  # in another order, with white space, or a name more or twice
    if not told.keys() >= _PUBLIC:
        return None
    is_kept = {name: name != "record" and _is_small(part) for name, part in told.items()}
    return Receipt(**{name: (_part if is_kept[name] else _read_part)(name, part) for name, part in told.items()})


def _is_small(part: bytes) -> bool:
    """Whether a part may be remembered: it is short, and so is what is read of it. A list takes many times the room of an empty one's text;
    every list of a true part but one holds a hash or a signature.
    """
    return len(part) <= _KEPT_BYTES and part.count(b"[") <= 1 + len(part) // 64


def _read_part(name: str, part: bytes) -> Any:
    try:
        return _strictly(part, _FIELDS[name])
    except NoReceipt as error:
        raise NoReceipt(f"{name}: {error}") from error


_part = lru_cache(maxsize=512)(_read_part)
_PUBLIC = {name for name in _FIELDS if name not in ("statement", "issuer")}


def votes_of(votes: Sequence[Vote]) -> Votes:
    """Votes as receipts have them."""
    return tuple((vote.delegate, Raw(vote.signature)) for vote in votes)


def handovers_of(handovers: Sequence[proof.Handover]) -> tuple[Handover, ...]:
    """Handovers as receipts have them."""
    return tuple(Handover(Raw(one.header), votes_of(one.votes), tuple(map(Hash, one.delegates))) for one in handovers)


def sided(path: Sequence[bytes], index: int, size: int) -> SidedPath:
    """An inclusion path (RFC 9162, 2.1.3) of leaf `index` of `size`, each hash with the side on which it stands."""
    return tuple((side, Hash(other)) for side, other in zip(sides_of(index, size), path, strict=True))


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
