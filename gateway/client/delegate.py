"""A delegate at another institution at work: follow the gateway's chain, vote on what is proposed, refuse and keep what does not hold.

What the gateway shows is checked against this delegate's own copy. Whatever contradicts what was final ends the work, with a proof kept:
which of two histories is the right one is for people to find out, and until then nothing is signed. A proposal that does not hold is
refused, and the work goes on: the next may hold.
"""

import os
import time
from collections.abc import Callable
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

import msgspec

from chain.ballot import Ballot
from chain.block import BlockInvalid, FinalBlock, FormatUnknown, Header, Proposal
from chain.database import LedgerUnreachable
from chain.findings import Code, Finding
from chain.genesis import Genesis
from chain.keys import SignatureInvalid
from chain.replica import Replica
from chain.watermark import DoubleSign, Duty, WatermarkUnwritable
from gateway.client.blocks import BallotNotTaken, ChainUnreachable, RemoteChain
from gateway.client.watched_log import WatchedLog
from gateway.vault.submission import to_base64url

PATROL = 2  # old blocks that are compared again at each turn
LEAST_TURN = 0.05  # seconds: no gateway can keep a delegate busier than so
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 15.0  # seconds between two tries to reach the gateway
EARLY = 5.0  # seconds that the gateway's clock may be ahead: a block that comes so much too early is waited for
MAX_PROOFS = 100

Say = Callable[..., None]  # event, and facts by name


class ChainContradicted(Exception):
    """What the gateway shows is not the chain that this delegate knows; `finding` says where, `shown` is the block or the checkpoint."""

    def __init__(self, finding: Finding, shown: FinalBlock | bytes | None) -> None:
        super().__init__(f"{finding.subject}: {finding.detail}")
        self.finding, self.shown = finding, shown


class Delegation:
    """The work of one delegate. `say` hears of everything; `clock` in seconds since the epoch."""

    def __init__(
        self,
        replica: Replica,
        genesis: Genesis,
        chain: RemoteChain,
        proofs: Path,
        say: Say,
        *,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._replica, self._genesis, self._chain, self._proofs, self._say = replica, genesis, chain, proofs, say
        self._clock, self._sleep = clock, sleep
        self._after = ""
        self._sent: Ballot | None = None  # on the block that is proposed now
        self._early: Proposal | None = None  # proposed now, and refused because its slot is still to come
        self._cosigned = self._patrolled = 0  # heights
        self._waits: tuple[int, str | None] = -1, None  # at which height it was looked why this delegate does not vote, and why
        self._log = WatchedLog(replica, chain)
        self._is_unseen = False  # whether it was said that the checkpoint cannot be had

    def run(self) -> None:
        """Until it is interrupted. Raises ChainContradicted once the proof is kept, FormatUnknown where only a later program can go on."""
        pause = FIRST_PAUSE
        while True:
            try:
                self.turn()
            except (ChainUnreachable, LedgerUnreachable, WatermarkUnwritable) as error:
                event = "unreachable" if isinstance(error, ChainUnreachable) else "paused"
                self._say(event, reason=str(error), again_in=pause)
                self._sleep(pause)
                pause = min(2 * pause, LONGEST_PAUSE)
            except ChainContradicted as error:
                self._refuse(error.finding, {} if error.shown is None else _shown(error.shown))
                raise
            else:
                pause = FIRST_PAUSE
                self._sleep(LEAST_TURN)

    def turn(self) -> None:
        """Asks once what is new, and deals with it. Raises ChainUnreachable, ChainContradicted, FormatUnknown."""
        progress = self._chain.progress(self._after)
        if progress is not None:
            self._sent = self._early = None
            self._follow(progress.height, progress.hash)
            self._say_why_waiting()
        is_seen = self._inspect()
        if progress is not None:
            if is_seen:
                self._cosign()
            if progress.proposal is not None:
                self._answer(progress.proposal)
            self._after = progress.after
        elif self._sent is not None:
            self._send(self._sent)  # the block still waits; a gateway may have lost it
        elif self._early is not None and self._until_slot(self._early) <= 0:
            self._answer(self._early)  # a clock was wrong, and time has come to it
        self._patrol()

    def _say_why_waiting(self) -> None:
        """Once for each reason; and that it votes, once it does."""
        height, (looked_at, before) = self._replica.height, self._waits
        if height == looked_at:
            return
        why = self._replica.why_not_acting()
        if why is not None and why != before:
            self._say("waiting", height=height, reason=why)
        elif why is None and before is not None:
            self._say("acting", height=height)
        self._waits = height, why

    def _follow(self, height: int, hash_: bytes) -> None:
        """Takes every block up to the gateway's last one, and finds out where that is another than the one here."""
        replica = self._replica
        if height < replica.height:
            self._locate(height)
            finding = Finding(
                Code.BLOCK_MISSING, f"height {height + 1}", f"the chain was final up to height {replica.height}, and ends before"
            )
            raise ChainContradicted(finding, None)
        while replica.height < height:
            self._append(replica.height + 1)
        if replica.hash != hash_:
            self._locate(replica.height)
            raise ChainUnreachable("the gateway contradicts itself about its last block")

    def _inspect(self) -> bool:
        """The log's checkpoint as outsiders get it; whether it could be had. What the log has signed and is not the chain ends the work, as
        another block does. Votes do not wait for it: else the chain would stand still with what only shows it to outsiders.
        """
        try:
            fault = self._log.look()
        except ChainUnreachable as error:
            if not self._is_unseen:
                self._say("checkpoint-unseen", reason=str(error))
            self._is_unseen = True
            return False
        self._is_unseen = False
        if fault is not None and fault.finding.code is Code.SPLIT_VIEW:
            raise ChainContradicted(fault.finding, fault.note)
        if fault is not None:
            self._refuse(fault.finding, _shown(fault.note))
        return True

    def _cosign(self) -> None:
        """The checkpoint of the last final block, each once, if a key of this delegate is registered for it. Not while the gateway shows
        one to outsiders that does not hold, or none can be had: what is missing below it is seen.
        """
        height, hash_ = self._replica.height, self._replica.hash
        if self._cosigned == height or not self._log.holds:
            return
        try:
            ballot = self._replica.cosign(int(self._clock()))
            if ballot is not None:
                self._send(ballot)
        except DoubleSign as error:  # a copy that was begun anew has not come as far as the one before it
            self._say("not-taken", duty=Duty.COSIGN.value, height=height, hash=hash_.hex(), reason=str(error))
        self._cosigned = height

    def _append(self, height: int) -> None:
        block = None
        try:
            block = self._chain.block(height)
            if block is None:
                raise BlockInvalid(Code.BLOCK_MISSING, "the gateway says that its chain is longer, but there is no such block")
            self._replica.append(block)
        except (BlockInvalid, SignatureInvalid) as error:
            self._locate(height - 1)  # an earlier block may be the reason
            if isinstance(error, FormatUnknown):
                raise
            code = error.code if isinstance(error, BlockInvalid) else Code.BLOCK_INVALID
            raise ChainContradicted(Finding(code, f"height {height}", str(error)), block) from error
        self._say("followed", height=height, hash=block.hash.hex(), transactions=len(block.transactions), votes=len(block.votes))

    def _answer(self, proposal: Proposal) -> None:
        """Signs what holds and sends it; refuses the rest. What is not the next block (any more) is no matter."""
        try:
            self._early = None
            if Header.from_bytes(proposal.header).height <= self._replica.height:
                return
            early = self._until_slot(proposal)
            if 0 < early <= EARLY:
                self._sleep(early)
            elif early > 0:
                self._early = proposal
            ballot = self._replica.sign(proposal, self._clock())
        except FormatUnknown:
            raise
        except (BlockInvalid, SignatureInvalid, DoubleSign) as error:
            code = error.code if isinstance(error, BlockInvalid) else Code.BLOCK_INVALID
            self._refuse(Finding(code, f"height {self._replica.height + 1}, proposed", str(error)), _shown(proposal))
            return
        if ballot is not None:
            self._send(ballot)

    def _until_slot(self, proposal: Proposal) -> float:
        """Seconds until the slot of the block begins, by this delegate's clock."""
        return self._genesis.slot_time(Header.from_bytes(proposal.header).slot) - self._clock()

    def _send(self, ballot: Ballot) -> None:
        """A ballot that is refused was overtaken: the block is final, or no longer proposed."""
        told = {"duty": ballot.duty.value, "height": ballot.height, "hash": ballot.block_hash.hex()}
        try:
            self._chain.send(ballot)
        except BallotNotTaken as error:
            self._say("not-taken", **told, reason=str(error))
            return
        if ballot != self._sent:
            self._say("signed", **told)
        self._sent = ballot

    def _patrol(self) -> None:
        """Compares some old blocks with the gateway's, all of them in turn: what was final must still be shown as it was."""
        first, last = self._replica.first, self._replica.height
        for _ in range(min(PATROL, last - first + 1)):
            self._patrolled = self._patrolled + 1 if first <= self._patrolled < last else first
            self._compare(self._patrolled)

    def _compare(self, height: int) -> None:
        try:
            block = self._chain.block(height)
        except BlockInvalid as error:
            raise ChainContradicted(Finding(Code.BLOCK_INVALID, f"height {height}", str(error)), None) from error
        found = self._replica.difference(height, block)
        if found is not None:
            raise ChainContradicted(found, block)

    def _locate(self, height: int) -> None:
        """If the gateway's block of `height` is another than the one here, raises ChainContradicted for the first one that is."""
        same, other = self._replica.first - 1, height
        if height <= same or self._is_same(height):
            return
        while other - same > 1:
            middle = (same + other) // 2
            same, other = (middle, other) if self._is_same(middle) else (same, middle)
        self._compare(other)

    def _is_same(self, height: int) -> bool:
        try:
            return self._replica.difference(height, self._chain.block(height)) is None
        except BlockInvalid:
            return False

    def _refuse(self, finding: Finding, shown: dict[str, object]) -> None:
        """Keeps what was shown beside this delegate's own copy, and says so."""
        told = {"code": finding.code.value, "subject": finding.subject, "detail": finding.detail}
        text = msgspec.json.format(msgspec.json.encode({**told, "shown": shown}), indent=1)
        proof = self._proofs / f"{sha256(text).hexdigest()[:16]}.json"
        self._proofs.mkdir(exist_ok=True)
        if not proof.exists() and sum(1 for _ in self._proofs.iterdir()) < MAX_PROOFS:
            with suppress(OSError):  # a full disk must not keep the refusal from being told
                _keep(proof, text)
        self._say("refused", **told, proof=str(proof) if proof.exists() else None)


def _shown(what: FinalBlock | Proposal | bytes) -> dict[str, object]:
    """The bytes, as the gateway writes them; those of a checkpoint as text, if they are one."""
    if isinstance(what, bytes):
        return {"checkpoint": what.decode(errors="backslashreplace")}
    header = what.header if isinstance(what, Proposal) else what.header.to_bytes()
    shown: dict[str, object] = {
        "header": to_base64url(header),
        "signature": None if what.signature is None else to_base64url(what.signature),
        "transactions": [to_base64url(transaction) for transaction in what.transactions],
    }
    if isinstance(what, FinalBlock):
        shown["votes"] = [[vote.delegate, to_base64url(vote.signature)] for vote in what.votes]
    return shown


def _keep(proof: Path, text: bytes) -> None:
    """It has its name only once it is whole: half a proof proves nothing, and would stand in the way of the whole one."""
    part = proof.with_suffix(".part")
    with part.open("wb") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    part.replace(proof)
