"""A delegate elsewhere that votes for two blocks of one height: what it sent is the evidence, and the ledger removes it for good.

See docs/design/ledger.md, EVIDENCE. The jobs process signs it with the key of a delegate here. Of one delegate a single EVIDENCE waits or
is set aside, so that whoever votes for a thousand blocks writes no more than who votes for two.
"""

from chain.ballot import Ballot
from chain.evidence import EvidenceBody, Offence, evidence_of
from chain.keys import SignatureInvalid
from chain.kinds import Kind
from chain.ledger import Ledger
from chain.stake_entries import Standing
from chain.watermark import Duty
from gateway.index import ballots, outbox
from gateway.index.database import Index
from gateway.logs import logger


def report_equivocation(index: Index, ledger: Ledger, ballot: Ballot, now: int) -> EvidenceBody | None:
    """Put in line what the ballot of an acting delegate proves, if it is a vote for another block than the one it voted for already.

    `now` in seconds. Raises Unavailable.
    """
    entry = ledger.delegates.delegate(ballot.delegate)
    if ballot.duty is not Duty.VOTE or entry is None or entry.standing is Standing.REMOVED:
        return None
    other = _earlier_vote(index, ledger, ballot)
    if other is None or other[0] == ballot.block_hash or not is_signed(ballot, ledger):
        return None
    evidence = evidence_of(Offence.VOTED, ballot.delegate, ballot.height, other, (ballot.block_hash, ballot.signature))
    with index.atomic() as connection:
        if any(ballot.delegate in body for body in outbox.held(connection, Kind.EVIDENCE)):  # no body names another delegate than its own
            return None
        outbox.add(connection, evidence, now)
    logger().error("a delegate voted for two blocks of one height", delegate=entry.name, height=ballot.height)
    return evidence


def _earlier_vote(index: Index, ledger: Ledger, ballot: Ballot) -> tuple[bytes, bytes] | None:
    """The block hash and the signature of the vote that was counted at this height, or is kept to be counted."""
    counted = ledger.delegates.vote(ballot.height, ballot.delegate)
    if counted is not None:
        return counted
    with index.reading() as connection:
        return ballots.kept(connection, ballot.duty, ballot.height, ballot.delegate)


def is_signed(ballot: Ballot, ledger: Ledger) -> bool:
    """Whether a vote is its delegate's own: anyone may send one in another's name."""
    try:
        ballot.verify(ledger.genesis.chain_id, b"")
    except SignatureInvalid:
        return False
    return True
