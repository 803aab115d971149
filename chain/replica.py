"""A copy of the chain elsewhere, and a delegate's: every block and vote in it was checked here, from the genesis or a snapshot on.

Nothing that it is given is believed. Order of what becomes durable: a final block with all that follows from it in one transaction of the
copy's database; a mark before each signature. After a crash the copy is a shorter chain and goes on from there, and the same may be signed
again.
"""

from pathlib import Path

from chain.ballot import Ballot
from chain.block import BlockInvalid, FinalBlock, Header, Proposal, block_hash, verify_header_signature, verify_quorum
from chain.committed import Committed
from chain.delegate import LocalDelegate
from chain.errors import LedgerError
from chain.execution import Execution
from chain.findings import Code, Finding
from chain.genesis import Genesis
from chain.keys import SigningKey
from chain.ledger import Ledger
from chain.merkle import leaf_hash
from chain.shown_checkpoint import checkpoint_fault
from chain.state_machine import StateMachine
from chain.store import LedgerStore
from chain.watermark import Duty, Watermark


class Copy:
    """The only writer of its store: `append` what is final."""

    def __init__(self, store: LedgerStore, committed: Committed) -> None:
        self._store, self._committed = store, committed
        self._genesis = committed.machine.genesis
        self._is_behind = False  # whether a block may be stored without this object knowing

    @property
    def height(self) -> int:
        """Of the last final block here."""
        return self._committed.tip.height

    @property
    def hash(self) -> bytes:
        """Of the last final block here, the chain id before the first."""
        return self._committed.tip.hash

    def append(self, block: FinalBlock) -> None:
        """Takes the next final block; durable when it returns.

        Raises `BlockInvalid` or `SignatureInvalid` and takes nothing, unless it follows from this copy and a quorum voted for it.
        """
        self._catch_up()
        machine, tip = self._committed.machine, self._committed.tip
        for fault in machine.header_faults(tip, block.header, block.transactions):
            raise fault
        verify_header_signature(block.header.producer, self._genesis.chain_id, block.header.to_bytes(), block.signature)
        verify_quorum(self._genesis.chain_id, tip.acting, block.header.height, block.hash, block.votes)
        execution = self._executed(block) or machine.execute(tip, self._committed.state, block.header, block.transactions)
        self._is_behind = True
        self._store.finalise(block, execution)
        self._committed.advance(block, execution)
        self._is_behind = False

    def _catch_up(self) -> None:
        if self._is_behind:
            self._committed.reload(self._store)
            self._is_behind = False

    def _executed(self, block: FinalBlock) -> Execution | None:  # noqa: ARG002 - who votes may have executed the block before
        """What the block does, where that is known already."""
        return None


class Replica(Copy):
    """A delegate's copy. `sign` what is proposed, `difference` from what somebody else has."""

    def __init__(self, store: LedgerStore, committed: Committed, delegate: LocalDelegate) -> None:
        super().__init__(store, committed)
        self._delegate, self._reader = delegate, Ledger(store, self._genesis)
        self.first, self.beginning = self._reader.bounds()

    @classmethod
    def open(cls, store: LedgerStore, genesis: Genesis, key: SigningKey, watermark: Path) -> "Replica":
        """The copy as it is stored. Raises `LedgerDamaged` and `WatermarkUnusable`."""
        committed = Committed.load(StateMachine(genesis), store)
        return cls(store, committed, LocalDelegate(committed, key, Watermark(watermark, genesis.chain_id, key.public)))

    @property
    def is_acting(self) -> bool:
        """Whether this delegate votes on the next block."""
        return self._delegate.key in self._committed.tip.acting.keys

    def why_not_acting(self) -> str | None:
        """See `chain.delegates`."""
        self._catch_up()
        return self._reader.delegates.why_not_acting(self._delegate.key)

    def sign(self, proposal: Proposal, now: float) -> Ballot | None:
        """The delegate's vote or, on a block of its own that is not signed yet, its signature as producer. None if it has no part in it.

        Raises `LedgerError` for a refusal; nothing was signed.
        """
        self._catch_up()
        header = Header.from_bytes(proposal.header)
        if not self.is_acting or (proposal.signature is None and header.producer != self._delegate.key):
            return None
        if proposal.signature is not None:
            duty, signature = Duty.VOTE, self._delegate.vote(proposal, now)
        else:
            if header.slot > self._genesis.slot_at(now):
                raise BlockInvalid(Code.BLOCK_INVALID, "the block is from a slot that has not begun")
            duty, signature = Duty.PRODUCE, self._delegate.sign(proposal)
        return Ballot(duty, header.height, block_hash(self._genesis.chain_id, proposal.header), self._delegate.key, signature)

    def cosign(self, now: int) -> Ballot | None:
        """See `LocalDelegate.cosign`."""
        self._catch_up()
        return self._delegate.cosign(now)

    def difference(self, height: int, block: FinalBlock | None) -> Finding | None:
        """What somebody else's block of a height that is here has other than this copy's; `block` is None if they have none."""
        return difference(self._reader, height, block)

    def checkpoint_fault(self, shown: bytes) -> Finding | None:
        """See `chain.shown_checkpoint`. Raises CheckpointAhead."""
        return checkpoint_fault(self._reader, shown)

    def close(self) -> None:
        """Lets go of the watermark. The store is the caller's."""
        self._delegate.close()

    def _executed(self, block: FinalBlock) -> Execution | None:
        """What the block does, if it was executed when it was proposed, with these very transactions."""
        execution = self._delegate.execution(block.hash)
        if execution is None or [leaf_hash(raw) for raw in block.transactions] != [item.leaf_hash for item in execution.recorded]:
            return None
        return execution


def difference(reader: Ledger, height: int, theirs: FinalBlock | None) -> Finding | None:
    """The first thing in which their block of a height is not ours; where only its header is here, the first where they differ."""
    header = reader.header(height)
    if header is None:
        raise LedgerError(f"there is no block of height {height} here to compare with")
    subject = f"height {height}"
    if theirs is None:
        return Finding(Code.BLOCK_MISSING, subject, "there is no such block any more")
    if theirs.hash != header.hash():
        names = [name for name in header.__struct_fields__ if getattr(header, name) != getattr(theirs.header, name)]
        return Finding(Code.BLOCK_INVALID, subject, f"the header is not the one that was final; it has another {', '.join(names)}")
    ours = reader.block(height)
    return None if ours is None else _difference(ours, theirs, subject)


def _difference(ours: FinalBlock, theirs: FinalBlock, subject: str) -> Finding | None:
    """Of two blocks with one header."""
    for index, (one, other) in enumerate(zip(ours.transactions, theirs.transactions, strict=False), ours.first_log_index):
        if one != other:
            return Finding(Code.LOG_MISMATCH, f"transaction {index}", f"it is not the one that the block of {subject} recorded")
    if len(ours.transactions) != len(theirs.transactions):
        counts = f"the number of transactions is {len(theirs.transactions)}, where {len(ours.transactions)} were recorded"
        return Finding(Code.LOG_MISMATCH, subject, counts)
    if theirs.signature != ours.signature:
        return Finding(Code.BLOCK_INVALID, subject, "the producer's signature is not the one that was final")
    if theirs.votes != ours.votes:
        return Finding(Code.VOTE_INVALID, subject, "the votes are not those that made the block final")
    return None
