"""The files of proofs about the ledger, and of pins: docs/design/ledger.md, proofs. As strict as receipts, and spelled like them."""

import json
from typing import Final, Literal

from chain.merkle import SidedPath as StoredPath
from chain.proof import ConsistencyProof as Consistency
from chain.proof import Finality, LogProof
from chain.state_proof import StateProof as ProvenState
from gateway.finality_format import Evidence, LoggedTransaction, logged, shown
from gateway.receipt_format import SidedPath
from gateway.receipt_json import File, Hash, NoReceipt, Number, Part, Raw, read_strictly

FINALITY: Final = "fhir-anchor finality proof 1"
INCLUSION: Final = "fhir-anchor inclusion proof 1"
CONSISTENCY: Final = "fhir-anchor consistency proof 1"
STATE: Final = "fhir-anchor state proof 1"
PIN: Final = "fhir-anchor pin 1"


class FinalityProof(Evidence, frozen=True):
    """That a quorum accepted this header."""

    format: Literal["fhir-anchor finality proof 1"]


class InclusionProof(Evidence, frozen=True):
    """That the header's log holds a transaction."""

    format: Literal["fhir-anchor inclusion proof 1"]
    recorded: LoggedTransaction


class Log(Part, frozen=True):
    """A log: how many transactions, and its RFC 6962 root."""

    size: Number
    root: Hash


class ConsistencyProof(Evidence, frozen=True):
    """That the header's log begins with a smaller one."""

    format: Literal["fhir-anchor consistency proof 1"]
    first: Log
    path: tuple[Hash, ...]


class Subject(Part, frozen=True):
    """What is asked of the state: the kind of an entry and its natural key."""

    kind: Number
    name: Raw


class Entry(Part, frozen=True):
    """An entry of the state and its path in its bucket."""

    key: Hash
    value: Raw
    path: SidedPath


class StateProof(Evidence, frozen=True):
    """What the header's state holds under a natural key, or that it holds nothing there."""

    format: Literal["fhir-anchor state proof 1"]
    subject: Subject
    entries: tuple[Entry, ...]  # the one; else its neighbours in the bucket, none in an empty one
    branch: tuple[Hash, ...]


class PinFile(File, frozen=True):
    """A header that was verified, to begin at from then on."""

    format: Literal["fhir-anchor pin 1"]
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
    return FinalityProof(FINALITY, Hash(chain_id), **shown(final))


def inclusion_of(proof: LogProof, chain_id: bytes) -> InclusionProof:
    return InclusionProof(INCLUSION, Hash(chain_id), logged(proof), **shown(proof))


def consistency_of(proof: Consistency, chain_id: bytes) -> ConsistencyProof:
    first = Log(proof.size, Hash(proof.root))
    return ConsistencyProof(CONSISTENCY, Hash(chain_id), first, tuple(map(Hash, proof.path)), **shown(proof))


def state_of(proof: ProvenState, chain_id: bytes) -> StateProof:
    entries = tuple(Entry(Hash(entry.key), Raw(entry.value), _path(entry.path)) for entry in proof.entries)
    subject = Subject(proof.kind, Raw(proof.name))
    return StateProof(STATE, Hash(chain_id), subject, entries, tuple(map(Hash, proof.branch)), **shown(proof))


def _path(path: StoredPath) -> SidedPath:
    return tuple((side, Hash(other)) for side, other in path)
