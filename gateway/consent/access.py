"""One access by a grant, as the access log commits to it: docs/design/access.md. Pure."""

from dataclasses import dataclass
from typing import Any

from chain.encoding import EncodingError, decode, encode

_VERSION = 1
_GRANT_ID_BYTES, _RECORD_ID_BYTES = 32, 16
_NUMBERS = range(1 << 63)


class NotAnAccess(Exception):
    """The bytes are not the one encoding of an entry."""


@dataclass(frozen=True, slots=True)
class Access:
    """`accessed_ms` in milliseconds since the epoch."""

    client_id: str  # who read
    purpose: str  # v3 ActReason code
    grant_id: bytes  # what the ledger knows the grant by
    records: tuple[tuple[bytes, int], ...]  # (16-byte id, version) of each record that left
    sequence: int  # in the commit sequence
    accessed_ms: int

    def to_bytes(self) -> bytes:
        """Canonical: the order of `records` makes no difference."""
        records = [[id_, version] for id_, version in sorted(self.records)]
        who = {1: self.client_id, 2: self.purpose, 3: self.grant_id}
        return encode({0: _VERSION, **who, 4: records, 5: self.sequence, 6: self.accessed_ms})

    @classmethod
    def from_bytes(cls, entry: bytes) -> "Access":
        """Raises NotAnAccess for anything but what `to_bytes` makes."""
        try:
            found = decode(entry)
            version, client_id, purpose, grant_id, records, sequence, accessed_ms = (found.pop(key) for key in range(7))
            access = cls(client_id, purpose, grant_id, tuple((id_, number) for id_, number in records), sequence, accessed_ms)
        except (EncodingError, LookupError, TypeError, ValueError, AttributeError):
            raise NotAnAccess from None
        if found or version != _VERSION or not access._is_whole() or access.to_bytes() != entry:
            raise NotAnAccess
        return access

    def _is_whole(self) -> bool:
        named = all(_is_bytes(id_, _RECORD_ID_BYTES) and _is_number(version) for id_, version in self.records)
        texts = type(self.client_id) is str and type(self.purpose) is str
        numbers = _is_number(self.sequence) and _is_number(self.accessed_ms)
        return bool(self.records) and named and texts and numbers and _is_bytes(self.grant_id, _GRANT_ID_BYTES)


def _is_bytes(value: Any, size: int) -> bool:
    return type(value) is bytes and len(value) == size


def _is_number(value: Any) -> bool:
    return type(value) is int and value in _NUMBERS
