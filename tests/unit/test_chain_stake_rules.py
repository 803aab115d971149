"""What holders and delegates may do, and what it changes."""

import pytest
from chain_case import DELEGATES, GATEWAY, GENESIS, HOLDERS, NEW, anchor, key, registration, vote
from elected_case import PROVEN, RESIGN, TWO_VOTES, StakeChain, accusation, signed_header, signed_vote
from msgspec.structs import replace

from chain.evidence import Offence
from chain.keys import SignatureInvalid
from chain.stake import TransferBody, UnjailBody
from chain.stake_entries import Standing, roll_at
from chain.stake_rules import write_delegate


@pytest.fixture
def chain():
    return StakeChain()


def test_at_first_all_stake_approves_of_the_first_delegates(chain):
    assert [chain.stake(holder).weight for holder in HOLDERS] == [500, 300, 200]
    assert all(chain.stake(holder).votes == vote(*DELEGATES).delegates for holder in HOLDERS)
    assert [chain.delegate(member).approval for member in DELEGATES] == [1000] * 4
    assert roll_at(chain.overlay) == (1000, vote(*DELEGATES).delegates)


def test_a_vote_replaces_the_votes_before_it(chain):
    chain.do(HOLDERS[0], vote(DELEGATES[0], DELEGATES[1]))
    assert [chain.delegate(member).approval for member in DELEGATES] == [1000, 1000, 500, 500]
    chain.do(HOLDERS[0], vote(DELEGATES[3]))
    assert [chain.delegate(member).approval for member in DELEGATES] == [500, 500, 500, 1000]
    chain.do(HOLDERS[0], vote())
    assert [chain.delegate(member).approval for member in DELEGATES] == [500] * 4


def test_an_old_vote_does_not_come_back(chain):
    chain.do(HOLDERS[0], vote(DELEGATES[0]))
    chain.do(HOLDERS[0], vote(DELEGATES[1]))
    assert chain.refused(HOLDERS[0], vote(DELEGATES[0])) == "duplicate"
    chain.do(HOLDERS[0], vote(DELEGATES[0]), valid_until=101)


def test_weight_moves_without_its_votes(chain):
    chain.do(HOLDERS[1], vote(DELEGATES[2]))
    chain.do(HOLDERS[0], TransferBody(HOLDERS[1].public, 100))
    assert [chain.stake(holder).weight for holder in HOLDERS] == [400, 400, 200]
    assert [chain.delegate(member).approval for member in DELEGATES] == [600, 600, 1000, 600]
    stranger = key("stranger")
    chain.do(HOLDERS[1], TransferBody(stranger.public, 400))
    assert chain.stake(stranger) == (400, (), 0)
    assert [chain.delegate(member).approval for member in DELEGATES] == [600] * 4
    chain.do(stranger, vote(DELEGATES[0]))
    assert chain.delegate(DELEGATES[0]).approval == 1000


def test_a_transfer_happens_once(chain):
    chain.do(HOLDERS[0], TransferBody(HOLDERS[1].public, 100))
    assert chain.refused(HOLDERS[0], TransferBody(HOLDERS[1].public, 100)) == "duplicate"
    chain.do(HOLDERS[0], TransferBody(HOLDERS[1].public, 100), valid_until=99)
    assert chain.stake(HOLDERS[0]).weight == 300


def test_what_nobody_has_cannot_be_moved(chain):
    assert chain.refused(HOLDERS[0], TransferBody(HOLDERS[1].public, 501)) == "stake-too-small"
    assert chain.refused(HOLDERS[0], TransferBody(HOLDERS[0].public, 1)) == "transfer-to-self"
    assert chain.refused(key("stranger"), TransferBody(HOLDERS[0].public, 1)) == "signer-holds-no-stake"
    chain.do(HOLDERS[0], TransferBody(HOLDERS[1].public, 500))
    assert chain.refused(HOLDERS[0], vote(DELEGATES[0])) == "signer-holds-no-stake"


def test_a_holder_registers_a_delegate(chain):
    chain.do(HOLDERS[0], registration(NEW[0], name="Nordvik"))
    assert chain.delegate(NEW[0]) == (0, "Nordvik", HOLDERS[0].public, 0, Standing.STANDS, False)
    assert NEW[0].public in roll_at(chain.overlay).delegates
    assert chain.stake(HOLDERS[0]).sponsored == 1
    assert chain.refused(HOLDERS[1], registration(NEW[0], HOLDERS[1])) == "duplicate"
    chain.do(HOLDERS[2], vote(NEW[0]))
    assert chain.delegate(NEW[0]).approval == 200


def test_a_delegate_agrees_to_its_registration(chain):
    body = registration(NEW[0], HOLDERS[0])
    assert chain.refused(HOLDERS[1], body) == "delegate-signature-invalid"
    assert chain.refused(HOLDERS[0], replace(body, name="Another")) == "delegate-signature-invalid"
    assert chain.refused(HOLDERS[0], replace(body, key=NEW[1].public)) == "delegate-signature-invalid"
    assert chain.refused(key("stranger"), registration(NEW[0], key("stranger"))) == "signer-holds-no-stake"
    assert chain.refused(HOLDERS[0], registration(DELEGATES[0])) == "duplicate"


def test_stake_stands_behind_each_delegate(chain):
    """1/256 of all stake each: of 1,000 that is 4, so that 7 carry one and 8 two."""
    poor = key("poor")
    chain.do(HOLDERS[0], TransferBody(poor.public, 7))
    chain.do(poor, registration(NEW[0], poor))
    assert chain.refused(poor, registration(NEW[1], poor)) == "stake-too-small"
    chain.do(poor, TransferBody(HOLDERS[0].public, 3))
    assert chain.refused(poor, TransferBody(HOLDERS[0].public, 1)) == "stake-bound"
    chain.do(NEW[0], RESIGN)
    chain.do(poor, TransferBody(HOLDERS[0].public, 4))
    assert chain.stake(poor) == (0, (), 0)


def test_who_resigned_is_gone_for_good(chain):
    chain.do(HOLDERS[0], registration(NEW[0]))
    chain.do(HOLDERS[0], vote(NEW[0], DELEGATES[0]))
    chain.do(NEW[0], RESIGN)
    assert chain.delegate(NEW[0]).standing is Standing.RESIGNED
    assert NEW[0].public not in roll_at(chain.overlay).delegates
    assert chain.stake(HOLDERS[0]).sponsored == 0
    assert chain.refused(NEW[0], RESIGN) == "delegate-gone"
    assert chain.refused(NEW[0], UnjailBody()) == "delegate-gone"
    assert chain.refused(HOLDERS[1], vote(NEW[0])) == "delegate-gone"
    assert chain.refused(HOLDERS[0], registration(NEW[0]), 99) == "duplicate"
    chain.do(HOLDERS[0], vote(DELEGATES[0]))
    assert (chain.delegate(NEW[0]).approval, chain.delegate(DELEGATES[0]).approval) == (0, 1000)
    assert chain.refused(key("stranger"), RESIGN) == "delegate-unknown"
    assert chain.refused(HOLDERS[1], vote(key("stranger"))) == "delegate-unknown"


def test_only_the_jailed_are_unjailed_and_once(chain):
    assert chain.refused(DELEGATES[0], UnjailBody()) == "not-jailed"
    write_delegate(chain.overlay, DELEGATES[0].public, chain.delegate(DELEGATES[0])._replace(jailed=True))
    chain.do(DELEGATES[0], UnjailBody())
    assert not chain.delegate(DELEGATES[0]).jailed
    write_delegate(chain.overlay, DELEGATES[0].public, chain.delegate(DELEGATES[0])._replace(jailed=True))
    assert chain.refused(DELEGATES[0], UnjailBody()) == "duplicate"


@pytest.mark.parametrize("body", PROVEN.values(), ids=PROVEN)
@pytest.mark.parametrize("accuser", [HOLDERS[2], DELEGATES[1], DELEGATES[0]])
def test_who_signed_twice_is_removed(chain, body, accuser):
    chain.do(accuser, body)
    assert chain.delegate(DELEGATES[0]).standing is Standing.REMOVED
    assert DELEGATES[0].public not in roll_at(chain.overlay).delegates
    assert chain.refused(HOLDERS[1], body) == "duplicate"


UNPROVEN = {
    "another's signature": accusation(signed_header(), signed_header(DELEGATES[1], slot=10)),
    "another height": accusation(signed_header(), signed_header(height=8)),
    "another producer": accusation(signed_header(), signed_header(producer=DELEGATES[1].public)),
    "another chain": accusation(signed_header(), signed_header(chain_id=GENESIS.chain_id)),
    "no headers": accusation((b"x", bytes(64)), (b"y", bytes(64))),
    "votes of two delegates": accusation(TWO_VOTES[0], signed_vote(b"b" * 32, DELEGATES[1]), Offence.VOTED),
    "votes for two heights": accusation(TWO_VOTES[0], signed_vote(b"b" * 32, height=8), Offence.VOTED),
    "votes on two chains": accusation(TWO_VOTES[0], signed_vote(b"b" * 32, chain_id=GENESIS.chain_id), Offence.VOTED),
}


@pytest.mark.parametrize("body", UNPROVEN.values(), ids=UNPROVEN)
def test_what_proves_nothing_removes_nobody(chain, body):
    assert chain.refused(HOLDERS[0], body) == "evidence-invalid"
    assert chain.delegate(DELEGATES[0]).standing is Standing.STANDS


def test_evidence_needs_a_known_accuser_and_accused(chain):
    assert chain.refused(key("stranger"), PROVEN["two votes"]) == "delegate-unknown"
    votes = (signed_vote(b"a" * 32, NEW[0]), signed_vote(b"b" * 32, NEW[0]))
    assert chain.refused(HOLDERS[0], accusation(*votes, Offence.VOTED, NEW[0])) == "delegate-unknown"


def test_evidence_against_who_resigned_still_counts(chain):
    chain.do(HOLDERS[0], registration(NEW[0]))
    chain.do(NEW[0], RESIGN)
    votes = (signed_vote(b"a" * 32, NEW[0]), signed_vote(b"b" * 32, NEW[0]))
    chain.do(HOLDERS[0], accusation(*votes, Offence.VOTED, NEW[0]))
    assert chain.delegate(NEW[0]).standing is Standing.REMOVED
    assert chain.stake(HOLDERS[0]).sponsored == 0


def test_gateways_sign_nothing_of_this_and_holders_nothing_else(chain):
    assert chain.refused(GATEWAY, vote(DELEGATES[0])) == "signer-holds-no-stake"
    assert chain.refused(HOLDERS[0], anchor(1)) == "signer-not-a-gateway"


@pytest.mark.parametrize("body", [vote(), RESIGN, UnjailBody(), TransferBody(HOLDERS[1].public, 1), PROVEN["two votes"]])
def test_a_chain_of_fixed_delegates_refuses_all_of_it(body):
    fixed = StakeChain(GENESIS)
    assert fixed.refused(DELEGATES[0], body) == "delegates-fixed"


def test_a_signature_for_another_chain_holds_nothing():
    with pytest.raises(SignatureInvalid):
        PROVEN["two votes"].verify(GENESIS.chain_id)
