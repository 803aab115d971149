"""The embedded engine: one block a slot at most, voted on by the delegates of this process and by those elsewhere.

See docs/design/ledger.md, finality. Order of what becomes durable, and what a crash right after it leaves:

1. the proposal, unsigned         nobody has signed; the next call signs these very bytes
2. the producer's watermark       as above: the same hash may be signed
3. the producer's signature       the next call asks for the votes
4. each voter's watermark         the next call asks again, and the same hash may be voted for again
5. block, votes, log, state, index in one transaction, proposal and pool rows gone: final

A delegate elsewhere keeps its own watermark and sends its signature to the mailbox (docs/design/voter.md). In its slot the block is built
here, and is its own only once it has executed and signed it. A block that its producer has not signed by the end of its slot is dropped:
without that signature nobody votes for it.

The state changes in memory after 5 only, so there is nothing to undo. With several hosts, each of the five checks the lease in its own
transaction: a producer that was replaced meanwhile writes nothing more, and its successor reads what is stored first.

With all keys in one process the chain is tamper-evident, no more.
"""

from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path

from chain.ballot import Ballot
from chain.block import (
    FinalBlock,
    Header,
    Proposal,
    Vote,
    block_hash,
    verify_header_signature,
    verify_vote,
)
from chain.committed import Committed
from chain.database import LedgerUnreachable
from chain.delegate import LocalDelegate
from chain.errors import LedgerError
from chain.execution import Execution, transaction_id
from chain.format import FORMATS, Switch, version_at
from chain.genesis import Genesis
from chain.keys import SignatureInvalid, SigningKey
from chain.lease import Lease, LeaseLost
from chain.ports import Mailbox
from chain.state_machine import StateMachine
from chain.store import LedgerStore, Submission
from chain.transactions import TransactionInvalid
from chain.watermark import DoubleSign, Duty, Watermark, create_watermark


class NoQuorum(LedgerError):
    """Too few delegates accepted the proposal; the message has each refusal. The proposal stays."""


class EmbeddedEngine:
    """See `chain.ports.Engine`. The only writer of its ledger."""

    def __init__(
        self,
        store: LedgerStore,
        committed: Committed,
        delegates: Sequence[LocalDelegate],
        mailbox: Mailbox | None = None,
        switch: Switch | None = None,
    ) -> None:
        """Without a mailbox there are no delegates elsewhere: one whose key is not here is absent. Without a switch the chain keeps the
        version of its last block.
        """
        self._store, self._committed, self._mailbox, self._switch = store, committed, mailbox, switch
        self._genesis = committed.machine.genesis
        self._delegates = {delegate.key: delegate for delegate in delegates}
        self._is_behind = False  # whether a block may have become final without this object knowing
        if not self._genesis.seats and not set(self._delegates) <= set(self._genesis.first_set.keys):
            raise ValueError("a key is not one of the genesis's delegates, and no others are elected")

    @classmethod
    def open(
        cls,
        store: LedgerStore,
        genesis: Genesis,
        keys: Iterable[tuple[SigningKey, Path]],
        mailbox: Mailbox | None = None,
        switch: Switch | None = None,
    ) -> "EmbeddedEngine":
        """The engine over what is stored; `keys` are the delegates' with the paths of their watermarks.

        In a database that several hosts may share, they have their marks in common, and a host begins its own files by itself.
        Raises `LedgerDamaged`, `FormatUnknown` and `WatermarkUnusable`.
        """
        committed = Committed.load(StateMachine(genesis), store)
        if store.is_shared:
            store.lease = Lease(store.engine, genesis.slot_seconds)
        delegates: list[LocalDelegate] = []
        try:
            for key, path in keys:
                if store.is_shared and not path.exists():
                    create_watermark(path, genesis.chain_id, key.public)
                watermark = Watermark(path, genesis.chain_id, key.public, store.put_mark if store.is_shared else None)
                delegates.append(LocalDelegate(committed, key, watermark))
        except LedgerError:
            for delegate in delegates:
                delegate.close()
            raise
        return cls(store, committed, delegates, mailbox, switch)

    def submit(self, transaction: bytes, source: int) -> None:
        """See `chain.ports.Engine.submit`."""
        self.submit_all([(transaction, source)])

    def submit_all(self, transactions: Sequence[tuple[bytes, int]]) -> None:
        """See `chain.ports.Engine.submit_all`."""
        if not self.is_producer():
            raise LeaseLost("another process writes this ledger now")
        self._store.submit([Submission(source, raw, self._identity(raw)) for raw, source in transactions])

    def is_producer(self) -> bool:
        """Whether this process is the one that writes: always with one host, else if it has the lease or can take it now."""
        return self._store.lease is None or self._store.lease.take(self._fall_behind)

    def produce(self, now: float) -> FinalBlock | None:
        """See `chain.ports.Engine.produce`."""
        if not self.is_producer():
            return None
        if self._is_behind:
            self._committed.reload(self._store)
            self._is_behind = False
        slot = self._genesis.slot_at(now)
        proposal = self._begun(slot) or self._propose(slot)
        return None if proposal is None else self._finalise(self._signed(proposal), now)

    def cosign(self, now: int) -> list[Ballot]:
        """The cosignatures of the delegates here of the last final block's checkpoint (`LocalDelegate.cosign`), but of those whose mark
        forbids it. Raises `LeaseLost`, `LedgerUnreachable`.
        """
        made: list[Ballot] = []
        for delegate in self._delegates.values() if self.is_producer() and not self._is_behind else ():
            with suppress(DoubleSign):
                ballot = delegate.cosign(now)
                made += [] if ballot is None else [ballot]
        return made

    def close(self) -> None:
        """Lets go of watermarks and lease. The store is the caller's."""
        if self._store.lease is not None:
            self._store.lease.close()
        for delegate in self._delegates.values():
            delegate.close()

    def _identity(self, raw: bytes) -> bytes:
        found = transaction_id(raw, self._genesis.chain_id)
        if found is None:
            raise TransactionInvalid("what was submitted is no transaction")
        return found

    def _fall_behind(self) -> None:
        self._is_behind = True

    def _begun(self, slot: int) -> Proposal | None:
        """The stored proposal, unless the slot of a producer elsewhere is over without its signature, or was of a clock that has been set
        back.
        """
        proposal = self._store.proposal()
        if proposal is None or proposal.signature is not None or self._mailbox is None:
            return proposal
        header = Header.from_bytes(proposal.header)
        if header.producer in self._delegates or header.slot == slot:
            return proposal
        self._store.drop_proposal(header.height)
        return None

    def _propose(self, slot: int) -> Proposal | None:
        tip, machine = self._committed.tip, self._committed.machine
        if slot <= tip.slot or slot < 0:
            return None
        producer = self._delegates.get(tip.acting.keys[machine.producer(tip, slot)])
        if producer is None and self._mailbox is None:
            return None
        version = version_at(tip.height + 1, tip.version, self._switch)
        candidates = self._store.candidates(FORMATS[version].transactions)
        if not candidates and not machine.is_heartbeat_due(tip, slot):
            return None
        if producer:
            built = producer.build(slot, candidates, version)
        else:
            built = machine.build(tip, self._committed.state, slot, candidates, version)
        self._store.put_proposal(tip.height + 1, built.proposal, built.rejections)
        return built.proposal

    def _signed(self, proposal: Proposal) -> Proposal:
        if proposal.signature is not None:
            return proposal
        header = Header.from_bytes(proposal.header)
        producer = self._delegates.get(header.producer)
        signature = producer.sign(proposal) if producer else self._producer_signature(header, proposal.header)
        self._store.put_signature(header.height, signature)
        return Proposal(proposal.header, proposal.transactions, signature)

    def _producer_signature(self, header: Header, header_bytes: bytes) -> bytes:
        """What the producer of this block, elsewhere, sent in."""
        producer, hash_ = header.producer, block_hash(header.chain_id, header_bytes)
        sent = self._mailbox.collect(Duty.PRODUCE, header.height, hash_, [producer], 1) if self._mailbox else {}
        if producer not in sent:
            raise NoQuorum(f"the delegate {producer.hex()[:16]} has not signed its block of height {header.height} in its slot")
        try:
            verify_header_signature(producer, header.chain_id, header_bytes, sent[producer])
        except SignatureInvalid as error:
            raise NoQuorum(f"the signature of the delegate {producer.hex()[:16]} on its block of height {header.height}: {error}") from None
        return sent[producer]

    def _finalise(self, proposal: Proposal, now: float) -> FinalBlock:
        header = Header.from_bytes(proposal.header)
        hash_ = block_hash(header.chain_id, proposal.header)
        votes = self._collect(proposal, header.height, hash_, now)
        assert proposal.signature is not None
        final = FinalBlock(header, hash_, proposal.signature, proposal.transactions, votes)
        execution = self._execution(proposal, header, hash_)
        self._is_behind = True  # until the store has answered: a commit whose answer is lost has happened all the same
        self._store.finalise(final, execution)
        self._committed.advance(final, execution)
        self._is_behind = False
        return final

    def _collect(self, proposal: Proposal, height: int, hash_: bytes, now: float) -> tuple[Vote, ...]:
        """Every vote of the acting set to be had, each verified; who does not answer is absent from this block's votes."""
        votes, refusals, acting = [], [], self._committed.tip.acting
        for index, key in enumerate(acting.keys):
            voter = self._delegates.get(key)
            if voter is None:
                continue
            try:
                vote = Vote(index, voter.vote(proposal, now))
                verify_vote(self._genesis.chain_id, acting, height, hash_, vote)
                votes.append(vote)
            except (LeaseLost, LedgerUnreachable):
                raise
            except LedgerError as error:
                refusals.append(f"delegate {index}: {error}")
        for index, signature in self._sent_votes(height, hash_, needed=acting.quorum - len(votes)).items():
            try:
                verify_vote(self._genesis.chain_id, acting, height, hash_, Vote(index, signature or b""))
                votes.append(Vote(index, signature or b""))
            except SignatureInvalid as error:
                refusals.append(f"delegate {index}: {error if signature else 'has not voted in time'}")
        if len(votes) < acting.quorum:
            reasons = "; ".join(refusals) or "the others are not here"
            raise NoQuorum(f"height {height} has {len(votes)} of {acting.quorum} votes: {reasons}")
        return tuple(sorted(votes))

    def _sent_votes(self, height: int, hash_: bytes, needed: int) -> dict[int, bytes | None]:
        """Index and vote of each delegate elsewhere; None of one that sent nothing."""
        keys = self._committed.tip.acting.keys
        elsewhere = {key: index for index, key in enumerate(keys) if key not in self._delegates}
        if self._mailbox is None or not elsewhere:
            return {}
        sent = self._mailbox.collect(Duty.VOTE, height, hash_, tuple(elsewhere), max(needed, 0))
        return {index: sent.get(key) for key, index in elsewhere.items()}

    def _execution(self, proposal: Proposal, header: Header, hash_: bytes) -> Execution:
        """What the voters found the block to do; they have all compared it with the same header. If none is here, it is found out here."""
        for delegate in self._delegates.values():
            execution = delegate.execution(hash_)
            if execution is not None:
                return execution
        committed = self._committed
        return committed.machine.execute(committed.tip, committed.state, header, proposal.transactions)
