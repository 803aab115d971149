"""The ledger's ports. The comment on each method is its contract."""

from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

from chain.block import FinalBlock, Proposal
from chain.watermark import Duty


class Voter(Protocol):
    """A delegate's vote, wherever its key is: in the engine's process, or elsewhere (`Mailbox` is the engine's end of that)."""

    @property
    def key(self) -> bytes:
        """The delegate's public key."""

    def vote(self, proposal: Proposal, now: float) -> bytes:
        """The signature that accepts this signed proposal at the instant `now` (seconds since the epoch).

        The voter has executed the block itself and its watermark is durable before it signs. Asked again for the same proposal it votes
        again. Any `LedgerError` is a refusal (`BlockInvalid`, `SignatureInvalid`, `DoubleSign`, `WatermarkUnwritable`); nothing was signed.
        """


class Mailbox(Protocol):
    """Where the signatures of delegates elsewhere arrive. They come by themselves: delegates ask what there is to sign."""

    def collect(self, duty: Duty, height: int, block_hash: bytes, delegates: Collection[bytes], needed: int) -> Mapping[bytes, bytes]:
        """What some of these delegates (public keys) have signed, by key: their signatures on this block of this height.

        Waits until all have come; or until `needed` have, and the others had a moment more; or until it is time to go on without. Whoever
        asks verifies them. Where nothing can be read for now, none have come. Raises nothing.
        """


class Engine(Protocol):
    """What turns submitted transactions into final blocks."""

    def submit(self, transaction: bytes, source: int) -> None:
        """Takes a transaction into the pool; durable when it returns. `source` is who asks (the outbox row): it counts once, whatever has
        become of it, so that the same may be submitted again after a crash.

        Raises `TransactionInvalid` for bytes that no state could admit. What the state refuses is recorded with its reason in its turn.
        """

    def submit_all(self, transactions: Sequence[tuple[bytes, int]]) -> None:
        """Many at once, for the price of one fsync; if it raises, none of them was taken. Raises `LeaseLost` on a host that is not the
        one that writes.
        """

    def produce(self, now: float) -> FinalBlock | None:
        """One slot's work at the instant `now` (seconds since the epoch): the block that became final, or none if none was due.

        To be called once a slot, also after a crash at any moment; what was begun is finished first, byte for byte. Raises `NoQuorum`
        when too few delegates accept; the proposal stays and the next call tries again. With several hosts, one of them produces and the
        others get none; `LeaseLost` where another took over meanwhile.
        """
