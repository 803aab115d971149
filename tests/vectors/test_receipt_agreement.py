"""Two verifiers, one verdict: over a true receipt and every way in which a part of it can be changed. None may accept a change.

Only the record's name and salt have nothing to be checked against until the record itself is there, so it always is.
"""

import json

import pytest
from changed_places import at, changed, other_values, places
from receipt_case import genesis_bytes, make_case
from two_verifiers import verdicts

from gateway.receipt_json import to_json

CASE = make_case("issuer")
FILE = to_json(CASE.receipt)
DOCUMENT = json.loads(FILE)
INVALID = ["invalid", "invalid"]


def verdicts_of(receipt, genesis=CASE.genesis, record=CASE.record):
    return verdicts("verify_receipt", receipt, genesis, record)


@pytest.mark.parametrize("part", list(DOCUMENT))
def test_no_value_can_be_another(part):
    tried = 0
    for path in places(DOCUMENT):
        if path[0] == part:
            for value in other_values(at(DOCUMENT, path)):
                tried += 1
                assert verdicts_of(changed(DOCUMENT, path, value)) == INVALID, (path, value)
    assert tried >= 5


@pytest.mark.parametrize(
    "other",
    [
        FILE[:-1] + b',"format":"fhir-anchor receipt 1"}',
        FILE.replace(b'"bundle":{', b'"bundle":{"index":1,'),
        FILE.replace(b'"index":1', b'"index":1.0'),
        FILE.replace(b'"index":1', b'"index":01'),
        FILE.replace(b'"index":1', b'"index":NaN'),
        FILE.replace(b'"index":1', b'"index":Infinity'),
        FILE.replace(b'"index":1', b'"index":' + b"1" * 5000),
        b"\xef\xbb\xbf" + FILE,
        FILE.decode().encode("utf-16"),
        FILE + b"\x00",
        FILE + FILE,
        FILE + b" " * (1 << 20),
        b"[" * 100_000,
        b'{"a":' * 100_000,
    ],
    ids=lambda other: f"{len(other)}-{other[-12:]!r}",
)
def test_no_other_spelling(other):
    assert other != FILE
    assert verdicts_of(other) == INVALID


def test_no_part_can_be_taken_from_another_true_receipt():
    others = [make_case("gateway"), make_case(bundle=0), make_case(record=4), make_case(log_before=6), make_case(genesis=genesis_bytes(7))]
    for other in others:
        document = json.loads(to_json(other.receipt))
        for path in places(DOCUMENT):
            try:
                value = at(document, path)
            except (KeyError, IndexError):
                continue
            if value != at(DOCUMENT, path):
                assert verdicts_of(changed(DOCUMENT, path, value)) == INVALID, path


def test_no_bit_of_the_file_can_be_another():
    for offset in range(0, len(FILE), 7):
        altered = FILE[:offset] + bytes([FILE[offset] ^ 1 << offset % 7]) + FILE[offset + 1 :]
        assert verdicts_of(altered) == INVALID, offset


def test_no_byte_of_the_file_can_be_missing_or_too_many():
    for offset in range(0, len(FILE), 29):
        assert verdicts_of(FILE[:offset] + FILE[offset + 1 :]) == INVALID, offset
        assert verdicts_of(FILE[:offset] + b"7" + FILE[offset:]) == INVALID, offset


def test_no_byte_of_the_record_can_be_another():
    for offset in range(len(CASE.record)):
        altered = CASE.record[:offset] + bytes([CASE.record[offset] ^ 1]) + CASE.record[offset + 1 :]
        assert verdicts_of(FILE, record=altered) == INVALID, offset


def test_no_byte_of_the_genesis_can_be_another():
    for offset in range(0, len(CASE.genesis), 3):
        altered = CASE.genesis[:offset] + bytes([CASE.genesis[offset] ^ 1]) + CASE.genesis[offset + 1 :]
        first, second = verdicts_of(FILE, genesis=altered)
        assert "valid" not in {first, second}, offset
        assert first == second, offset


def test_what_is_true_is_true_for_both():
    assert verdicts_of(FILE) == ["valid", "valid"]
    assert verdicts_of(json.dumps(DOCUMENT, indent=1, sort_keys=True).encode()) == ["valid", "valid"]
