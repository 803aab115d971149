"""One access by a grant, as the access log commits to it: docs/design/access.md. Pure."""

from dataclasses import dataclass

from chain.encoding import encode

_VERSION = 1


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
