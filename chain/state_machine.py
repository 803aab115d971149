"""What a block means, decided without any IO: check a transaction, build a block, execute one (docs/design/ledger.md).

Everything is a function of the genesis, the final chain (`Tip` and `State`) and the bytes given: no clock, no randomness.
Building is executing: a delegate that built a block has executed it.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from msgspec import Struct

from chain.block import BlockInvalid, Header, Proposal, bitmap
from chain.delegate_set import DelegateSet
from chain.election import ATTENDANCE_BLOCKS, Attended, end_epoch, found_stake
from chain.entries import PartyEntry
from chain.execution import Execution
from chain.findings import Code
from chain.format import FORMATS, LATEST, Format
from chain.genesis import Genesis
from chain.log import LogHead
from chain.refusal import Reason, TransactionRefused
from chain.rules import write_party
from chain.schedule import is_last_of_epoch, producer_index
from chain.state import Overlay, State


class Tip(Struct, frozen=True):
    """The end of the final chain: all that the next header depends on besides the state."""

    height: int
    hash: bytes  # the chain id at height 0
    slot: int  # -1 at height 0
    log: LogHead
    voters: bytes  # bitmap of the votes that made this block final
    seed: bytes  # block hash (or chain id) that the next block's schedule is drawn from
    acting: DelegateSet  # who produces and votes on the next block
    following: DelegateSet  # who acts in the epoch after the next block's
    attendance: tuple[Attended, ...] = ()  # of the last 100 blocks, where delegates are elected
    version: int = 0  # of the last header; before the first any may follow


class Candidate(Struct, frozen=True, gc=False):
    """A pending transaction and the source that submitted it."""

    source: int
    raw: bytes


class Rejection(Struct, frozen=True):
    """A candidate that was not and will not be recorded."""

    source: int
    reason: Reason


class Built(Struct, frozen=True):
    """A block, what it does, and the candidates that were refused on the way; no proposal where no block is called for."""

    proposal: Proposal | None
    execution: Execution
    rejections: tuple[Rejection, ...]


class StateMachine:
    """The rules of one chain."""

    def __init__(self, genesis: Genesis) -> None:
        self.genesis = genesis

    def start(self) -> Tip:
        """The chain before its first block."""
        chain_id, first = self.genesis.chain_id, self.genesis.first_set
        return Tip(0, chain_id, -1, LogHead(), bitmap((), len(first.keys)), chain_id, first, first)

    def genesis_entries(self) -> list[tuple[bytes, bytes]]:
        """The state before the first block, in the order of keys."""
        overlay = Overlay(State(lambda _: (), ()))
        for party in self.genesis.parties:
            write_party(overlay, party.client_id, PartyEntry.of(party, None))
        if self.genesis.seats:
            found_stake(overlay, self.genesis)
        return sorted(overlay.changes.items())

    def producer(self, tip: Tip, slot: int) -> int:
        """The index, in the acting set, of the delegate that may produce the block after `tip` in `slot`."""
        return producer_index(self.genesis.chain_id, len(tip.acting.keys), tip.seed, slot)

    def is_heartbeat_due(self, tip: Tip, slot: int) -> bool:
        """Whether an empty block may be made: only after a long silence, so that an idle chain stays small."""
        return slot - tip.slot >= self.genesis.heartbeat_slots

    def build(self, tip: Tip, state: State, slot: int, candidates: Sequence[Candidate], version: int = LATEST) -> Built:
        """The block of `slot` with as many of `candidates` as one of `version` holds, in their order."""
        execution = self.execution(tip, state)
        fitting = _fitting(candidates, FORMATS[version])
        transactions, rejections = [], []
        for candidate, parsed in zip(fitting, execution.read([candidate.raw for candidate in fitting]), strict=True):
            try:
                execution.record(parsed)
            except TransactionRefused as refusal:
                rejections.append(Rejection(candidate.source, refusal.reason))
            else:
                transactions.append(candidate.raw)
        if not transactions and not self.is_heartbeat_due(tip, slot):
            return Built(None, execution, tuple(rejections))
        self.end_block(tip, execution)
        log = execution.log()
        due = self._due(tip, slot)
        header = Header(version=version, **due, log_size=log.size, log_root=log.root(), state_root=execution.overlay.root())
        return Built(Proposal(header.to_bytes(), tuple(transactions)), execution, tuple(rejections))

    def execute(self, tip: Tip, state: State, header: Header, transactions: Sequence[bytes]) -> Execution:
        """Executes a block after `tip`. Raises `BlockInvalid` unless every value of the header is what it must be.

        The producer's signature is the caller's to check: it is no part of a block's meaning.
        """
        for fault in self.header_faults(tip, header, transactions):
            raise fault
        execution = self.execution(tip, state)
        for place, parsed in enumerate(execution.read(transactions)):
            try:
                execution.record(parsed)
            except TransactionRefused as refusal:
                raise BlockInvalid(Code.TRANSACTION_INVALID, f"transaction {tip.log.size + place} is not admitted: {refusal}") from None
        self.end_block(tip, execution)
        log = execution.log()
        if (header.log_size, header.log_root) != (log.size, log.root()):
            raise BlockInvalid(Code.LOG_MISMATCH, "the transactions do not give the header's log")
        if header.state_root != execution.overlay.root():
            raise BlockInvalid(Code.STATE_MISMATCH, "execution does not give the header's state root")
        return execution

    def execution(self, tip: Tip, state: State) -> Execution:
        """An empty execution of the block after `tip`."""
        return Execution(self.genesis.chain_id, tip.height + 1, tip.log, state)

    def end_block(self, tip: Tip, execution: Execution) -> None:
        """What a block does after its transactions: the last one of an epoch elects."""
        if self.genesis.seats and is_last_of_epoch(tip.height + 1, self.genesis.epoch_blocks):
            execution.elected = end_epoch(execution.overlay, self.genesis, tip.following, tip.attendance)

    def header_faults(self, tip: Tip, header: Header, transactions: Sequence[bytes]) -> Iterator[BlockInvalid]:
        """Whatever of the header, log and state root aside, is not as it must be after `tip`."""
        due = self._due(tip, header.slot)
        for name in ("chain_id", "height", "time", "previous", "delegates_hash", "next_delegates_hash"):
            if getattr(header, name) != due[name]:
                yield BlockInvalid(Code.BLOCK_INVALID, f"the header has the wrong {name}")
        if header.slot <= tip.slot:
            yield BlockInvalid(Code.BLOCK_INVALID, "the slot is not later than the previous block's")
        if header.version < tip.version:
            yield BlockInvalid(Code.BLOCK_INVALID, f"the header has version {header.version}, and the chain has had {tip.version}")
        if len(transactions) > FORMATS[header.version].transactions or sum(map(len, transactions)) > FORMATS[header.version].size:
            yield BlockInvalid(Code.BLOCK_INVALID, "the block is larger than blocks may be")
        if not transactions and not self.is_heartbeat_due(tip, header.slot):
            yield BlockInvalid(Code.BLOCK_INVALID, "the block is empty and no heartbeat was due")
        if header.producer != due["producer"]:
            yield BlockInvalid(Code.SCHEDULE_INVALID, "the producer is not the slot's")
        if header.voters != due["voters"]:
            yield BlockInvalid(Code.VOTE_INVALID, "the header does not name the votes of the block before")

    def advance(self, tip: Tip, header: Header, log: LogHead, voters: bytes, elected: DelegateSet | None = None) -> Tip:
        """The tip once the block of `header` is final; `voters` is the bitmap of its votes, `elected` what its execution found."""
        hash_ = header.hash()
        attendance = (*tip.attendance, Attended(tip.acting, voters))[-ATTENDANCE_BLOCKS:] if self.genesis.seats else ()
        if not is_last_of_epoch(header.height, self.genesis.epoch_blocks):
            return Tip(header.height, hash_, header.slot, log, voters, tip.seed, tip.acting, tip.following, attendance, header.version)
        acting, following = tip.following, elected or tip.following
        return Tip(header.height, hash_, header.slot, log, voters, hash_, acting, following, attendance, header.version)

    def _due(self, tip: Tip, slot: int) -> dict[str, Any]:
        genesis = self.genesis
        return {
            "chain_id": genesis.chain_id,
            "height": tip.height + 1,
            "slot": slot,
            "time": genesis.slot_time(slot),
            "previous": tip.hash,
            "delegates_hash": tip.acting.hash,
            "next_delegates_hash": tip.following.hash,
            "producer": tip.acting.keys[self.producer(tip, slot)],
            "voters": tip.voters,
        }


def _fitting(candidates: Sequence[Candidate], limits: Format) -> Sequence[Candidate]:
    """The first candidates that one block can hold, were none of them refused."""
    size = 0
    for place, candidate in enumerate(candidates):
        size += len(candidate.raw)
        if size > limits.size or place == limits.transactions:
            return candidates[:place]
    return candidates
