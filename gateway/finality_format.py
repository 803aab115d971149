"""What every receipt and proof rests on, as their files have it: a final header, its votes, the handovers before it; and a log's leaf.

docs/design/receipt.md is the specification.
"""

from collections.abc import Sequence
from typing import TypedDict

from chain import proof
from chain.block import Vote
from gateway.receipt_json import File, Hash, Number, Part, Raw

Votes = tuple[tuple[Number, Raw], ...]


class Handover(Part, frozen=True):
    """A final header that names other delegates for the next epoch, and their public keys by index."""

    header: Raw
    votes: Votes
    delegates: tuple[Hash, ...]


class Evidence(File, frozen=True, kw_only=True):
    """A file that ends with what shows that a quorum accepted its header."""

    header: Raw
    votes: Votes
    handovers: tuple[Handover, ...]  # every change of the acting set since the genesis, or since the pin of whoever asked


class Final(TypedDict):
    """The fields of `Evidence`."""

    header: Raw
    votes: Votes
    handovers: tuple[Handover, ...]


class LoggedTransaction(Part, frozen=True):
    """Leaf of a transaction in the log whose size and root the header says."""

    transaction: Raw
    index: Number
    path: tuple[Hash, ...]


def shown(final: proof.Finality) -> Final:
    """What a ledger shows of a header, as files have it."""
    handovers = (Handover(Raw(one.header), _shown_votes(one.votes), tuple(map(Hash, one.delegates))) for one in final.handovers)
    return Final(header=Raw(final.header), votes=_shown_votes(final.votes), handovers=tuple(handovers))


def logged(recorded: proof.LogProof) -> LoggedTransaction:
    """The leaf that a ledger proves, as files have it."""
    return LoggedTransaction(Raw(recorded.transaction), recorded.index, tuple(map(Hash, recorded.path)))


def votes_in(votes: Votes) -> tuple[Vote, ...]:
    """The votes that a file has, which nobody has verified."""
    return tuple(Vote(delegate, signature) for delegate, signature in votes)


def handovers_in(handovers: Sequence[Handover]) -> list[proof.Handover]:
    """The handovers that a file has, which nobody has verified."""
    return [proof.Handover(one.header, votes_in(one.votes), tuple(map(bytes, one.delegates))) for one in handovers]


def _shown_votes(votes: Sequence[Vote]) -> Votes:
    return tuple((vote.delegate, Raw(vote.signature)) for vote in votes)
