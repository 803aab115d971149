"""Two checkers of proofs about the ledger, one verdict a vector."""

import json

import pytest
from changed_places import at, changed, other_values, places
from proof_vectors import FILE
from two_verifiers import told, verdicts

STORED = json.loads(FILE.read_text())
GENESIS, VECTORS = STORED["genesis"].encode(), STORED["vectors"]


def said(proof, pin=None, genesis=GENESIS):
    """What each says of it, in the same three words, and all that the verdict on a valid one holds."""
    return [(word, verdict and tuple(verdict)) for word, verdict in told("verify_proof", proof, genesis, pin)]


def spelled(part):
    return None if part is None else json.dumps(part).encode()


@pytest.mark.parametrize("vector", VECTORS, ids=[vector["name"] for vector in VECTORS])
def test_both_agree(vector):
    first, second = said(spelled(vector["proof"]), spelled(vector["pin"]))
    assert first == second
    assert first[0] == vector["verdict"]
    if "says" in vector:
        assert first[1][-1] == vector["says"]


def test_names_differ_and_the_file_is_small():
    assert len({vector["name"] for vector in VECTORS}) == len(VECTORS) > 100
    assert FILE.stat().st_size < 400_000


@pytest.mark.parametrize("genesis", [GENESIS[:-2], GENESIS.replace(b'"network": "test"', b'"network": "other"')])
def test_another_genesis_shows_nothing(genesis):
    first, second = said(spelled(VECTORS[0]["proof"]), genesis=genesis)
    assert first == second
    assert first[0] == ("could not check" if len(genesis) < len(GENESIS) else "invalid")


@pytest.mark.parametrize("name", ["an anchor that is not: between two", "consistency of 3 with 14", "inclusion at a later size"])
def test_no_value_can_be_another(name):
    """A vote's own number, where other numbers are left, is caught by its signature; the subject by its key."""
    proof = next(vector["proof"] for vector in VECTORS if vector["name"] == name)
    for path in places(proof):
        first, second = said(changed(proof, path, next(other_values(at(proof, path)))))
        assert first[0] == second[0] == "invalid", path


@pytest.mark.parametrize("proof", [b"{}", b'{"format":"fhir-anchor state proof 1"}', spelled({**VECTORS[0]["proof"], "votes": []})])
@pytest.mark.parametrize("verifier", ["receipt", "access_receipt", "proof"])
def test_where_the_pin_is_none_nothing_can_be_checked_whatever_the_file(proof, verifier):
    """Both read what they check against first: an operator's mistake is never told as a forgery."""
    more = (None,) if verifier == "receipt" else ()
    assert verdicts(f"verify_{verifier}", proof, GENESIS, *more, b"no pin") == ["could not check", "could not check"]
