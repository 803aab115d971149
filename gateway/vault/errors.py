"""What can be wrong with sealed bytes. The sentences name the part, never what it held.

GatewayError
`- SealBroken     the bytes are not what was sealed: altered, cut, or sealed by something else
   |- RowAltered    a row of the database is not as the gateway wrote it
   |- WrongKey      the key offered does not belong to this part
   `- LeafMismatch  the part opens, but a record or entry is not the one the leaf commits to
"""

from gateway.errors import GatewayError


class SealBroken(GatewayError):
    """`part` names where: "header", "directory", "class Observation/laboratory", "segment 7", "container table"..."""

    def __init__(self, part: str, detail: str) -> None:
        super().__init__(f"{part}: {detail}")
        self.part = part
        self.detail = detail


class WrongKey(SealBroken):
    """No wrap for the key, or a wrap or segment that the key does not open."""


class RowAltered(SealBroken):
    """A row that is believed as it stands has not the tag that the keyring gives it."""


class LeafMismatch(SealBroken):
    """The content of a leaf does not hash to it."""
