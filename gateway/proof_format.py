"""The files of proofs about the ledger, and of pins: docs/design/ledger.md, proofs. As strict as receipts, and spelled like them."""

import json
from typing import Final, Literal

from chain.merkle import SidedPath as StoredPath
from chain.proof import ConsistencyProof as Consistency
from chain.proof import Finality, LogProof
from chain.state_proof import StateProof as ProvenState
from gateway.receipt_format import (
    Handover,
    Hash,
    LoggedTransaction,
    NoReceipt,
    Number,
    Part,
    Raw,
    SidedPath,
    Votes,
    handovers_of,
    read_strictly,
    votes_of,
)

FINALITY: Final = "fhir-anchor finality proof 1"
INCLUSION: Final = "fhir-anchor inclusion proof 1"
CONSISTENCY: Final = "fhir-anchor consistency proof 1"
STATE: Final = "fhir-anchor state proof 1"
PIN: Final = "fhir-anchor pin 1"


class FinalityProof(Part, frozen=True):
    """That a quorum accepted this header."""

    format: Literal["fhir-anchor finality proof 1"]
    chain_id: Hash
    header: Raw
    votes: Votes
    handovers: tuple[Handover, ...]  # every change of the acting set since the genesis, or since the pin of whoever asked


class InclusionProof(Part, frozen=True):
    """That the header's log holds a transaction."""

    format: Literal["fhir-anchor inclusion proof 1"]
    chain_id: Hash
    recorded: LoggedTransaction
    header: Raw
    votes: Votes
    handovers: tuple[Handover, ...]


class Log(Part, frozen=True):
    """A log: how many transactions, and its RFC 6962 root."""

    size: Number
    root: Hash


class ConsistencyProof(Part, frozen=True):
    """That the header's log begins with a smaller one."""

    format: Literal["fhir-anchor consistency proof 1"]
    chain_id: Hash
    first: Log
    path: tuple[Hash, ...]
    header: Raw
    votes: Votes
    handovers: tuple[Handover, ...]


class Subject(Part, frozen=True):
    """What is asked of the state: the kind of an entry and its natural key."""

    kind: Number
    name: Raw


class Entry(Part, frozen=True):
    """An entry of the state and its path in its bucket."""

    key: Hash
    value: Raw
    path: SidedPath


class StateProof(Part, frozen=True):
    """What the header's state holds under a natural key, or that it holds nothing there."""

    format: Literal["fhir-anchor state proof 1"]
    chain_id: Hash
    subject: Subject
    entries: tuple[Entry, ...]  # the one; else its neighbours in the bucket, none in an empty one
    branch: tuple[Hash, ...]
    header: Raw
    votes: Votes
    handovers: tuple[Handover, ...]


class PinFile(Part, frozen=True):
    """A header that was verified, to begin at from then on."""

    format: Literal["fhir-anchor pin 1"]
    chain_id: Hash
    height: Number
    hash: Hash  # of the block
    log_size: Number
    log_root: Hash
    delegates: tuple[Hash, ...]  # public keys by index: who acted at this height


Proof = FinalityProof | InclusionProof | ConsistencyProof | StateProof
_KINDS: dict[str, type[Proof]] = {FINALITY: FinalityProof, INCLUSION: InclusionProof, CONSISTENCY: ConsistencyProof, STATE: StateProof}


def from_json(body: bytes) -> Proof:
    """Raises NoReceipt."""
    try:
        found = json.loads(body)
        kind = _KINDS[found["format"]]
    except (ValueError, RecursionError, TypeError, KeyError):
        raise NoReceipt("it has the format of no proof") from None
    return read_strictly(body, kind)


def finality_of(final: Finality, chain_id: bytes) -> FinalityProof:
    return FinalityProof(FINALITY, Hash(chain_id), *_shown(final))


def inclusion_of(proof: LogProof, chain_id: bytes) -> InclusionProof:
    recorded = LoggedTransaction(Raw(proof.transaction), proof.index, tuple(map(Hash, proof.path)))
    return InclusionProof(INCLUSION, Hash(chain_id), recorded, *_shown(proof))


def consistency_of(proof: Consistency, chain_id: bytes) -> ConsistencyProof:
    first = Log(proof.size, Hash(proof.root))
    return ConsistencyProof(CONSISTENCY, Hash(chain_id), first, tuple(map(Hash, proof.path)), *_shown(proof))


def state_of(proof: ProvenState, chain_id: bytes) -> StateProof:
    entries = tuple(Entry(Hash(entry.key), Raw(entry.value), _path(entry.path)) for entry in proof.entries)
    subject = Subject(proof.kind, Raw(proof.name))
    return StateProof(STATE, Hash(chain_id), subject, entries, tuple(map(Hash, proof.branch)), *_shown(proof))


def _shown(final: Finality) -> tuple[Raw, Votes, tuple[Handover, ...]]:
    return Raw(final.header), votes_of(final.votes), handovers_of(final.handovers)


def _path(path: StoredPath) -> SidedPath:
    return tuple((side, Hash(other)) for side, other in path)
