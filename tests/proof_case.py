"""Genuine proofs of a small chain whose delegates change once, and every way in which one is forged: what the checkers' tests and vectors use.

Ten blocks in epochs of four; from block 9 on a new delegate acts in place of one of the genesis. Five anchors lie in one bucket of the state.
"""

import copy
import json
from hashlib import sha256

from chain_case import DELEGATES, ELECTED, HOLDERS, NEW, STAKES, SmallChain, anchor, genesis_bytes, party, registration, vote

from chain.entries import EntryKind, natural_key_named
from chain.state import bucket_of
from gateway import proof_format
from gateway.pins import pin_file
from gateway.receipt_json import to_json

# Anchors whose entries share a bucket, in the order of their keys.
SHARED = (239202, 167441, 253886, 102809, 232442, 47493, 142514, 379806, 285459, 126033, 258539)
RECORDED, LAST = (SHARED[2], SHARED[4], SHARED[6], SHARED[9]), SHARED[7]
ELECTED_BYTES = genesis_bytes(seats=7, stakes=STAKES)


def digest(number):
    return sha256(b"container %d" % number).digest()


class Grown:
    """The chain, and proofs of the moment before its last block, which changed the bucket."""

    def __init__(self, folder):
        chain = SmallChain(folder, ELECTED)
        chain.add_delegate(NEW[0])
        chain.reopen()
        chain.record(registration(NEW[0]), signer=HOLDERS[0])
        for holder in HOLDERS:
            chain.submit(vote(*DELEGATES[:3], NEW[0]), signer=holder)
        chain.produce()
        chain.record(party(), *map(anchor, RECORDED))
        for number in range(6):
            chain.record(anchor(number))
        self.ledger = chain.ledger()
        self.prover, self.chain_id = self.ledger.prover, ELECTED.chain_id
        self.stale = [self.state(SHARED[at]) for at in (2, 5)]
        chain.record(anchor(LAST))
        chain.close()

    def state(self, number):
        return self.file(self.prover.state(EntryKind.ANCHOR, digest(number)))

    def entry(self, kind, name=""):
        return self.file(self.prover.state(kind, natural_key_named(kind, name)))

    def file(self, proof):
        return json.loads(to_json(WRITERS[type(proof).__name__](proof, self.chain_id)))

    def pin(self, height):
        header = self.ledger.block(height).header
        with self.ledger._store.engine.connect() as connection:
            acting = self.ledger.delegates.named(connection, header.delegates_hash)
        return json.loads(pin_file(header, acting))


WRITERS = {
    "Finality": proof_format.finality_of,
    "LogProof": proof_format.inclusion_of,
    "ConsistencyProof": proof_format.consistency_of,
    "StateProof": proof_format.state_of,
}


def valid(grown):
    """Name -> (proof, pin or None)."""
    prover, file = grown.prover, grown.file
    proofs = {
        "finality of the first block": file(prover.finality(1)),
        "finality after a handover": file(prover.finality(10)),
        "inclusion in the block that recorded it": file(prover.inclusion(2)),
        "inclusion at a later size": file(prover.inclusion(2, size=14)),
        "inclusion of the last": file(prover.inclusion(15)),
        **{f"consistency of {first} with {second}": file(prover.consistency(first, second)) for first, second in SIZES},
        "consistency of the first with the last": file(prover.consistency(1)),
        "an anchor in the state": grown.state(SHARED[4]),
        "an anchor that is not: below the first": grown.state(SHARED[0]),
        "an anchor that is not: between two": grown.state(SHARED[3]),
        "an anchor that is not: between two others": grown.state(SHARED[8]),
        "an anchor that is not: beyond the last": grown.state(SHARED[10]),
        "an anchor that is not: empty bucket": grown.state(77),
        "a party": grown.entry(EntryKind.PARTY, "hospital-00000001"),
        "a party that is not": grown.entry(EntryKind.PARTY, "hospital-00000002"),
        "the roll": grown.entry(EntryKind.ROLL),
        "an access batch that is not": grown.entry(EntryKind.ACCESS_BATCH, "gateway-00000000/0"),
        "the state before the last block": grown.stale[0],
    }
    pinned = {
        "pinned at the block itself": (file(prover.finality(10)), grown.pin(10)),
        "pinned before the handover": (file(prover.finality(10, start=7)), grown.pin(7)),
        "pinned at the handover": (file(prover.finality(10, start=8)), grown.pin(8)),
        "pinned after the handover": (file(prover.inclusion(2, start=9)), grown.pin(9)),
        "pinned, all handovers told": (file(prover.finality(10)), grown.pin(9)),
        "pinned, consistent with the pinned log": (file(prover.consistency(grown.pin(5)["log_size"], start=5)), grown.pin(5)),
        "pinned, the state": (file(prover.state(EntryKind.ANCHOR, digest(SHARED[4]), start=9)), grown.pin(9)),
    }
    return {**{name: (proof, None) for name, proof in proofs.items()}, **pinned}


SIZES = ((1, 9), (4, 9), (9, 9), (3, 14), (8, 14), (13, 16), (14, 16))


def edited(document, change):
    altered = copy.deepcopy(document)
    found = change(altered)
    return altered if found is None or not isinstance(found, dict) else found


def forged(grown):
    """Name -> (proof, pin or None, verdict)."""
    whole = {name: proof for name, (proof, _) in valid(grown).items()}
    for name, of, change in EDITS:
        yield name, (edited(whole[of], change), None, "invalid")
    between, present = whole["an anchor that is not: between two"], whole["an anchor in the state"]
    below, beyond = whole["an anchor that is not: below the first"], whole["an anchor that is not: beyond the last"]
    stale, stale_absent = grown.stale
    empty = whole["an anchor that is not: empty bucket"]

    def of(document, **changes):
        return {**document, **changes}

    told = {
        "state: a stale bucket": of(present, entries=stale["entries"]),
        "state: a stale bucket and branch": of(present, entries=stale["entries"], branch=stale["branch"]),
        "state: absent by a stale bucket": of(stale_absent, **evidence(present)),
        "state: absent, one neighbour left out": of(between, entries=between["entries"][:1]),
        "state: absent, the other neighbour left out": of(between, entries=between["entries"][1:]),
        "state: absent, neighbours swapped": of(between, entries=between["entries"][::-1]),
        "state: absent, no neighbours": of(between, entries=[between["entries"][0], *beyond["entries"]]),
        "state: absent, a neighbour twice": of(between, entries=[between["entries"][0]] * 2),
        "state: absent, three entries": of(between, entries=[*between["entries"], *beyond["entries"]]),
        "state: absent, the first as the last": of(beyond, entries=below["entries"]),
        "state: absent, the last as the first": of(below, entries=beyond["entries"]),
        "state: absent by an empty bucket that is not": of(below, entries=[]),
        "state: absent by another bucket": of(empty, subject=below["subject"]),
        "state: absent though it is there": of(between, subject=below["subject"]),
        "state: present beside another": of(present, entries=[*present["entries"], *beyond["entries"]]),
        "state: of another key": of(present, subject=below["subject"]),
        "state: of another kind": of(present, subject={**present["subject"], "kind": 4}),
        "state: a kind that is none": of(present, subject={**present["subject"], "kind": 256}),
        "state: of another branch": of(present, branch=empty["branch"]),
        "state: under another header": of(present, **evidence(whole["finality of the first block"])),
        "consistency under another header": of(whole["consistency of 3 with 14"], **evidence(whole["finality of the first block"])),
        "inclusion under another header": of(
            whole["inclusion at a later size"], **evidence(whole["inclusion in the block that recorded it"])
        ),
        "finality with another's votes": of(whole["finality after a handover"], votes=whole["finality of the first block"]["votes"]),
        "finality without its handover": of(whole["finality after a handover"], handovers=[]),
        "finality of a first block with a handover": of(
            whole["finality of the first block"], handovers=whole["finality after a handover"]["handovers"]
        ),
    }
    yield from ((name, (proof, None, "invalid")) for name, proof in told.items())
    yield from pins(grown)


def pins(grown):
    final, early = grown.file(grown.prover.finality(10)), grown.file(grown.prover.finality(5))
    late, nine, eight = grown.file(grown.prover.finality(10, start=9)), grown.pin(9), grown.pin(8)
    first_set = eight["delegates"]
    consistent = grown.file(grown.prover.consistency(nine["log_size"]))
    ten = grown.pin(10)
    yield "handovers from a pin, and no pin", (late, None, "invalid")
    yield "pin of other delegates", (final, {**nine, "delegates": first_set}, "invalid")
    yield "pin of another block at that height", (final, {**ten, "hash": nine["hash"]}, "invalid")
    yield "pin of another block at the handover", (final, {**eight, "hash": nine["hash"]}, "invalid")
    yield "pin of another log", (consistent, {**nine, "log_root": eight["log_root"]}, "invalid")
    yield "older than the pin", (early, nine, "could not check")
    yield "pin of another chain", (final, {**nine, "chain_id": "00" * 32}, "could not check")
    yield "pin with a field more", (final, {**nine, "note": ""}, "could not check")
    yield "pin with a field less", (final, {name: nine[name] for name in nine if name != "log_root"}, "could not check")
    yield "pin at height 0", (final, {**nine, "height": 0}, "could not check")
    yield "pin of three delegates", (final, {**nine, "delegates": nine["delegates"][:3]}, "could not check")
    yield "pin of a delegate twice", (final, {**nine, "delegates": [*nine["delegates"][:3], nine["delegates"][0]]}, "could not check")
    yield "pin of a key of small order", (final, {**nine, "delegates": [*nine["delegates"][:3], "01" + "00" * 31]}, "could not check")
    yield "pin of another format", (final, {**nine, "format": "fhir-anchor pin 2"}, "could not check")
    yield "a proof as a pin", (final, final, "could not check")


def evidence(document):
    return {name: document[name] for name in ("header", "votes", "handovers")}


def _swap_path(part):
    part["path"][0], part["path"][1] = part["path"][1], part["path"][0]


def _turn(entry):
    entry["path"][0][0] = "left" if entry["path"][0][0] == "right" else "right"


ZERO = "00" * 32
_C, _I, _S, _F = (
    "consistency of 3 with 14",
    "inclusion at a later size",
    "an anchor in the state",
    "finality after a handover",
)
EDITS = [
    ("consistency: a hash too many", _C, lambda d: d["path"].append(ZERO)),
    ("consistency: a hash too many at the front", _C, lambda d: d["path"].insert(0, ZERO)),
    ("consistency: a hash missing", _C, lambda d: d["path"].pop()),
    ("consistency: no hash", _C, lambda d: d["path"].clear()),
    ("consistency: neighbours swapped", _C, _swap_path),
    ("consistency: another hash", _C, lambda d: d["path"].__setitem__(0, ZERO)),
    ("consistency: wrong size", _C, lambda d: d["first"].update(size=4)),
    ("consistency: size 0", _C, lambda d: d["first"].update(size=0)),
    ("consistency: size beyond the log", _C, lambda d: d["first"].update(size=15)),
    ("consistency: another root", _C, lambda d: d["first"].update(root=ZERO)),
    ("consistency: equal sizes and a hash", "consistency of 9 with 9", lambda d: d["path"].append(ZERO)),
    ("consistency: equal sizes and another root", "consistency of 9 with 9", lambda d: d["first"].update(root=ZERO)),
    ("consistency: perfect and a hash too many", "consistency of 8 with 14", lambda d: d["path"].insert(0, d["first"]["root"])),
    ("inclusion: a hash too many", _I, lambda d: d["recorded"]["path"].append(ZERO)),
    ("inclusion: a hash missing", _I, lambda d: d["recorded"]["path"].pop()),
    ("inclusion: neighbours swapped", _I, lambda d: _swap_path(d["recorded"])),
    ("inclusion: another index", _I, lambda d: d["recorded"].update(index=3)),
    ("inclusion: index beyond the log", _I, lambda d: d["recorded"].update(index=14)),
    ("inclusion: no transaction", _I, lambda d: d["recorded"].update(transaction="")),
    ("inclusion: a node for a transaction", _I, lambda d: d["recorded"].update(transaction="AAAA", path=d["recorded"]["path"][1:])),
    ("state: another value", _S, lambda d: d["entries"][0].update(value="ggE")),
    ("state: another entry's key", _S, lambda d: d["entries"][0].update(key=d["entries"][0]["key"][:4] + ZERO[4:])),
    ("state: a hash too many in the bucket", _S, lambda d: d["entries"][0]["path"].append(["left", ZERO])),
    ("state: a hash missing in the bucket", _S, lambda d: d["entries"][0]["path"].pop()),
    ("state: a side turned", _S, lambda d: _turn(d["entries"][0])),
    ("state: a side that is none", _S, lambda d: d["entries"][0]["path"][0].__setitem__(0, "up")),
    ("state: a path beyond all measure", _S, lambda d: d["entries"][0]["path"].extend([["left", ZERO]] * 64)),
    ("state: a hash too many in the branch", _S, lambda d: d["branch"].append(ZERO)),
    ("state: a hash missing in the branch", _S, lambda d: d["branch"].pop()),
    ("state: branch neighbours swapped", _S, lambda d: _swap_path({"path": d["branch"]})),
    ("finality: too many votes", _F, lambda d: d["votes"].append([3, d["votes"][0][1]])),
    ("finality: too few votes", _F, lambda d: d["votes"].pop()),
    ("finality: a vote twice", _F, lambda d: d["votes"].__setitem__(1, d["votes"][0])),
    ("finality: votes in another order", _F, lambda d: d["votes"].reverse()),
    ("finality: a forged vote", _F, lambda d: d["votes"][0].__setitem__(1, d["votes"][1][1])),
    ("finality: other chain", _F, lambda d: d.update(chain_id=ZERO)),
    ("finality: a handover twice", _F, lambda d: d["handovers"].append(d["handovers"][0])),
    ("finality: extra field", _F, lambda d: d.update(height=10)),
    ("finality: missing field", _F, lambda d: d.pop("handovers") and None),
    ("consistency: extra field", _C, lambda d: d["first"].update(note="")),
    ("state: extra field", _S, lambda d: d["subject"].update(key=ZERO)),
    ("inclusion: extra field", _I, lambda d: d["recorded"].update(id=ZERO)),
    ("no format", _F, lambda d: d.pop("format") and None),
    ("another format", _F, lambda d: d.update(format="fhir-anchor finality proof 2")),
    ("one proof under another's format", _I, lambda d: d.update(format="fhir-anchor finality proof 1")),
    ("a format that is a list", _F, lambda d: d.update(format=[])),
]


def is_in_one_bucket():
    return len({bucket_of(sha256(b"\x02" + digest(number)).digest()) for number in SHARED}) == 1
