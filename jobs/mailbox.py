"""The jobs process's mailbox: ballots that the workers took and checked, in gateway.db, waited for within the slot."""

import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from chain.watermark import Duty
from gateway.errors import Unavailable
from gateway.index import ballots
from gateway.index.database import Index
from gateway.logs import logger

LOOK_SECONDS = 0.05
WITHIN, LEAST_SECONDS, LONGEST_SECONDS = 0.4, 1.0, 10.0  # of a slot: for the signature of the producer, and again for the votes
MOMENT = 0.15  # of a slot: what a delegate has once a quorum is there without it; who comes later is absent from the block


@dataclass(frozen=True, slots=True)
class IndexMailbox:
    """See `chain.ports.Mailbox`. `clock` in seconds, from anywhere."""

    index: Index
    slot_seconds: int
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep

    def collect(self, duty: Duty, height: int, block_hash: bytes, delegates: Collection[bytes], needed: int) -> Mapping[bytes, bytes]:
        """See `chain.ports.Mailbox.collect`."""
        began = self.clock()
        until = began + min(max(WITHIN * self.slot_seconds, LEAST_SECONDS), LONGEST_SECONDS)
        enough_at: float | None = None
        while True:
            sent = self._sent(duty, height, block_hash, delegates)
            now = self.clock()
            if enough_at is None and len(sent) >= needed:
                enough_at = now
                until = min(until, now + min(MOMENT * self.slot_seconds, LONGEST_SECONDS))
            if len(sent) == len(delegates) or now >= until:
                return sent
            self.sleep(LOOK_SECONDS)

    def _sent(self, duty: Duty, height: int, block_hash: bytes, delegates: Collection[bytes]) -> dict[bytes, bytes]:
        try:
            with self.index.reading() as connection:
                return ballots.signatures(connection, duty, height, block_hash, delegates)
        except Unavailable as error:
            logger().error("the votes of delegates elsewhere cannot be read for now", reason=str(error))
            return {}
