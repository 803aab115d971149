"""One slot of the chain: hand over what waits in the outbox, then let the engine do the slot's work."""

from collections.abc import Sequence

from chain.block import FinalBlock
from chain.engine import EmbeddedEngine, NoQuorum
from chain.errors import LedgerError
from chain.genesis import MIN_ELECTED
from chain.keys import SigningKey
from chain.kinds import Kind
from chain.lease import LeaseLost
from chain.ledger import Ledger
from chain.schedule import is_last_of_epoch
from gateway.errors import GatewayError
from gateway.index.database import Index
from gateway.logs import logger
from jobs.submit_transactions import submit_transactions


class BlockProduction:
    """What the slot job needs, opened once."""

    def __init__(self, index: Index, engine: EmbeddedEngine, ledger: Ledger, key: SigningKey, delegates: Sequence[SigningKey] = ()) -> None:
        """`key` is the gateway's for the ledger; `delegates` are the keys of those in this process."""
        self._index, self._engine, self._ledger, self._key, self._delegates = index, engine, ledger, key, delegates
        self._was_producer: bool | None = None
        self._was_behind = False
        self._log = logger()

    def produce(self, now: float) -> FinalBlock | None:
        """The slot that `now` lies in. What hinders it is logged, and the next slot finishes what was begun.

        The chain goes on without the outbox where that cannot be read for now. On a host that another one produces for, nothing is done.
        """
        try:
            if not self._is_producer():
                return None
            self._submit()
            self._tell_clock(now)
            block = self._engine.produce(now)
            if block is not None:
                self._tell(block)
        except NoQuorum as error:
            self._log.error("no quorum in this slot", reason=str(error))
            return None
        except LeaseLost as error:
            self._log.warning("this host stops producing", reason=str(error))
            return None
        except LedgerError as error:
            self._log.error("no block in this slot", reason=str(error))
            return None
        return block

    def _tell(self, block: FinalBlock) -> None:
        self._log.info("block final", height=block.header.height, transactions=len(block.transactions), votes=len(block.votes))
        if is_last_of_epoch(block.header.height, self._ledger.genesis.epoch_blocks):
            self._tell_election()

    def _tell_clock(self, now: float) -> None:
        """Once, where time has been set back to before the last block: no slot comes until it has passed that again."""
        behind = self._ledger.ahead_by(now)
        if behind and not self._was_behind:
            self._log.warning("the clock is behind the last block: none is produced until it has caught up", seconds=behind)
        self._was_behind = bool(behind)

    def _is_producer(self) -> bool:
        """Says when that changes."""
        is_producer = self._engine.is_producer()
        if is_producer != self._was_producer:
            self._log.info("this host produces" if is_producer else "another host produces")
            self._was_producer = is_producer
        return is_producer

    def _submit(self) -> None:
        try:
            submit_transactions(self._index, self._engine, self._key_for, self._ledger.genesis.chain_id, self._ledger.height())
        except GatewayError as error:
            self._log.error("the outbox cannot be read in this slot", reason=str(error))

    def _key_for(self, kind: int) -> SigningKey:
        """The gateway's, but EVIDENCE is handed in by a delegate that stands."""
        if kind != Kind.EVIDENCE:
            return self._key
        standing = {key for key, _ in self._ledger.delegates.standing()}
        try:
            return next(key for key in self._delegates if key.public in standing)
        except StopIteration:
            raise LedgerError("no delegate of this process stands, so that one elsewhere has to hand it in") from None

    def _tell_election(self) -> None:
        """The operator hears who is to act, and of a set that stays because too few could be elected."""
        delegates = self._ledger.delegates
        self._log.info("an epoch has ended", acting=len(delegates.acting().keys), following=len(delegates.following().keys))
        if self._ledger.genesis.seats and (electable := len(delegates.electable())) < MIN_ELECTED:
            self._log.warning("fewer than four delegates can be elected: the set stays", electable=electable)
