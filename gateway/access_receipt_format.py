"""The access receipt's file: what docs/design/access.md says of it, as types that refuse everything else.

It is for the reader and for the patient, who both know what the entry says: so it holds the entry and its salt.
"""

from typing import Final, Literal

from gateway.finality_format import Evidence, LoggedTransaction
from gateway.receipt_json import Hash, Number, Part, Raw, read_strictly

FORMAT: Final = "fhir-anchor access receipt 1"


class LoggedAccess(Part, frozen=True):
    """Leaf of one access in its batch, whose number of leaves and root the ACCESS_BATCH says."""

    entry: Raw
    salt: Raw
    index: Number
    path: tuple[Hash, ...]


class AccessReceipt(Evidence, frozen=True):
    """That an entry of the access log is in a batch which a quorum accepted."""

    format: Literal["fhir-anchor access receipt 1"]
    access: LoggedAccess
    batch: LoggedTransaction


def from_json(body: bytes) -> AccessReceipt:
    """Raises NoReceipt."""
    return read_strictly(body, AccessReceipt)
