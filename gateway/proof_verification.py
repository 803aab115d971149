"""Offline verification of proofs about the ledger: bytes in, a verdict out, or ReceiptInvalid. docs/design/ledger.md, proofs."""

from typing import Any, NamedTuple

from chain import state_proof
from chain.block import Header
from chain.entries import entry_key
from chain.errors import LedgerError
from chain.genesis import Genesis
from chain.proof import verify_begins_with, verify_recorded
from chain.transactions import kind_and_id
from gateway import proof_format
from gateway.finality_format import LoggedTransaction
from gateway.pins import Pinned, pin_file
from gateway.proof_format import ConsistencyProof, FinalityProof, InclusionProof, Proof, StateProof
from gateway.recorded import Accepted, Begin, ReceiptInvalid, read_file


class ProofVerdict(NamedTuple):
    """What a valid proof says."""

    proof: str  # finality, inclusion, consistency or state
    height: int
    block: str  # its hash, hex
    log_size: int
    accepted_at: int  # the block's time, seconds since the epoch
    votes: int
    delegates: int
    says: dict[str, Any]
    # inclusion: transaction (its id), kind, index; consistency: first_size, first_root
    # state: kind, name (the natural key), value (of the entry, null if there is none); all bytes in hex


def verify_proof(proof_bytes: bytes, genesis_bytes: bytes, pin_bytes: bytes | None = None) -> ProofVerdict:
    """Every step. Raises ReceiptInvalid and CouldNotCheck."""
    return _verified(proof_bytes, Begin(genesis_bytes, pin_bytes))[0]


def pin_from(proof_bytes: bytes, genesis_bytes: bytes, pin_bytes: bytes | None = None) -> bytes:
    """The pin file of a proof's header, once all of the proof holds. Raises as `verify_proof`."""
    return pin_file(*_verified(proof_bytes, Begin(genesis_bytes, pin_bytes))[1])


def _verified(proof_bytes: bytes, begin: Begin) -> tuple[ProofVerdict, Accepted]:
    proof, (header, acting) = read_file(proof_bytes, proof_format.from_json, begin, "proof")
    name, says = _said(proof, header, begin)
    counts = (header.time, len(proof.votes), len(acting.keys))
    return ProofVerdict(name, header.height, header.hash().hex(), header.log_size, *counts, says), Accepted(header, acting)


def _said(proof: Proof, header: Header, begin: Begin) -> tuple[str, dict[str, Any]]:
    if isinstance(proof, FinalityProof):
        return "finality", {}
    if isinstance(proof, InclusionProof):
        return "inclusion", _verified_inclusion(proof.recorded, header, begin.genesis)
    if isinstance(proof, ConsistencyProof):
        _check_consistency(proof, header, begin.pinned)
        return "consistency", {"first_size": proof.first.size, "first_root": proof.first.root.hex()}
    return "state", _verified_state(proof, header)


def _verified_inclusion(recorded: LoggedTransaction, header: Header, genesis: Genesis) -> dict[str, Any]:
    """That it was admitted, its signature too, is what the quorum says that recorded it."""
    try:
        kind, tx_id = kind_and_id(recorded.transaction, genesis.chain_id)
        verify_recorded(recorded.transaction, recorded.index, recorded.path, header)
    except LedgerError as error:
        raise ReceiptInvalid(f"recorded: {error}") from error
    return {"transaction": tx_id.hex(), "kind": kind, "index": recorded.index}


def _check_consistency(proof: ConsistencyProof, header: Header, pinned: Pinned | None) -> None:
    if pinned is not None and proof.first.size == pinned.log_size and proof.first.root != pinned.log_root:
        raise ReceiptInvalid("first.root is not that of the pinned log")
    try:
        verify_begins_with(proof.first.size, bytes(proof.first.root), proof.path, header)
    except LedgerError as error:
        raise ReceiptInvalid(f"path: {error}") from error


def _verified_state(proof: StateProof, header: Header) -> dict[str, Any]:
    if proof.subject.kind > 255:
        raise ReceiptInvalid("subject.kind is the number of no kind")
    key = entry_key(proof.subject.kind, bytes(proof.subject.name))
    entries = [state_proof.ProvenEntry(bytes(one.key), bytes(one.value), one.path) for one in proof.entries]
    try:
        value = state_proof.verify_state(key, entries, proof.branch, header)
    except LedgerError as error:
        raise ReceiptInvalid(f"entries and branch: {error}") from error
    return {"kind": proof.subject.kind, "name": proof.subject.name.hex(), "value": None if value is None else value.hex()}
