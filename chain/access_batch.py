"""ACCESS_BATCH (docs/design/ledger.md, consents and accesses): a run of a gateway's access log, anchored.

The leaves are opaque here; each has a number of its own in the gateway's commit sequence.
"""

from typing import Any, ClassVar

from msgspec import Struct

from chain.kinds import Kind, TransactionInvalid, check_fields, is_count, is_hash


class AccessBatchBody(Struct, frozen=True, gc=False):
    """All accesses of the gateway whose numbers lie in a range; numbers without a leaf are those that came to nothing."""

    root: bytes  # RFC 6962 root over the access leaves, in the order of their numbers
    leaves: int
    first: int  # sequence number of the first leaf
    last: int  # and of the last one

    kind: ClassVar[Kind] = Kind.ACCESS_BATCH

    def to_map(self) -> dict[int, Any]:
        return {0: self.root, 1: self.leaves, 2: self.first, 3: self.last}

    @classmethod
    def from_map(cls, body: dict[int, Any]) -> "AccessBatchBody":
        """Raises `TransactionInvalid`."""
        check_fields(body, 4)
        parsed = cls(body[0], body[1], body[2], body[3])
        parsed.check()
        return parsed

    def check(self) -> None:
        """Raises `TransactionInvalid` unless the root is a hash and the range has room for the leaves, with one at either end."""
        if not is_hash(self.root):
            raise TransactionInvalid("ACCESS_BATCH has a root of the wrong size")
        if not (is_count(self.leaves) and is_count(self.first) and is_count(self.last)):
            raise TransactionInvalid("ACCESS_BATCH has an impossible number")
        if self.leaves > self.last - self.first + 1:
            raise TransactionInvalid("ACCESS_BATCH has more leaves than numbers")
        if self.leaves == 1 and self.first != self.last:
            raise TransactionInvalid("ACCESS_BATCH has one leaf with two numbers")
