"""A delegate whose key is in this process: builds in its slot, executes what others built, and signs what its watermark allows."""

from collections.abc import Sequence

from chain.ballot import Ballot
from chain.block import BlockInvalid, Header, Proposal, block_hash, sign_header, sign_vote, verify_header_signature
from chain.checkpoint import Checkpoint, cosign, origin_of
from chain.committed import Committed
from chain.execution import Execution
from chain.findings import Code
from chain.format import LATEST
from chain.keys import COSIGNING_KEY, SigningKey
from chain.stake_entries import cosigner_at
from chain.state import Overlay
from chain.state_machine import Built, Candidate
from chain.watermark import Duty, Watermark


class LocalDelegate:
    """Executes for itself, on an overlay of its own over the shared final state; each block once, whether it builds, signs or votes."""

    def __init__(self, committed: Committed, key: SigningKey, watermark: Watermark) -> None:
        self._committed, self._key, self._watermark = committed, key, watermark
        self._executed: tuple[bytes, Execution] | None = None

    @property
    def key(self) -> bytes:
        """The public key."""
        return self._key.public

    def build(self, slot: int, candidates: Sequence[Candidate], version: int = LATEST) -> Built:
        """A block of its own for `slot`, not yet signed."""
        committed = self._committed
        built = committed.machine.build(committed.tip, committed.state, slot, candidates, version)
        if built.proposal is not None:
            self._executed = (self._hash(built.proposal), built.execution)
        return built

    def sign(self, proposal: Proposal) -> bytes:
        """The producer's signature on its own stored proposal. Raises `BlockInvalid`, `DoubleSign`."""
        block_hash_, header = self._accept(proposal)
        self._watermark.advance(Duty.PRODUCE, header.height, block_hash_)
        return sign_header(self._key, header.chain_id, proposal.header)

    def vote(self, proposal: Proposal, now: float) -> bytes:
        """See `chain.ports.Voter.vote`."""
        genesis = self._committed.machine.genesis
        block_hash_, header = self._accept(proposal)
        if header.slot > genesis.slot_at(now):
            raise BlockInvalid(Code.BLOCK_INVALID, "the block is from a slot that has not begun")
        verify_header_signature(header.producer, header.chain_id, proposal.header, proposal.signature or b"")
        self._watermark.advance(Duty.VOTE, header.height, block_hash_)
        return sign_vote(self._key, header.chain_id, header.height, block_hash_)

    def cosign(self, now: int) -> Ballot | None:
        """Its cosignature of the checkpoint of the last final block, as this process has it; none if no key of this delegate is registered.

        The mark is the vote's kind: never an earlier block than one before, never another block at its height, durable before it signs. A
        final block follows from those before it, so no two checkpoints that are cosigned contradict each other. Raises `DoubleSign`.
        """
        tip, chain_id = self._committed.tip, self._committed.machine.genesis.chain_id
        registered, key = cosigner_at(Overlay(self._committed.state), self.key), self._key.derived(COSIGNING_KEY)
        if tip.height == 0 or registered is None or registered.key != key.public:
            return None
        self._watermark.advance(Duty.COSIGN, tip.height, tip.hash)
        checkpoint = Checkpoint(origin_of(chain_id), tip.log.size, tip.log.root())
        return Ballot(Duty.COSIGN, tip.height, tip.hash, self.key, cosign(key, checkpoint, now))

    def execution(self, block_hash_: bytes) -> Execution | None:
        """What the block does, if it is the last one that this delegate accepted."""
        return self._executed[1] if self._executed and self._executed[0] == block_hash_ else None

    def close(self) -> None:
        self._watermark.close()

    def _accept(self, proposal: Proposal) -> tuple[bytes, Header]:
        """Executes the block unless it is the one executed last."""
        block_hash_, header = self._hash(proposal), Header.from_bytes(proposal.header)
        if self.execution(block_hash_) is None:
            committed = self._committed
            execution = committed.machine.execute(committed.tip, committed.state, header, proposal.transactions)
            self._executed = (block_hash_, execution)
        return block_hash_, header

    def _hash(self, proposal: Proposal) -> bytes:
        return block_hash(self._committed.machine.genesis.chain_id, proposal.header)
