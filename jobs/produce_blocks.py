"""One slot of the chain: hand over what waits in the outbox, then let the engine do the slot's work."""

import structlog

from chain.block import FinalBlock
from chain.database import LedgerUnreachable
from chain.engine import EmbeddedEngine, NoQuorum
from chain.keys import SigningKey
from chain.lease import LeaseLost
from chain.ledger import Ledger
from gateway.errors import Unavailable
from gateway.index.database import Index
from jobs.submit_transactions import submit_transactions


class BlockProduction:
    """What the slot job needs, opened once."""

    def __init__(self, index: Index, engine: EmbeddedEngine, ledger: Ledger, key: SigningKey) -> None:
        self._index, self._engine, self._ledger, self._key = index, engine, ledger, key
        self._was_producer: bool | None = None
        self._log = structlog.get_logger()

    def produce(self, now: float) -> FinalBlock | None:
        """The slot that `now` lies in. A quorum or a database that is missing is logged, and the next slot finishes what was begun.

        The chain goes on without the outbox where that cannot be read for now. On a host that another one produces for, nothing is done.
        """
        try:
            if not self._is_producer():
                return None
            self._submit()
            block = self._engine.produce(now)
        except NoQuorum as error:
            self._log.error("no quorum in this slot", reason=str(error))
            return None
        except LeaseLost as error:
            self._log.warning("this host stops producing", reason=str(error))
            return None
        except LedgerUnreachable as error:
            self._log.error("the ledger cannot be reached in this slot", reason=str(error))
            return None
        if block is not None:
            self._log.info("block final", height=block.header.height, transactions=len(block.transactions), votes=len(block.votes))
        return block

    def _is_producer(self) -> bool:
        """Says when that changes."""
        is_producer = self._engine.is_producer()
        if is_producer != self._was_producer:
            self._log.info("this host produces" if is_producer else "another host produces")
            self._was_producer = is_producer
        return is_producer

    def _submit(self) -> None:
        try:
            submit_transactions(self._index, self._engine, self._key, self._ledger.genesis.chain_id, self._ledger.height())
        except Unavailable as error:
            self._log.error("the outbox cannot be read in this slot", reason=str(error))
