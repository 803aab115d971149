"""The log's checkpoint as a gateway shows it to anyone, held against a delegate's own copy of the chain: each that comes, once.

It is asked for as outsiders ask, after the copy has followed the chain. A checkpoint may still be of a block that came meanwhile: then it
is looked at again when the chain was asked for once more, and has to be of what came.
"""

from typing import NamedTuple

from chain.findings import Finding
from chain.replica import Replica
from chain.shown_checkpoint import CheckpointAhead
from gateway.client.blocks import RemoteChain


class Fault(NamedTuple):
    """What does not hold of a checkpoint, and the checkpoint."""

    finding: Finding
    note: bytes


class WatchedLog:
    """`holds` is whether nothing speaks against the last checkpoint that was shown."""

    def __init__(self, replica: Replica, chain: RemoteChain) -> None:
        self._replica, self._chain = replica, chain
        self._last: bytes | None = None
        self._ahead: bytes | None = None  # a checkpoint
        self.holds = True

    def look(self) -> Fault | None:
        """What does not hold of the checkpoint that is shown now, or of one that was ahead of the copy. Raises ChainUnreachable."""
        ahead, self._ahead = self._ahead, None
        fault = None if ahead is None else self._held_against_the_copy(ahead, is_last_chance=True)
        if fault is None:
            note = self._chain.checkpoint()
            if note is None or note == self._last:
                return None
            self._last = note
            fault = self._held_against_the_copy(note, is_last_chance=False)
        self.holds = fault is None
        return fault

    def _held_against_the_copy(self, note: bytes, *, is_last_chance: bool) -> Fault | None:
        try:
            finding = self._replica.checkpoint_fault(note)
        except CheckpointAhead as error:
            if not is_last_chance:
                self._ahead = note
                return None
            finding = error.finding
        return None if finding is None else Fault(finding, note)
