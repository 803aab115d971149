"""Receipts of a chain whose delegates changed: two verifiers, one verdict, over true handovers and every way in which one can be changed."""

import hashlib
import json

import pytest
from changed_places import at, changed, other_values, places
from msgspec.structs import replace
from receipt_case import finalize, genesis_bytes, handover, key, make_case, members_of
from two_verifiers import verdicts as verdicts_of

from chain.block import Header
from chain.delegate_set import DelegateSet
from chain.genesis import Genesis
from gateway import independent, verification
from gateway.pins import pin_file
from gateway.receipt_json import Hash, Raw, to_json
from gateway.verifiers import checker

GENESIS = genesis_bytes(seats=7)
CHAIN = Genesis.parse(GENESIS)
FIRST, SEVEN, FOUR = members_of(4), members_of(7, "elected"), [*members_of(3), key("late")]
CASE = make_case(genesis=GENESIS, sets=(SEVEN, FOUR))
DOCUMENT = json.loads(to_json(CASE.receipt))


def verdicts(receipt, genesis=GENESIS):
    return verdicts_of("verify_receipt", receipt if isinstance(receipt, bytes) else to_json(receipt), genesis, CASE.record)


def test_these_bytes_are_valid_for_ever():
    assert hashlib.sha256(to_json(CASE.receipt)).hexdigest() == "9dfbfec9e89cb7df1cee20461a73c7039fbf61df05a2e5012393646e2fb04fb4"
    assert verdicts(CASE.receipt) == ["valid", "valid"]
    for verify in (verification.verify_receipt, independent.verify_receipt):
        verdict = verify(to_json(CASE.receipt), GENESIS, CASE.record)
        assert (verdict.height, verdict.votes, verdict.delegates) == (203, 3, 4)


@pytest.mark.parametrize(("sets", "votes"), [((), 3), ((SEVEN,), 5), ((SEVEN, FIRST), 3), ((FOUR, SEVEN, FOUR, FIRST), 3)])
def test_any_true_succession_is_valid(sets, votes):
    case = make_case(genesis=GENESIS, sets=sets)
    assert len(case.receipt.votes) == votes
    assert verdicts(case.receipt) == ["valid", "valid"]


def test_no_value_of_a_handover_can_be_another():
    tried = 0
    for path in places(DOCUMENT):
        if path[:2] in {("handovers",), ("handovers", 1)} and path[2:4] not in {("delegates", 1), ("delegates", 2), ("votes", 1)}:
            for value in other_values(at(DOCUMENT, path)):
                tried += 1
                assert verdicts(changed(DOCUMENT, path, value)) == ["invalid", "invalid"], (path, value)
    assert tried > 100


FIRST_ONE, SECOND = CASE.receipt.handovers
STRANGERS = members_of(4, "stranger")
FORGED = {
    "none": (),
    "only the first": (FIRST_ONE,),
    "only the second": (SECOND,),
    "the other way round": (SECOND, FIRST_ONE),
    "the first twice": (FIRST_ONE, FIRST_ONE, SECOND),
    "the second twice": (FIRST_ONE, SECOND, SECOND),
    "not at the end of an epoch": (handover(CHAIN, FIRST, SEVEN, height=99), SECOND),
    "at height 0": (handover(CHAIN, FIRST, SEVEN, height=0), SECOND),
    "both at one height": (FIRST_ONE, handover(CHAIN, SEVEN, FOUR, epoch=1)),
    "later than the header": (FIRST_ONE, handover(CHAIN, SEVEN, FOUR, epoch=3)),
    "by the set itself": (handover(CHAIN, SEVEN, SEVEN), SECOND),
    "by a set that acts no more": (FIRST_ONE, handover(CHAIN, FIRST, FOUR, epoch=2)),
    "by strangers": (handover(CHAIN, STRANGERS, SEVEN), SECOND),
    "by strangers under the name of the first": (
        handover(CHAIN, STRANGERS, SEVEN, delegates_hash=CHAIN.first_set.hash, producer=FIRST[0].public),
        SECOND,
    ),
    "by too few": (handover(CHAIN, FIRST, SEVEN, signers=(0, 1)), SECOND),
    "by one too many": (handover(CHAIN, FIRST, SEVEN, signers=range(4)), SECOND),
    "by one twice": (handover(CHAIN, FIRST, SEVEN, signers=(0, 0, 1)), SECOND),
    "other delegates told": (handover(CHAIN, FIRST, SEVEN, delegates=[member.public for member in STRANGERS]), SECOND),
    "a delegate less told": (handover(CHAIN, FIRST, SEVEN, delegates=[member.public for member in SEVEN[:6]]), SECOND),
    "no delegates": (handover(CHAIN, FIRST, [], delegates=[]), SECOND),
    "a set of six": (handover(CHAIN, FIRST, SEVEN[:6]), SECOND),
    "another chain's": (handover(Genesis.parse(genesis_bytes(seats=4)), FIRST, SEVEN), SECOND),
    "a time that is not the slot's": (handover(CHAIN, FIRST, SEVEN, time=1), SECOND),
    "a producer that does not act": (handover(CHAIN, FIRST, SEVEN, producer=key("stranger").public), SECOND),
}


@pytest.mark.parametrize("handovers", FORGED.values(), ids=FORGED)
def test_a_forged_succession_is_invalid(handovers):
    assert verdicts(replace(CASE.receipt, handovers=handovers)) == ["invalid", "invalid"]


@pytest.mark.parametrize("sets", [(FIRST, SEVEN, FOUR), (SEVEN, SEVEN, FOUR), (SEVEN, FOUR, FOUR)])
def test_a_handover_that_changes_nothing_is_invalid(sets):
    """All else of it is true; but then one chain would have many receipts for one record."""
    case = make_case(genesis=GENESIS, sets=sets)
    assert verdicts(case.receipt) == ["invalid", "invalid"]


def test_a_chain_of_fixed_delegates_hands_nothing_over():
    genesis = genesis_bytes()
    chain = Genesis.parse(genesis)
    case = make_case(genesis=genesis)
    assert verdicts_of("verify_receipt", to_json(case.receipt), genesis, case.record) == ["valid", "valid"]
    handed = make_case(genesis=genesis, sets=(FOUR,))
    assert handed.receipt.handovers[0].delegates[3] == key("late").public
    assert verdicts_of("verify_receipt", to_json(handed.receipt), genesis, handed.record) == ["invalid", "invalid"]
    assert chain.seats == 0


def test_the_old_delegates_cannot_vote_after_their_handover():
    """Keys of the first set, whoever has them by now, for a header of today."""
    acting = Header.from_bytes(CASE.receipt.header).delegates_hash
    for changes in ({}, {"delegates_hash": acting}):
        header, votes = finalize(CHAIN, [], None, FIRST, height=203, **changes)
        forged = replace(CASE.receipt, header=Raw(header), votes=tuple((i, Raw(signature)) for i, signature in votes))
        assert verdicts(forged) == ["invalid", "invalid"]


GENESES = {
    "seats are no number": {"seats": "7"},
    "five seats": {"seats": 5},
    "one seat": {"seats": 1},
    "too many seats": {"seats": 103},
    "no stakes": {"stakes": []},
    "no weight": {"stakes": [{"holder": "a", "key": key("holder").public.hex(), "weight": 0}]},
    "too great a weight": {"stakes": [{"holder": "a", "key": key("holder").public.hex(), "weight": 1_000_001}]},
    "a stake without a key": {"stakes": [{"holder": "a", "weight": 1}]},
    "a stake with more": {"stakes": [{"holder": "a", "key": key("holder").public.hex(), "weight": 1, "votes": []}]},
    "a key twice": {"stakes": [{"holder": name, "key": key("holder").public.hex(), "weight": 1} for name in "ab"]},
    "a holder twice": {"stakes": [{"holder": "a", "key": key(name).public.hex(), "weight": 1} for name in "ab"]},
    "an unusable key": {"stakes": [{"holder": "a", "key": "01" + "00" * 31, "weight": 1}]},
    "stakes are no list": {"stakes": {}},
    "the format without stake": {"format": "fhir-anchor genesis 1"},
    "an unknown format": {"format": "fhir-anchor genesis 3"},
}


@pytest.mark.parametrize("change", GENESES.values(), ids=GENESES)
def test_both_refuse_the_same_geneses(change):
    genesis = json.dumps({**json.loads(GENESIS), **change}).encode()
    receipt = replace(CASE.receipt, chain_id=Hash(hashlib.sha256(genesis).digest()))
    assert verdicts(receipt, genesis) == ["could not check", "could not check"]


def pin_at(header, members):
    return pin_file(Header.from_bytes(header), DelegateSet.of(CHAIN.chain_id, [member.public for member in members]))


PIN = pin_at(SECOND.header, SEVEN)  # the block in which seven hand over to four


def pinned(receipt, pin=PIN):
    """What each says with a pin."""
    return [
        verdict["result"] for verdict in (checker(GENESIS, pin, of=of)(to_json(receipt), CASE.record) for of in ("first", "independent"))
    ]


def test_from_a_pin_on_handovers_are_enough_that_begin_there():
    assert pinned(CASE.receipt) == ["valid", "valid"]
    short = replace(CASE.receipt, handovers=(SECOND,))
    assert pinned(short) == ["valid", "valid"]
    assert verdicts(short) == ["invalid", "invalid"], "without the pin nothing says who the seven are"
    at_the_end = pin_at(CASE.receipt.header, FOUR)
    assert pinned(replace(CASE.receipt, handovers=()), at_the_end) == ["valid", "valid"]
    assert pinned(CASE.receipt, at_the_end) == ["valid", "valid"]
    for handovers in ((), (FIRST_ONE,), (SECOND, FIRST_ONE), (SECOND, SECOND), (handover(CHAIN, FIRST, STRANGERS), SECOND)):
        assert pinned(replace(CASE.receipt, handovers=handovers)) == ["invalid", "invalid"]


def test_keys_of_old_delegates_cannot_make_another_history_for_who_has_a_pin():
    """A quorum of the genesis's delegates, long since succeeded, signs another succession; from the genesis alone nobody can tell."""
    for sets in ((STRANGERS,), (STRANGERS, members_of(4, "friend")), (STRANGERS, FOUR)):
        forged = make_case(genesis=GENESIS, sets=sets)
        assert verdicts(forged.receipt) == ["valid", "valid"]
        if len(sets) == 2:
            assert pinned(forged.receipt) == ["invalid", "invalid"]
            assert pinned(replace(forged.receipt, handovers=forged.receipt.handovers[1:])) == ["invalid", "invalid"]
        else:
            assert pinned(forged.receipt) == ["could not check", "could not check"], "it is older than the pin"


def test_another_block_at_the_pinned_height_is_refused():
    """Though a quorum of the very delegates that voted for the pinned one signed it."""
    other = handover(CHAIN, SEVEN, FOUR, epoch=2, state_root=b"\x02" + bytes(32))
    assert verdicts(replace(CASE.receipt, handovers=(FIRST_ONE, other))) == ["valid", "valid"]
    assert pinned(replace(CASE.receipt, handovers=(FIRST_ONE, other))) == ["invalid", "invalid"]


def test_what_is_older_than_the_pin_is_not_checked():
    older = make_case(genesis=GENESIS, sets=(SEVEN,))
    assert verdicts(older.receipt) == ["valid", "valid"]
    assert pinned(older.receipt) == ["could not check", "could not check"]
