"""Signing the log's checkpoint after each final block, with the cosignatures of the delegates here (docs/design/checkpoint.md)."""

from chain.ballot import Ballot
from chain.database import LedgerUnreachable
from chain.engine import EmbeddedEngine
from chain.errors import LedgerError
from chain.keys import SigningKey
from chain.ledger import Ledger
from chain.watermark import Duty, Watermark
from gateway.checkpoints import checkpoint_of
from gateway.errors import Unavailable
from gateway.index import ballots
from gateway.index.database import Index
from gateway.logs import logger


class CheckpointSigning:
    """The log's key with its mark. The mark is a delegate's kind: no checkpoint of an earlier block, nor of another at its height."""

    def __init__(self, index: Index, engine: EmbeddedEngine, ledger: Ledger, key: SigningKey, watermark: Watermark) -> None:
        self._index, self._engine, self._ledger, self._key, self._watermark = index, engine, ledger, key, watermark
        self._signed = 0  # height
        self._log = logger()

    def sign(self, now: float) -> None:
        """The head as it is at `now` (seconds since the epoch), once a block; again with the next call if anything hinders it."""
        try:
            if self._ledger.height() != self._signed and self._engine.is_producer():
                self._sign(now)
        except (LedgerUnreachable, Unavailable) as error:
            self._log.error("the checkpoint cannot be signed in this slot", reason=str(error))
        except LedgerError as error:
            self._log.warning("the checkpoint is not signed", reason=str(error))

    def _sign(self, now: float) -> None:
        head = self._ledger.head()
        if head is None or self._key.public not in self._ledger.log_keys():
            return
        hash_ = head.hash()
        self._watermark.advance(Duty.COSIGN, head.height, hash_)
        own = Ballot(Duty.COSIGN, head.height, hash_, self._key.public, self._key.sign_note(checkpoint_of(head).to_text().encode()))
        made = [own, *self._engine.cosign(int(now))]
        with self._index.atomic() as connection:
            for one in made:
                ballots.put(connection, one)
        self._signed = head.height
