"""Checking from bytes alone that a quorum accepted a transaction: what a receipt rests on. No database, no network, no clock.

Everything in a proof is checked and nothing may be left over: exactly 2f+1 votes, in strictly ascending order of delegates, each valid.
"""

from collections.abc import Sequence

from msgspec import Struct

from chain.block import BlockInvalid, Header, Vote, block_hash, verify_vote
from chain.genesis import Genesis
from chain.keys import SignatureInvalid
from chain.merkle import HASH_SIZE, ProofError, leaf_hash, root_from_path


class LogProof(Struct, frozen=True):
    """A transaction, its place in the log, and a final header whose log holds it."""

    transaction: bytes  # as recorded, signature included
    index: int  # in the log
    path: tuple[bytes, ...]  # siblings from the leaf up to the header's log root
    header: bytes
    votes: tuple[Vote, ...]  # exactly a quorum


def verify_log_proof(proof: LogProof, genesis: Genesis) -> Header:
    """The header, if all holds. Raises `ProofError` that says what does not."""
    header = verify_finality(proof.header, proof.votes, genesis)
    verify_recorded(proof.transaction, proof.index, proof.path, header)
    return header


def verify_finality(header_bytes: bytes, votes: Sequence[Vote], genesis: Genesis) -> Header:
    """The header, if it is well formed and final by the delegates of the genesis. Proofs that share a header need this once.

    Raises `ProofError`. A chain whose delegates changed needs the handovers between the sets; there are none yet, so that any other
    set than the genesis's is refused.
    """
    try:
        header = Header.from_bytes(header_bytes)
    except BlockInvalid as error:
        raise ProofError(f"header: {error}") from None
    if header.chain_id != genesis.chain_id:
        raise ProofError("the header belongs to another chain")
    if header.height < 1 or header.time != genesis.slot_time(header.slot):
        raise ProofError("the header has an impossible height or time")
    if header.delegates_hash != genesis.delegates_hash():
        raise ProofError("the header's delegates are not those of the genesis")
    if header.producer not in {delegate.key for delegate in genesis.delegates}:
        raise ProofError("the header's producer is no delegate")
    _verify_votes(header.height, block_hash(genesis.chain_id, header_bytes), votes, genesis)
    return header


def verify_recorded(transaction: bytes, index: int, path: Sequence[bytes], header: Header) -> None:
    """Raises `ProofError` unless `path` leads from the transaction at `index` to the header's log root."""
    if any(len(sibling) != HASH_SIZE for sibling in path):
        raise ProofError("the log path has a hash of the wrong size")
    if root_from_path(leaf_hash(transaction), index, header.log_size, path) != header.log_root:
        raise ProofError("the log path does not lead to the header's log root")


def _verify_votes(height: int, hash_: bytes, votes: Sequence[Vote], genesis: Genesis) -> None:
    if len(votes) != genesis.quorum:
        raise ProofError(f"there are {len(votes)} votes where exactly {genesis.quorum} are needed")
    indices = [vote.delegate for vote in votes]
    if indices != sorted(set(indices)) or not 0 <= indices[0] <= indices[-1] < len(genesis.delegates):
        raise ProofError("the votes are not of different delegates in ascending order")
    for vote in votes:
        try:
            verify_vote(genesis, height, hash_, vote)
        except SignatureInvalid:
            raise ProofError(f"the vote of delegate {vote.delegate} does not hold") from None
