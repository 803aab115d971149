"""Who is elected, who is jailed: the pure decisions of an epoch's last block."""

import pytest
from chain_case import DELEGATES, ELECTED, HOLDERS, NEW, registration, vote
from elected_case import PROVEN, RESIGN, StakeChain
from msgspec.structs import replace

from chain.delegate_set import DelegateSet
from chain.election import Attended, absent, electable, elected_set, end_epoch, ranked, read_set
from chain.encoding import decode
from chain.stake import UnjailBody
from chain.stake_entries import ELECTED_KEY, delegate_at

FIRST = ELECTED.first_set


def set_of(*members):
    return DelegateSet.of(ELECTED.chain_id, [member.public for member in members])


def elect(chain, attendance=(), genesis=ELECTED, following=FIRST):
    return end_epoch(chain.overlay, genesis, following, attendance)


@pytest.fixture
def chain():
    """Six more delegates stand beside the four of the genesis."""
    chain = StakeChain()
    for member in NEW:
        chain.do(HOLDERS[0], registration(member))
    return chain


def test_nothing_changes_while_nobody_votes(chain):
    before = dict(chain.overlay.changes)
    assert elect(chain) is FIRST
    assert chain.overlay.changes == before


def test_the_most_approved_take_the_seats(chain):
    chain.do(HOLDERS[0], vote(*NEW))
    assert list(elect(chain).keys) == sorted(member.public for member in (*NEW, *DELEGATES))[:7]  # all have 500
    chain.do(HOLDERS[1], vote(*NEW[:4]))
    chain.do(HOLDERS[2], vote(*NEW[:3], DELEGATES[1]))
    elected = elect(chain)  # the first three 1,000, NEW[3] 800, NEW[4] and NEW[5] 500, DELEGATES[1] 200
    assert set(elected.keys) == {member.public for member in (*NEW, DELEGATES[1])}
    assert list(elected.keys) == sorted(elected.keys)
    assert elected.quorum == 5
    assert elected.hash != FIRST.hash


def test_ties_go_to_the_smaller_key(chain):
    four = replace(ELECTED, seats=4)
    for holder in HOLDERS:
        chain.do(holder, vote(*NEW))
    assert list(elect(chain, genesis=four).keys) == sorted(member.public for member in NEW)[:4]


@pytest.mark.parametrize(("standing", "size"), [(3, None), (4, 4), (5, 4), (6, 4), (7, 7), (8, 7), (10, 7)])
def test_sets_have_3f_plus_1(standing, size):
    ranking = [bytes([number]) * 32 for number in range(standing)]
    elected = elected_set(ELECTED, ranking, FIRST)
    assert (elected is FIRST) if size is None else sorted(elected.keys) == ranking[:size]


def test_a_set_of_the_same_delegates_keeps_its_order():
    following = set_of(*NEW[:4])
    assert elected_set(ELECTED, sorted(following.keys, reverse=True), following) is following


def test_who_nobody_approves_of_is_not_elected(chain):
    for holder in HOLDERS:
        chain.do(holder, vote(*NEW[:3]))
    assert ranked(electable(chain.overlay)) == sorted(member.public for member in NEW[:3])
    assert elect(chain) is FIRST


def test_who_resigned_or_was_removed_is_not_elected(chain):
    for holder in HOLDERS:
        chain.do(holder, vote(*DELEGATES, *NEW[:2]))
    assert set(elect(chain).keys) == {member.public for member in sorted((*DELEGATES, *NEW[:2]), key=lambda member: member.public)[:4]}
    chain.do(NEW[0], RESIGN)
    chain.do(HOLDERS[0], PROVEN["two headers"])
    assert set(elect(chain).keys) == {member.public for member in (*DELEGATES[1:], NEW[1])}


def attended(*counts, blocks=100, delegates=FIRST):
    """`counts`: on how many of the blocks each delegate voted."""
    return [
        Attended(delegates, sum(1 << index for index, count in enumerate(counts) if at < count).to_bytes(1, "little"))
        for at in range(blocks)
    ]


def test_below_half_of_the_last_blocks_is_absent():
    assert absent(attended(100, 50, 49, 0)) == sorted(member.public for member in DELEGATES[2:])
    assert absent([]) == []
    assert absent(attended(1, 1, 1, 0, blocks=1)) == [DELEGATES[3].public]


def test_only_blocks_count_on_which_a_delegate_could_vote():
    others = set_of(*NEW[:4])
    blocks = attended(4, 4, 4, 1, blocks=4) + attended(4, 4, 4, 4, blocks=96, delegates=others)
    assert absent(blocks) == sorted([DELEGATES[3].public, *(member.public for member in NEW[:4])])


def test_the_absent_are_jailed_until_they_say_that_they_are_back(chain):
    for holder in HOLDERS:
        chain.do(holder, vote(*DELEGATES, NEW[0]))
    elected = elect(chain, attended(100, 100, 100, 30))
    assert delegate_at(chain.overlay, DELEGATES[3].public).jailed
    assert set(elected.keys) == {member.public for member in (*DELEGATES[:3], NEW[0])}
    assert elect(chain, following=elected) is elected
    chain.do(DELEGATES[3], UnjailBody())
    assert not delegate_at(chain.overlay, DELEGATES[3].public).jailed


def test_with_fewer_than_four_left_the_set_stays(chain):
    elected = elect(chain, attended(100, 100, 100, 30))
    assert elected is FIRST
    assert delegate_at(chain.overlay, DELEGATES[3].public).jailed


def test_the_state_names_the_set(chain):
    for holder in HOLDERS:
        chain.do(holder, vote(*NEW[:4]))
    elected = elect(chain)
    assert decode(chain.overlay.get(ELECTED_KEY)) == elected.hash
    assert read_set(chain.overlay, ELECTED.chain_id, elected.hash) == elected
    assert read_set(chain.overlay, ELECTED.chain_id, FIRST.hash) == FIRST
    assert read_set(chain.overlay, ELECTED.chain_id, bytes(32)) is None
