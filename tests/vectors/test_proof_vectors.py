"""Two checkers of proofs about the ledger, one verdict a vector."""

import json

import pytest
from proof_vectors import FILE

from gateway import access_verification, independent, proof_verification, verification
from gateway.errors import CouldNotCheck
from gateway.recorded import ReceiptInvalid

STORED = json.loads(FILE.read_text())
GENESIS, VECTORS = STORED["genesis"].encode(), STORED["vectors"]


def verdicts(proof, pin=None, genesis=GENESIS):
    """What each says of it, in the same three words, and what a valid proof says."""
    for verify, invalid, not_checked in (
        (proof_verification.verify_proof, ReceiptInvalid, CouldNotCheck),
        (independent.verify_proof, independent.Invalid, independent.Unreadable),
    ):
        try:
            verdict = verify(proof, genesis, pin)
        except invalid:
            yield "invalid", None
        except not_checked:
            yield "could not check", None
        else:
            yield "valid", tuple(verdict)


def spelled(part):
    return None if part is None else json.dumps(part).encode()


@pytest.mark.parametrize("vector", VECTORS, ids=[vector["name"] for vector in VECTORS])
def test_both_agree(vector):
    first, second = verdicts(spelled(vector["proof"]), spelled(vector["pin"]))
    assert first == second
    assert first[0] == vector["verdict"]
    if "says" in vector:
        assert first[1][-1] == vector["says"]


def test_names_differ_and_the_file_is_small():
    assert len({vector["name"] for vector in VECTORS}) == len(VECTORS) > 100
    assert FILE.stat().st_size < 400_000


@pytest.mark.parametrize("genesis", [GENESIS[:-2], GENESIS.replace(b'"network": "test"', b'"network": "other"')])
def test_another_genesis_shows_nothing(genesis):
    first, second = verdicts(spelled(VECTORS[0]["proof"]), genesis=genesis)
    assert first == second
    assert first[0] == ("could not check" if len(genesis) < len(GENESIS) else "invalid")


def places(value, path=()):
    if path:
        yield path
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, item in inner:
        yield from places(item, (*path, name))


def changed(document, path):
    """The document with another value at `path`: a digit, a bit, a part more or less."""
    document = json.loads(json.dumps(document))
    holder = document
    for name in path[:-1]:
        holder = holder[name]
    value = holder[path[-1]]
    if isinstance(value, str):
        middle = len(value) // 2
        holder[path[-1]] = value[:middle] + ("b" if value[middle : middle + 1] != "b" else "c") + value[middle + 1 :]
    elif isinstance(value, int):
        holder[path[-1]] = value + 1
    elif isinstance(value, list):
        holder[path[-1]] = [*value, 0]
    else:
        value["more"] = 0
    return document


@pytest.mark.parametrize("name", ["an anchor that is not: between two", "consistency of 3 with 14", "inclusion at a later size"])
def test_no_value_can_be_another(name):
    """A vote's own number, where other numbers are left, is caught by its signature; the subject by its key."""
    proof = next(vector["proof"] for vector in VECTORS if vector["name"] == name)
    for path in places(proof):
        first, second = verdicts(spelled(changed(proof, path)))
        assert first[0] == second[0] == "invalid", path


@pytest.mark.parametrize("proof", [b"{}", b'{"format":"fhir-anchor state proof 1"}', spelled({**VECTORS[0]["proof"], "votes": []})])
@pytest.mark.parametrize("verifier", ["receipt", "access_receipt", "proof"])
def test_where_the_pin_is_none_nothing_can_be_checked_whatever_the_file(proof, verifier):
    """Both read what they check against first: an operator's mistake is never told as a forgery."""
    more = (None,) if verifier == "receipt" else ()
    own = {"receipt": verification.verify_receipt, "access_receipt": access_verification.verify_access_receipt}
    with pytest.raises(CouldNotCheck):
        own.get(verifier, proof_verification.verify_proof)(proof, GENESIS, *more, b"no pin")
    with pytest.raises(independent.Unreadable):
        getattr(independent, f"verify_{verifier}")(proof, GENESIS, *more, b"no pin")
