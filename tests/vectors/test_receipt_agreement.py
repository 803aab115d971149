"""Two verifiers, one verdict: over a true receipt and every way in which a part of it can be changed. None may accept a change.

Only the record's name and salt have nothing to be checked against until the record itself is there, so it always is.
"""

import copy
import json

import pytest
from receipt_case import genesis_bytes, make_case

from gateway import independent, verification
from gateway.errors import CouldNotCheck
from gateway.receipt_format import to_json

CASE = make_case("issuer")
FILE = to_json(CASE.receipt)


def verdicts(receipt, genesis=CASE.genesis, record=CASE.record):
    """What each of the two says, in the same three words."""
    for verify, invalid, not_checked in (
        (verification.verify_receipt, verification.ReceiptInvalid, CouldNotCheck),
        (independent.verify_receipt, independent.Invalid, independent.Unreadable),
    ):
        try:
            verify(receipt, genesis, record)
        except invalid:
            yield "invalid"
        except not_checked:
            yield "could not check"
        else:
            yield "valid"


def places(value, path=()):
    """Every value in a JSON document, by the names and numbers that lead to it."""
    if path:
        yield path
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, item in inner:
        yield from places(item, (*path, name))


def other_values(value):
    """What `value` might be replaced with, by its kind."""
    if isinstance(value, str):
        middle = len(value) // 2
        swapped = "b" if value[middle : middle + 1] != "b" else "c"
        yield from (
            value[:middle] + swapped + value[middle + 1 :],
            value[:-1],
            value + "A",
            value + "=",
            value + "\n",
            "",
            0,
            None,
            [value],
        )
        yield from (text for text in (value.upper(), value.swapcase(), value[::-1], value[-1] + value[1:]) if text != value)
    elif isinstance(value, int):
        yield from (value + 1, value - 1, value + 256, -value - 1, float(value), str(value), value == 1, None, 2**53 + value, 2**64 + value)
    elif isinstance(value, list):
        yield from ([*value, 0], [*value, [0, "A"]], {}, None, "")
        if value:
            yield from (value[1:], value[:-1], [*value, value[-1]], [value[0], *value])
        if len(value) > 1 and value[::-1] != value:
            yield value[::-1]
    else:
        yield from ({**value, "more": 1}, [], None, "genesis", {}, *({k: v for k, v in value.items() if k != lost} for lost in value))


def changed(document, path, value):
    document = copy.deepcopy(document)
    holder = document
    for name in path[:-1]:
        holder = holder[name]
    holder[path[-1]] = value
    return json.dumps(document).encode()


DOCUMENT = json.loads(FILE)


def at(document, path):
    for name in path:
        document = document[name]
    return document


@pytest.mark.parametrize("part", list(DOCUMENT))
def test_no_value_can_be_another(part):
    tried = 0
    for path in places(DOCUMENT):
        if path[0] == part:
            for value in other_values(at(DOCUMENT, path)):
                tried += 1
                assert list(verdicts(changed(DOCUMENT, path, value))) == ["invalid", "invalid"], (path, value)
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
    assert list(verdicts(other)) == ["invalid", "invalid"]


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
                assert list(verdicts(changed(DOCUMENT, path, value))) == ["invalid", "invalid"], path


def test_no_bit_of_the_file_can_be_another():
    for offset in range(0, len(FILE), 7):
        altered = FILE[:offset] + bytes([FILE[offset] ^ 1 << offset % 7]) + FILE[offset + 1 :]
        assert list(verdicts(altered)) == ["invalid", "invalid"], offset


def test_no_byte_of_the_file_can_be_missing_or_too_many():
    for offset in range(0, len(FILE), 29):
        assert list(verdicts(FILE[:offset] + FILE[offset + 1 :])) == ["invalid", "invalid"], offset
        assert list(verdicts(FILE[:offset] + b"7" + FILE[offset:])) == ["invalid", "invalid"], offset


def test_no_byte_of_the_record_can_be_another():
    for offset in range(len(CASE.record)):
        altered = CASE.record[:offset] + bytes([CASE.record[offset] ^ 1]) + CASE.record[offset + 1 :]
        assert list(verdicts(FILE, record=altered)) == ["invalid", "invalid"], offset


def test_no_byte_of_the_genesis_can_be_another():
    for offset in range(0, len(CASE.genesis), 3):
        altered = CASE.genesis[:offset] + bytes([CASE.genesis[offset] ^ 1]) + CASE.genesis[offset + 1 :]
        first, second = verdicts(FILE, genesis=altered)
        assert "valid" not in {first, second}, offset
        assert first == second, offset


def test_what_is_true_is_true_for_both():
    assert list(verdicts(FILE)) == ["valid", "valid"]
    assert list(verdicts(json.dumps(DOCUMENT, indent=1, sort_keys=True).encode())) == ["valid", "valid"]
