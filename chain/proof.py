"""Checking from bytes alone that a quorum accepted a transaction: what a receipt rests on. No database, no network, no clock.

Everything in a proof is checked and nothing may be left over: exactly 2f+1 votes, in strictly ascending order of delegates, each valid.
"""

from collections.abc import Sequence

from msgspec import Struct

from chain.block import BlockInvalid, Header, Vote, block_hash, verify_vote
from chain.delegate_set import DelegateSet
from chain.errors import LedgerError
from chain.genesis import Genesis
from chain.keys import ChainId, SignatureInvalid
from chain.merkle import HASH_SIZE, ProofError, leaf_hash, root_from_path, verify_consistency
from chain.schedule import is_last_of_epoch


class Handover(Struct, frozen=True):
    """A final header, the last of its epoch, that names another set of delegates for the next, and that set."""

    header: bytes
    votes: tuple[Vote, ...]  # exactly a quorum, of the set that acts
    delegates: tuple[bytes, ...]  # public keys by index


class Finality(Struct, frozen=True):
    """A header that is final, and all that shows it."""

    header: bytes
    votes: tuple[Vote, ...]  # exactly a quorum
    handovers: tuple[Handover, ...] = ()  # every change of the acting set since where the checker begins


class LogProof(Finality, frozen=True, kw_only=True):
    """A transaction, its place in the log, and a final header whose log holds it."""

    transaction: bytes  # as recorded, signature included
    index: int  # in the log
    path: tuple[bytes, ...]  # siblings from the leaf up to the header's log root


class ConsistencyProof(Finality, frozen=True, kw_only=True):
    """A smaller log, and a final header whose log begins with it."""

    size: int
    root: bytes
    path: tuple[bytes, ...]


class Pin(Struct, frozen=True):
    """A header that the checker has verified before and begins at, in place of the genesis."""

    height: int
    hash: bytes  # of the block
    acting: DelegateSet  # who voted for it


class OlderThanPin(LedgerError):
    """A header from before the pin: whether it belongs to the pinned history cannot be told from it."""


class Known(Struct, frozen=True):
    """What a checker begins with: who acts after a height, and the hash of the very next block if that is pinned."""

    height: int
    acting: DelegateSet
    following: bytes | None = None

    @classmethod
    def at_genesis(cls, genesis: Genesis) -> "Known":
        return cls(0, genesis.first_set)

    @classmethod
    def at_pin(cls, pin: Pin) -> "Known":
        return cls(pin.height - 1, pin.acting, pin.hash)


def verify_log_proof(proof: LogProof, genesis: Genesis, known: Known | None = None) -> Header:
    """The header, if all holds. Raises `ProofError` that says what does not."""
    known = verify_handovers(proof.handovers, genesis, known or Known.at_genesis(genesis))
    header = verify_finality(proof.header, proof.votes, genesis, known)
    verify_recorded(proof.transaction, proof.index, proof.path, header)
    return header


def acting_after(handovers: Sequence[Handover], genesis: Genesis, pin: Pin | None) -> Known:
    """Who acts after the last of the handovers, which begin at the genesis or at the pin. Raises `ProofError`.

    Those from before the pin are held against the genesis like any, and must lead to the delegates who voted for the pinned block: what
    follows rests on the pin alone.
    """
    if pin is None:
        return verify_handovers(handovers, genesis, Known.at_genesis(genesis))
    before = 0
    while before < len(handovers) and _parsed(handovers[before].header).height < pin.height:
        before += 1
    if before and verify_handovers(handovers[:before], genesis, Known.at_genesis(genesis)).acting.hash != pin.acting.hash:
        raise ProofError("the handovers lead to other delegates than those of the pin")
    return verify_handovers(handovers[before:], genesis, Known.at_pin(pin))


def check_age(header: bytes, pin: Pin | None) -> None:
    """Raises `OlderThanPin` for a header from before the pin, `ProofError` for none."""
    if pin is not None and (height := _parsed(header).height) < pin.height:
        raise OlderThanPin(f"it is of height {height}, older than the pin of height {pin.height}, which says nothing about it")


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
    if header.next_delegates_hash != following.hash or not following.can_act:
        raise ProofError("its delegates are not those that its header names for the next epoch, or are no set that can act")
    if following.hash == known.acting.hash:
        raise ProofError("it changes nothing")
    return Known(header.height, following)


def verify_finality(header_bytes: bytes, votes: Sequence[Vote], genesis: Genesis, known: Known) -> Header:
    """The header, if it is well formed and final by the delegates that act. Proofs that share a header need this once.

    Raises `ProofError`, also for a header from before `known`.
    """
    header = _parsed(header_bytes)
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
    hash_ = block_hash(genesis.chain_id, header_bytes)
    if known.following is not None and header.height == known.height + 1 and hash_ != known.following:
        raise ProofError("the header is not the pinned one")
    _verify_votes(header.height, hash_, votes, genesis.chain_id, known.acting)
    return header


def verify_recorded(transaction: bytes, index: int, path: Sequence[bytes], header: Header) -> None:
    """Raises `ProofError` unless `path` leads from the transaction at `index` to the header's log root."""
    if any(len(sibling) != HASH_SIZE for sibling in path):
        raise ProofError("the log path has a hash of the wrong size")
    if root_from_path(leaf_hash(transaction), index, header.log_size, path) != header.log_root:
        raise ProofError("the log path does not lead to the header's log root")


def verify_begins_with(size: int, root: bytes, path: Sequence[bytes], header: Header) -> None:
    """Raises `ProofError` unless the header's log begins with the log of `size` whose root this is."""
    verify_consistency(root, size, header.log_root, header.log_size, path)


def _parsed(header: bytes) -> Header:
    try:
        return Header.from_bytes(header)
    except BlockInvalid as error:
        raise ProofError(f"header: {error}") from None


def _verify_votes(height: int, hash_: bytes, votes: Sequence[Vote], chain_id: ChainId, acting: DelegateSet) -> None:
    if len(votes) != acting.quorum:
        raise ProofError(f"the number of votes is {len(votes)}, where exactly {acting.quorum} are needed")
    indices = [vote.delegate for vote in votes]
    if indices != sorted(set(indices)) or not 0 <= indices[0] <= indices[-1] < len(acting.keys):
        raise ProofError("the votes are not of different delegates in ascending order")
    for vote in votes:
        try:
            verify_vote(chain_id, acting, height, hash_, vote)
        except SignatureInvalid:
            raise ProofError(f"the vote of delegate {vote.delegate} does not hold") from None
