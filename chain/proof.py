"""Checking from bytes alone that a quorum accepted a transaction: what a receipt rests on. No database, no network, no clock.

Everything in a proof is checked and nothing may be left over: exactly 2f+1 votes, in strictly ascending order of delegates, each valid.
"""

from collections.abc import Sequence

from msgspec import Struct

from chain.block import BlockInvalid, Header, Vote, block_hash, verify_vote
from chain.delegate_set import DelegateSet
from chain.genesis import Genesis
from chain.keys import ChainId, SignatureInvalid
from chain.merkle import HASH_SIZE, ProofError, leaf_hash, root_from_path
from chain.schedule import is_last_of_epoch


class Handover(Struct, frozen=True):
    """A final header, the last of its epoch, that names another set of delegates for the next, and that set."""

    header: bytes
    votes: tuple[Vote, ...]  # exactly a quorum, of the set that acts
    delegates: tuple[bytes, ...]  # public keys by index


class LogProof(Struct, frozen=True):
    """A transaction, its place in the log, and a final header whose log holds it."""

    transaction: bytes  # as recorded, signature included
    index: int  # in the log
    path: tuple[bytes, ...]  # siblings from the leaf up to the header's log root
    header: bytes
    votes: tuple[Vote, ...]  # exactly a quorum
    handovers: tuple[Handover, ...] = ()  # every change of the acting set since where the checker begins


class Known(Struct, frozen=True):
    """What a checker begins with: who acts after a height. Pinned from an earlier, trusted header, or the genesis."""

    height: int
    acting: DelegateSet

    @classmethod
    def at_genesis(cls, genesis: Genesis) -> "Known":
        return cls(0, genesis.first_set)


def verify_log_proof(proof: LogProof, genesis: Genesis, known: Known | None = None) -> Header:
    """The header, if all holds. Raises `ProofError` that says what does not."""
    known = verify_handovers(proof.handovers, genesis, known or Known.at_genesis(genesis))
    header = verify_finality(proof.header, proof.votes, genesis, known)
    verify_recorded(proof.transaction, proof.index, proof.path, header)
    return header


def verify_handovers(handovers: Sequence[Handover], genesis: Genesis, known: Known) -> Known:
    """Who acts after the last of the handovers, if each is final by the set before it. Raises `ProofError`.

    Each must be the last block of its epoch and must change the set, so that a chain has one list of handovers.
    """
    for number, handover in enumerate(handovers):
        try:
            known = _after(handover, genesis, known)
        except ProofError as error:
            raise ProofError(f"handover {number}: {error}") from None
    return known


def _after(handover: Handover, genesis: Genesis, known: Known) -> Known:
    header = verify_finality(handover.header, handover.votes, genesis, known)
    if not genesis.seats or not is_last_of_epoch(header.height, genesis.epoch_blocks):
        raise ProofError("its header is not the last of an epoch")
    following = DelegateSet.of(genesis.chain_id, handover.delegates)
    if header.next_delegates_hash != following.hash or len(following.keys) % 3 != 1:
        raise ProofError("its delegates are not those that its header names for the next epoch")
    if following.hash == known.acting.hash:
        raise ProofError("it changes nothing")
    return Known(header.height, following)


def verify_finality(header_bytes: bytes, votes: Sequence[Vote], genesis: Genesis, known: Known) -> Header:
    """The header, if it is well formed and final by the delegates that act. Proofs that share a header need this once.

    Raises `ProofError`, also for a header from before `known`.
    """
    try:
        header = Header.from_bytes(header_bytes)
    except BlockInvalid as error:
        raise ProofError(f"header: {error}") from None
    if header.chain_id != genesis.chain_id:
        raise ProofError("the header belongs to another chain")
    if header.height < 1 or header.time != genesis.slot_time(header.slot):
        raise ProofError("the header has an impossible height or time")
    if header.height <= known.height:
        raise ProofError("the header is not later than the handovers before it")
    if header.delegates_hash != known.acting.hash:
        raise ProofError("the header's delegates are not those that act")
    if header.producer not in known.acting.keys:
        raise ProofError("the header's producer is no delegate")
    _verify_votes(header.height, block_hash(genesis.chain_id, header_bytes), votes, genesis.chain_id, known.acting)
    return header


def verify_recorded(transaction: bytes, index: int, path: Sequence[bytes], header: Header) -> None:
    """Raises `ProofError` unless `path` leads from the transaction at `index` to the header's log root."""
    if any(len(sibling) != HASH_SIZE for sibling in path):
        raise ProofError("the log path has a hash of the wrong size")
    if root_from_path(leaf_hash(transaction), index, header.log_size, path) != header.log_root:
        raise ProofError("the log path does not lead to the header's log root")


def _verify_votes(height: int, hash_: bytes, votes: Sequence[Vote], chain_id: ChainId, acting: DelegateSet) -> None:
    if len(votes) != acting.quorum:
        raise ProofError(f"there are {len(votes)} votes where exactly {acting.quorum} are needed")
    indices = [vote.delegate for vote in votes]
    if indices != sorted(set(indices)) or not 0 <= indices[0] <= indices[-1] < len(acting.keys):
        raise ProofError("the votes are not of different delegates in ascending order")
    for vote in votes:
        try:
            verify_vote(chain_id, acting, height, hash_, vote)
        except SignatureInvalid:
            raise ProofError(f"the vote of delegate {vote.delegate} does not hold") from None
