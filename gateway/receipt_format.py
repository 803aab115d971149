"""The receipt as a file: its exact fields and spellings. docs/design/receipt.md is the specification.

A path in a bundle says for each hash on which side it stands, because nothing signed binds a bundle's number of leaves; the other paths
are read by number, in trees whose size is signed.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Annotated, Any, Final, Literal

import msgspec

from chain.merkle import Side, sides_of
from gateway.finality_format import Evidence, LoggedTransaction
from gateway.receipt_json import MAX_BYTES, Hash, NoReceipt, Number, Part, Raw, read_strictly, read_value
from gateway.vault.primitives import SALT_BYTES

FORMAT: Final = "fhir-anchor receipt 1"
Reference = Annotated[str, msgspec.Meta(pattern=r"\A[A-Z][A-Za-z]{1,63}/[A-Za-z0-9.-]{1,64}/_history/[A-Za-z0-9.-]{1,64}\Z")]
SidedPath = tuple[tuple[Side, Hash], ...]


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


class Statement(Part, frozen=True):
    """The submission's statement: the bundle's first leaf."""

    bytes: Raw
    salt: Raw
    path: SidedPath


class PublicReceipt(Evidence, frozen=True):
    """What anyone may have."""

    format: Literal["fhir-anchor receipt 1"]
    record: Record
    bundle: Bundle
    anchor: LoggedTransaction


class Receipt(PublicReceipt, frozen=True, kw_only=True):
    """`statement`, `issuer` and `record.salt` are there together, for the entitled, or none of them is."""

    statement: Statement | msgspec.UnsetType = msgspec.UNSET
    issuer: LoggedTransaction | Literal["genesis"] | msgspec.UnsetType = msgspec.UNSET  # "genesis": a party that genesis itself names


def from_json(body: bytes) -> Receipt:
    """Raises NoReceipt."""
    receipt = _from_parts(body) or read_strictly(body, Receipt)
    if len({receipt.record.salt is msgspec.UNSET, receipt.statement is msgspec.UNSET, receipt.issuer is msgspec.UNSET}) != 1:
        raise NoReceipt("record.salt, statement and issuer belong together: some are missing")
    salts = [part.salt for part in (receipt.record, receipt.statement) if part is not msgspec.UNSET and part.salt is not msgspec.UNSET]
    if any(len(salt) != SALT_BYTES for salt in salts):
        raise NoReceipt(f"record.salt or statement.salt does not have {SALT_BYTES} bytes")
    return receipt


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
        return read_value(part, _FIELDS[name])
    except NoReceipt as error:
        raise NoReceipt(f"{name}: {error}") from error


_part = lru_cache(maxsize=512)(_read_part)
_PUBLIC = set(PublicReceipt.__struct_fields__)


def sided(path: Sequence[bytes], index: int, size: int) -> SidedPath:
    """An inclusion path (RFC 9162, 2.1.3) of leaf `index` of `size`, each hash with the side on which it stands."""
    return tuple((side, Hash(other)) for side, other in zip(sides_of(index, size), path, strict=True))
