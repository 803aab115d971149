"""Receipts of accesses: two verifiers, one verdict, over true ones and every way in which a part of one can be changed."""

import hashlib
import json

import pytest
from access_receipt_case import GENESIS, SEQUENCES, entry_of, make_receipt
from changed_places import at, changed, other_values, places
from msgspec.structs import replace
from receipt_case import genesis_bytes, key, members_of, party_body
from two_verifiers import verdicts as verdicts_of

from chain.encoding import decode, encode
from gateway import access_verification, independent
from gateway.receipt_json import to_json

ELECTING = genesis_bytes(seats=7)
SEVEN, FOUR = members_of(7, "elected"), [*members_of(3), key("late")]
RECEIPT = make_receipt(genesis_file=ELECTING, sets=(SEVEN, FOUR))
FILE = to_json(RECEIPT)
DOCUMENT = json.loads(FILE)
FIELDS = decode(entry_of(9))
INVALID = ["invalid", "invalid"]


def verdicts(receipt, genesis=ELECTING):
    return verdicts_of("verify_access_receipt", receipt if isinstance(receipt, bytes) else to_json(receipt), genesis)


def test_these_bytes_are_valid_for_ever():
    assert hashlib.sha256(FILE).hexdigest() == "3da295fa8c8df0e6ef17ea9343f80e4a9c1229c9c43511239bd874399fb09a40"
    first, second = (verify(FILE, ELECTING) for verify in (access_verification.verify_access_receipt, independent.verify_access_receipt))
    assert first == second
    assert (second.client_id, second.purpose, second.sequence) == ("insurer-00000001", "HPAYMT", 9)
    assert (second.height, second.votes, second.delegates) == (203, 3, 4)


@pytest.mark.parametrize("place", range(len(SEQUENCES)))
@pytest.mark.parametrize("sets", [(), (SEVEN,), (SEVEN, members_of(4))])
def test_what_is_true_is_true_for_both(place, sets):
    assert verdicts(make_receipt(place, genesis_file=ELECTING, sets=sets)) == ["valid", "valid"]


def test_a_batch_of_one():
    assert verdicts(make_receipt(0, sequences=(7,)), GENESIS) == ["valid", "valid"]


@pytest.mark.parametrize("part", [name for name in DOCUMENT if name != "handovers"])
def test_no_value_can_be_another(part):
    tried = 0
    for path in places(DOCUMENT):
        if path[0] == part:
            for value in other_values(at(DOCUMENT, path)):
                tried += 1
                assert verdicts(changed(DOCUMENT, path, value)) == INVALID, (path, value)
    assert tried >= 5


def test_no_byte_of_the_file_can_be_missing_or_too_many():
    for offset in range(0, len(FILE), 97):
        assert verdicts(FILE[:offset] + FILE[offset + 1 :]) == INVALID, offset
        assert verdicts(FILE[:offset] + b"7" + FILE[offset:]) == INVALID, offset


FIRST_ONE, SECOND = RECEIPT.handovers


@pytest.mark.parametrize("handovers", [(), (FIRST_ONE,), (SECOND,), (SECOND, FIRST_ONE), (FIRST_ONE, FIRST_ONE, SECOND)])
def test_no_handover_can_be_left_out_or_put_elsewhere(handovers):
    assert verdicts(replace(RECEIPT, handovers=handovers)) == INVALID


LIES = [
    {"signer": key("another")},
    {"root": bytes(32)},
    {"leaves": 2},
    {"first": 1, "place": 0},
    {"last": 99, "place": 4},
    {"first": 8, "place": 2},
    {"last": 10, "place": 2, "first": 6},
    {"header": {"log_size": 2}},
    {"other_body": party_body("y-00000001")},
]
# the entry's one encoding, with one field another
ENTRIES = [
    *({0: 2}, {0: True}, {1: 5}, {2: None}, {3: bytes(31)}, {3: "x" * 32}, {4: []}, {4: [[bytes(16)]]}, {4: [[bytes(15), 1]]}),
    *({4: FIELDS[4][::-1]}, {4: [[bytes(16), True]]}, {4: [[bytes(16), -1]]}, {5: -1}, {5: True}, {6: "x"}, {6: 1 << 63}, {7: 0}),
]


@pytest.mark.parametrize("made", LIES, ids=" ".join)
def test_a_lie_that_everything_around_it_covers(made):
    assert verdicts(make_receipt(**made), GENESIS) == INVALID


@pytest.mark.parametrize("change", ENTRIES, ids=str)
def test_an_entry_that_is_none_though_it_is_in_the_batch(change):
    assert verdicts(make_receipt(entry=encode(FIELDS | change)), GENESIS) == INVALID


def test_against_another_genesis_or_none():
    assert verdicts(RECEIPT, GENESIS) == INVALID
    assert verdicts(RECEIPT, b"{}") == ["could not check", "could not check"]
