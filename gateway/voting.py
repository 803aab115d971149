"""Ballots that delegates elsewhere send in: each is checked as it comes, and kept for the jobs process, the ledger's only writer.

Anyone may send one. Kept is only what an acting delegate's key has signed over the very block that is proposed now, and what the cosigning
key of a delegate that stands has signed of the last final block's checkpoint; so nobody else can write here, and a delegate no more than
its own three rows. What is refused is logged with the delegate's name, and
whether a signature shows that it was the delegate's: anyone may send another's name.
"""

from chain.ballot import MAX_BALLOT_BYTES, Ballot, BallotInvalid
from chain.block import Header, Proposal, block_hash
from chain.keys import SignatureInvalid
from chain.ledger import Ledger
from chain.note import VerifierKey
from chain.watermark import Duty
from gateway.checkpoints import checkpoint_of, cosigner_of
from gateway.equivocation import is_signed, report_equivocation
from gateway.errors import Conflict, Forbidden, Refused
from gateway.index import ballots
from gateway.index.database import Index, LostRace
from gateway.logs import logger

MAX_BYTES = MAX_BALLOT_BYTES
MAX_AHEAD = 60  # seconds that a cosigner's clock may be ahead


class BallotRefused(Refused):
    """It does not hold, and never will."""

    status = 422
    code = "business-rule"


def take_ballot(index: Index, ledger: Ledger, raw: bytes, now: int) -> Ballot:
    """Keep a delegate's ballot; one that is there already is not written again. `now` in seconds.

    A vote that is refused, but shows that the delegate voted for two blocks of one height, is reported to the ledger.

    Raises BallotRefused, Forbidden for who does not act or cosign, Conflict for a block that is not proposed, or not the last one (any
    more), Unavailable.
    """
    ballot = _checked(index, ledger, raw, now)
    with index.reading() as connection:
        is_there = ballots.has(connection, ballot)
    if not is_there:
        try:
            with index.atomic() as connection:
                ballots.put(connection, ballot)
        except LostRace:
            return take_ballot(index, ledger, raw, now)  # its first came twice at once; now there is a row
    return ballot


def _checked(index: Index, ledger: Ledger, raw: bytes, now: int) -> Ballot:
    """The ballot, by who may send one, if it holds."""
    try:
        ballot = Ballot.from_bytes(raw)
    except BallotInvalid as error:
        raise BallotRefused(str(error)) from error
    verifier = cosigner_of(ledger, ballot.delegate) if ballot.duty is Duty.COSIGN else None
    if verifier is None and (ballot.duty is Duty.COSIGN or ballot.delegate not in ledger.delegates.acting().keys):
        raise Forbidden("this key is no acting delegate's, or of one that has no key to cosign with")
    try:
        if verifier is None:
            _check(ballot, ledger)
        else:
            _check_cosignature(ballot, ledger, verifier, now)
    except Refused as refusal:
        is_own = ballot.duty is Duty.VOTE and is_signed(ballot, ledger)
        told = {"delegate": _name(ledger, ballot.delegate), "duty": ballot.duty.value, "height": ballot.height, "reason": str(refusal)}
        logger().warning("a delegate's ballot was refused", **told, proven=is_own)
        report_equivocation(index, ledger, ballot, now)
        raise
    return ballot


def _check(ballot: Ballot, ledger: Ledger) -> None:
    proposal = ledger.proposal()
    if proposal is None:
        raise Conflict("no block is proposed now")
    header = Header.from_bytes(proposal.header)
    if ballot.height != header.height:
        raise Conflict(f"the block that is proposed now has height {header.height}")
    if ballot.block_hash != block_hash(header.chain_id, proposal.header):
        raise Conflict("another block is proposed at this height")
    _check_duty(ballot, proposal, header)
    try:
        ballot.verify(ledger.genesis.chain_id, proposal.header)
    except SignatureInvalid as error:
        raise BallotRefused(str(error)) from error


def _check_cosignature(ballot: Ballot, ledger: Ledger, verifier: VerifierKey, now: float) -> None:
    head = ledger.head()
    if head is None or (ballot.height, ballot.block_hash) != (head.height, head.hash()):
        raise Conflict("another block is the last final one")
    try:
        signed_at = verifier.verify(checkpoint_of(head).to_text().encode(), ballot.signature)
    except SignatureInvalid as error:
        raise BallotRefused(str(error)) from error
    if signed_at is None or signed_at > now + MAX_AHEAD:
        raise BallotRefused("the cosignature is from a time that has not come")


def _check_duty(ballot: Ballot, proposal: Proposal, header: Header) -> None:
    if ballot.duty is Duty.PRODUCE and ballot.delegate != header.producer:
        raise BallotRefused("the block is another producer's")
    if ballot.duty is Duty.VOTE and proposal.signature is None:
        raise Conflict("the producer has not signed the block yet")


def _name(ledger: Ledger, key: bytes) -> str:
    """A delegate as people know it."""
    names = {delegate.key: delegate.name for delegate in ledger.genesis.delegates}
    entry = ledger.delegates.delegate(key)
    return entry.name if entry is not None else names.get(key, key.hex())
