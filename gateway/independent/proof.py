"""Verification of proofs about the ledger: finality, inclusion, consistency, state (docs/design/ledger.md, proofs)."""

from hashlib import sha256
from typing import Any, NamedTuple

from gateway.independent import fields, header, signatures, state, tree
from gateway.independent import genesis as genesis_file
from gateway.independent import pin as pin_file
from gateway.independent.faults import Invalid
from gateway.independent.genesis import Genesis
from gateway.independent.header import Header
from gateway.independent.pin import Pin
from gateway.independent.statement import from_base64url

_EVIDENCE = {"format", "chain_id", "header", "votes", "handovers"}
_NAMES: dict[str, set[str]] = {
    "finality": set(),
    "inclusion": {"recorded"},
    "consistency": {"first", "path"},
    "state": {"subject", "entries", "branch"},
}
_OF_FORMAT = {f"fhir-anchor {name} proof 1": name for name in _NAMES}
_MAX_TRANSACTION = 4096


class ProofVerdict(NamedTuple):
    """What a valid proof says; the same fields as the first verifier's."""

    proof: str
    height: int
    block: str  # hex
    log_size: int
    accepted_at: int  # seconds since the epoch
    votes: int
    delegates: int
    says: dict[str, Any]


def verify_proof(proof_bytes: bytes, genesis_bytes: bytes, pin_bytes: bytes | None = None) -> ProofVerdict:
    """Raises Invalid or Unreadable."""
    genesis = genesis_file.read(genesis_bytes)
    pinned = pin_file.read_if_any(pin_bytes, genesis)
    name, proof = _proof(proof_bytes)
    head, delegates = fields.accepted(proof, genesis, pinned)
    says = _said(name, proof, head, genesis, pinned)
    block = header.block_hash(from_base64url(proof["header"], "header"), genesis)
    return ProofVerdict(name, head.height, block.hex(), head.log_size, head.time, len(proof["votes"]), delegates, says)


def _proof(data: bytes) -> tuple[str, dict[str, Any]]:
    found = fields.load(data)
    name = _OF_FORMAT.get(found["format"]) if isinstance(found, dict) and isinstance(found.get("format"), str) else None
    if name is None:
        raise Invalid("it has the format of no proof")
    return name, fields.of_names(found, _EVIDENCE | _NAMES[name], "the proof")


def _said(name: str, proof: dict[str, Any], head: Header, genesis: Genesis, pinned: Pin | None) -> dict[str, Any]:
    if name == "inclusion":
        return _inclusion(proof["recorded"], head, genesis)
    if name == "consistency":
        return _consistency(proof, head, pinned)
    if name == "state":
        return _state(proof, head)
    return {}


def _inclusion(recorded: Any, head: Header, genesis: Genesis) -> dict[str, Any]:
    raw = fields.transaction_of(recorded, "recorded")
    is_signed = raw.startswith(b"\xa6\x00\x01\x01") and raw[-67:-64] == b"\x05\x58\x40"
    if not is_signed or len(raw) > _MAX_TRANSACTION or raw[4] > 23:
        raise Invalid("recorded.transaction does not have the form of a transaction")
    fields.check_in_log(recorded, raw, head, "recorded")
    id_ = signatures.labelled_hash(signatures.TRANSACTION_ID, genesis.chain_id, b"\xa5" + raw[1:-67])
    return {"transaction": id_.hex(), "kind": raw[4], "index": recorded["index"]}


def _consistency(proof: dict[str, Any], head: Header, pinned: Pin | None) -> dict[str, Any]:
    first = fields.of_names(proof["first"], {"size", "root"}, "first")
    size, root = fields.number(first["size"], "first.size"), fields.hash_of(first["root"], "first.root")
    if pinned is not None and size == pinned.log_size and root != pinned.log_root:
        raise Invalid("first.root is not that of the pinned log")
    tree.check_consistency(root, size, head.log_root, head.log_size, fields.path(proof["path"], "path"), "path")
    return {"first_size": size, "first_root": root.hex()}


def _state(proof: dict[str, Any], head: Header) -> dict[str, Any]:
    subject = fields.of_names(proof["subject"], {"kind", "name"}, "subject")
    kind, name = fields.number(subject["kind"], "subject.kind"), from_base64url(subject["name"], "subject.name")
    if kind > 255:
        raise Invalid("subject.kind is the number of no kind")
    key = sha256(bytes([kind]) + name).digest()
    value = state.value_of(key, proof["entries"], fields.path(proof["branch"], "branch"), head.state_root)
    return {"kind": kind, "name": name.hex(), "value": None if value is None else value.hex()}
