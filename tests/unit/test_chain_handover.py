"""A chain whose delegates change: blocks, restarts, verification and proofs across elections. Epochs of four blocks."""

import pytest
from chain_case import DELEGATES, ELECTED, HOLDERS, NEW, SmallChain, anchor, key, registration, vote
from elected_case import elect_new, grow
from msgspec.structs import replace

from chain.block import Header, Vote, sign_vote
from chain.delegate_set import DelegateSet
from chain.engine import NoQuorum
from chain.merkle import ProofError
from chain.proof import Known, verify_finality, verify_handovers, verify_log_proof
from chain.stake import DelegateAction, DelegateBody, TransferBody, UnjailBody

MEMBERS = {member.public: member for member in (*DELEGATES, *NEW)}


@pytest.fixture(scope="module")
def grown(tmp_path_factory):
    """Twenty blocks: seven delegates from block 9 on, four again (of them one new) from block 17 on."""
    chain = SmallChain(tmp_path_factory.mktemp("grown"), ELECTED)
    elect_new(chain)
    grow(chain, 9)
    for holder in HOLDERS:
        chain.submit(vote(*DELEGATES[:3], NEW[0]), signer=holder)
    grow(chain, 20)
    chain.close()
    return chain


def test_the_new_set_acts_one_epoch_after_its_election(grown):
    ledger = grown.ledger()
    headers = {height: ledger.block(height).header for height in range(1, 21)}
    first = ELECTED.first_set
    seven = DelegateSet.of(ELECTED.chain_id, sorted(member.public for member in (*DELEGATES, *NEW[:3])))
    four = DelegateSet.of(ELECTED.chain_id, sorted(member.public for member in (*DELEGATES[:3], NEW[0])))
    for height, acting, following in (
        (4, first, first),
        (5, first, seven),
        (8, first, seven),
        (9, seven, seven),
        (16, seven, four),
        (17, four, four),
    ):
        assert (headers[height].delegates_hash, headers[height].next_delegates_hash) == (acting.hash, following.hash), height
    assert [len(ledger.block(height).votes) for height in (8, 9, 16, 17)] == [4, 7, 7, 4]
    assert [len(headers[height].voters) for height in (8, 10)] == [1, 1]
    assert headers[10].voters == b"\x7f"
    assert {headers[height].producer for height in range(17, 21)} <= set(four.keys)


def test_a_changed_chain_verifies_and_reopens(grown):
    grown.open()
    assert grown.findings(grown.known()) == []
    tip = grown.engine._committed.tip
    assert len(tip.attendance) == 20
    assert [len(block.voted()) for block in tip.attendance] == [4] * 8 + [7] * 8 + [4] * 4
    grown.close()


def test_reopening_at_every_height_changes_nothing(tmp_path):
    """What is read back from the store is what the running engine had."""
    chain = SmallChain(tmp_path, ELECTED)
    elect_new(chain)
    while chain.ledger().height() < 13:
        grow(chain, chain.ledger().height() + 1)
        before = chain.engine._committed.tip
        chain.reopen()
        assert chain.engine._committed.tip == before
    assert chain.findings(chain.known()) == []
    chain.close()


def test_an_idle_chain_elects_too(tmp_path):
    """The last block of an epoch may be a heartbeat: it is empty and changes the state all the same."""
    chain = SmallChain(tmp_path, ELECTED)
    elect_new(chain)
    roots = []
    while len(roots) < 8:
        if final := chain.produce():
            assert final.transactions == ()
            roots.append((final.header.height, final.header.state_root))
    assert [height for at, (height, root) in enumerate(roots[1:], 1) if root != roots[at - 1][1]] == [4]
    chain.reopen()
    assert chain.findings(chain.known()) == []
    assert len(chain.record(anchor(1)).votes) == 7
    chain.close()


def test_the_absent_are_jailed_and_come_back(tmp_path):
    chain = SmallChain(tmp_path, ELECTED)
    chain.add_delegate(NEW[0])
    chain.reopen()
    chain.submit(registration(NEW[0]), signer=HOLDERS[0])
    for holder in HOLDERS:
        chain.submit(vote(*DELEGATES, NEW[0]), signer=holder)
    chain.produce()
    everybody, last = chain.keys, max(DELEGATES, key=lambda member: member.public)
    chain.keys = tuple(member for member in chain.keys if member is not last)
    chain.reopen()
    while chain.ledger().height() < 9:
        chain.submit(anchor(chain.slot))
        chain.produce()
    ledger = chain.ledger()
    assert ledger.delegates.delegate(last.public).jailed
    assert NEW[0].public in ledger.delegates.acting().keys
    assert last.public not in ledger.delegates.acting().keys
    chain.keys = everybody
    chain.reopen()
    chain.record(UnjailBody(), signer=last)
    assert not ledger.delegates.delegate(last.public).jailed
    assert chain.findings(chain.known()) == []
    chain.close()


def test_a_quorum_is_of_the_acting_set(tmp_path):
    chain = SmallChain(tmp_path, ELECTED)
    elect_new(chain)
    grow(chain, 8)
    chain.keys = DELEGATES
    chain.reopen()
    chain.submit(anchor(1))
    with pytest.raises(NoQuorum, match="4 of 5 votes"):
        [chain.produce() for _ in range(10)]
    chain.keys = (*DELEGATES, NEW[0])
    chain.reopen()
    assert len(chain.produce().votes) == 5
    assert chain.findings(chain.known()) == []
    chain.close()


def test_refused_in_the_pool_with_its_reason(tmp_path):
    chain = SmallChain(tmp_path, ELECTED)
    chain.submit(TransferBody(HOLDERS[1].public, 501), signer=HOLDERS[0])
    chain.submit(DelegateBody(DelegateAction.RESIGN), signer=key("stranger"))
    assert chain.produce() is None
    assert [item.reason.value for item in chain.ledger().rejected()] == ["stake-too-small", "delegate-unknown"]
    chain.close()


def indices(ledger):
    """The log index of an anchor in each of three blocks: before, between and after the handovers."""
    return [ledger.block(height).first_log_index for height in (7, 12, 20)]


def test_proofs_hold_across_elections(grown):
    ledger = grown.ledger()
    before, between, after = (ledger.prove(index) for index in indices(ledger))
    assert [len(proof.handovers) for proof in (before, between, after)] == [0, 1, 2]
    assert [len(proof.votes) for proof in (before, between, after)] == [3, 5, 3]
    for proof in (before, between, after):
        verify_log_proof(proof, ELECTED)


def test_a_pinned_header_spares_the_handovers_before_it(grown):
    ledger = grown.ledger()
    index = indices(ledger)[2]
    whole = ledger.prove(index)
    for height, left in ((0, 2), (4, 2), (8, 1), (12, 1), (16, 0), (17, 0)):
        acting = verify_handovers(ledger.delegates.handovers(height + 1), ELECTED, Known.at_genesis(ELECTED)).acting
        proof = ledger.prove(index, start=height + 1)
        assert len(proof.handovers) == left
        assert verify_log_proof(proof, ELECTED, Known(height, acting)) == verify_log_proof(whole, ELECTED)
    with pytest.raises(ProofError):
        verify_log_proof(ledger.prove(index, start=17), ELECTED)


def resigned(handover, members, **changes):
    """The handover with another header that a quorum of `members` did vote for."""
    header = replace(Header.from_bytes(handover.header), **changes)
    votes = tuple(Vote(index, sign_vote(member, ELECTED.chain_id, header.height, header.hash())) for index, member in enumerate(members))
    return replace(handover, header=header.to_bytes(), votes=votes)


def flip(data, place=0):
    return data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]


STRANGERS = tuple(key(f"stranger {number}").public for number in range(4))
HANDOVERS = {
    "none": lambda h, p: (),
    "the first left out": lambda h, p: h[1:],
    "the last left out": lambda h, p: h[:1],
    "the other way round": lambda h, p: h[::-1],
    "one twice": lambda h, p: (h[0], *h),
    "the header's byte": lambda h, p: (replace(h[0], header=flip(h[0].header, 60)), h[1]),
    "a vote less": lambda h, p: (replace(h[0], votes=h[0].votes[:-1]), h[1]),
    "a vote's byte": lambda h, p: (replace(h[0], votes=(*h[0].votes[:-1], Vote(2, flip(h[0].votes[2].signature)))), h[1]),
    "other delegates": lambda h, p: (replace(h[0], delegates=STRANGERS), h[1]),
    "delegates in another order": lambda h, p: (replace(h[0], delegates=h[0].delegates[::-1]), h[1]),
    "a delegate less": lambda h, p: (replace(h[0], delegates=h[0].delegates[1:]), h[1]),
    "not the last of its epoch": lambda h, p: (resigned(h[0], DELEGATES[:3], height=7), h[1]),
    "one that changes nothing": lambda h, p: (
        replace(resigned(h[0], DELEGATES[:3], height=4, next_delegates_hash=ELECTED.first_set.hash), delegates=ELECTED.first_set.keys),
        *h,
    ),
    "of the set before": lambda h, p: (h[0], resigned(h[1], DELEGATES[:3], delegates_hash=ELECTED.first_set.hash)),
    "later than the header": lambda h, p: (
        h[0],
        resigned(h[1], [MEMBERS[member] for member in h[0].delegates[:5]], height=24),
    ),
}


@pytest.mark.parametrize("change", HANDOVERS.values(), ids=HANDOVERS)
def test_forged_handovers_prove_nothing(grown, change):
    proof = grown.ledger().prove(indices(grown.ledger())[2])
    with pytest.raises(ProofError):
        verify_log_proof(replace(proof, handovers=change(proof.handovers, proof)), ELECTED)


def test_an_honest_resigning_is_what_the_forgeries_are_not(grown):
    proof = grown.ledger().prove(indices(grown.ledger())[2])
    resigned_proof = replace(proof, handovers=(resigned(proof.handovers[0], DELEGATES[:3]), proof.handovers[1]))
    assert verify_log_proof(resigned_proof, ELECTED).to_bytes() == proof.header


def test_a_handover_more_than_needed_is_refused(grown):
    ledger = grown.ledger()
    between, after = (ledger.prove(index) for index in indices(ledger)[1:])
    with pytest.raises(ProofError, match="not later"):
        verify_log_proof(replace(between, handovers=after.handovers), ELECTED)


def test_old_delegates_prove_nothing_after_their_handover(grown):
    """The first set, whose keys may be anybody's by now, signs a block of a later epoch."""
    ledger = grown.ledger()
    proof = ledger.prove(indices(ledger)[1])
    header = replace(Header.from_bytes(proof.header), delegates_hash=ELECTED.first_set.hash, producer=DELEGATES[0].public)
    votes = tuple(
        Vote(index, sign_vote(member, ELECTED.chain_id, header.height, header.hash())) for index, member in enumerate(DELEGATES[:3])
    )
    after = verify_handovers(proof.handovers, ELECTED, Known.at_genesis(ELECTED))
    with pytest.raises(ProofError, match="not those that act"):
        verify_finality(header.to_bytes(), votes, ELECTED, after)
