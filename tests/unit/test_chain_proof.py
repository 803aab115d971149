"""Log proofs: what holds, and every way in which one must not."""

import pytest
from chain_case import DELEGATES, GENESIS, SmallChain, anchor, genesis_bytes, key, party
from msgspec.structs import replace

from chain.block import Header, Vote, sign_vote
from chain.genesis import Genesis
from chain.merkle import ProofError
from chain.proof import Known, verify_finality, verify_log_proof, verify_recorded
from chain.transactions import parse_transaction


@pytest.fixture(scope="module")
def ledger(tmp_path_factory):
    chain = SmallChain(tmp_path_factory.mktemp("chain"))
    chain.record(party())
    chain.record(*(anchor(number) for number in range(5)))
    chain.record(anchor(5))
    chain.close()
    return chain.ledger()


def test_every_transaction_is_proven_at_every_height_that_holds_it(ledger):
    sizes = {height: ledger.block(height).header.log_size for height in (1, 2, 3)}
    for index in range(7):
        for height, size in sizes.items():
            if index < size:
                proof = ledger.prove(index, at_height=height)
                assert verify_log_proof(proof, GENESIS).height == height
                assert proof.transaction == next(
                    raw
                    for h in (1, 2, 3)
                    for raw in [*ledger.block(h).transactions]
                    if parse_transaction(raw) == parse_transaction(proof.transaction)
                )
            else:
                with pytest.raises(ProofError):
                    ledger.prove(index, at_height=height)


def test_the_proof_of_a_transaction_is_against_its_own_block_for_ever(ledger):
    assert [verify_log_proof(ledger.prove(index), GENESIS).height for index in range(7)] == [1, 2, 2, 2, 2, 2, 3]


@pytest.mark.parametrize(("index", "height"), [(7, None), (-1, None), (0, 4), (0, 0)])
def test_what_is_not_there_is_not_proven(ledger, index, height):
    with pytest.raises(ProofError):
        ledger.prove(index, at_height=height)


def test_exactly_a_quorum_of_votes(ledger):
    assert [vote.delegate for vote in ledger.prove(0).votes] == [0, 1, 2]


def vote_of(index, header):
    return Vote(index, sign_vote(DELEGATES[index], GENESIS.chain_id, header.height, header.hash()))


def rewritten(proof, **changes):
    """The proof with another header that all delegates did vote for: what only the header's own values can betray."""
    header = replace(Header.from_bytes(proof.header), **changes)
    votes = tuple(vote_of(index, header) for index in range(3))
    return replace(proof, header=header.to_bytes(), votes=votes)


def swap(votes, place, vote):
    return (*votes[:place], vote, *votes[place + 1 :])


def flip(data, place=0):
    return data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]


FORGERIES = {
    "transaction": lambda p: replace(p, transaction=flip(p.transaction, 20)),
    "transaction's signature": lambda p: replace(p, transaction=flip(p.transaction, -1 % len(p.transaction))),
    "another index": lambda p: replace(p, index=p.index + 1),
    "index beyond the log": lambda p: replace(p, index=p.index + 1000),
    "negative index": lambda p: replace(p, index=-1),
    "a sibling": lambda p: replace(p, path=(flip(p.path[0]), *p.path[1:])),
    "short path": lambda p: replace(p, path=p.path[:-1]),
    "long path": lambda p: replace(p, path=(*p.path, bytes(32))),
    "sibling of 31 bytes": lambda p: replace(p, path=(p.path[0][:31], *p.path[1:])),
    "header byte": lambda p: replace(p, header=flip(p.header, 60)),
    "header cut": lambda p: replace(p, header=p.header[:-1]),
    "header of junk": lambda p: replace(p, header=b"junk"),
    "a field more": lambda p: replace(p, header=b"\xae" + p.header[1:] + b"\x0d\x00"),
    "no votes": lambda p: replace(p, votes=()),
    "a vote less": lambda p: replace(p, votes=p.votes[:2]),
    "a valid vote more": lambda p: replace(p, votes=(*p.votes, vote_of(3, Header.from_bytes(p.header)))),
    "a vote twice": lambda p: replace(p, votes=(p.votes[0], p.votes[0], p.votes[1])),
    "votes out of order": lambda p: replace(p, votes=p.votes[::-1]),
    "one invalid vote": lambda p: replace(p, votes=swap(p.votes, 1, Vote(1, flip(p.votes[1].signature, 40)))),
    "a vote under another's name": lambda p: replace(p, votes=swap(p.votes, 2, Vote(3, p.votes[2].signature))),
    "a delegate that is not": lambda p: replace(p, votes=swap(p.votes, 2, Vote(4, p.votes[2].signature))),
    "a negative delegate": lambda p: replace(p, votes=swap(p.votes, 0, Vote(-4, p.votes[0].signature))),
    "vote of no bytes": lambda p: replace(p, votes=swap(p.votes, 0, Vote(0, b""))),
    "height 0": lambda p: rewritten(p, height=0),
    "a time that is not the slot's": lambda p: rewritten(p, time=1),
    "other delegates": lambda p: rewritten(p, delegates_hash=bytes(32)),
    "a producer that is no delegate": lambda p: rewritten(p, producer=key("x").public),
    "another chain": lambda p: rewritten(p, chain_id=bytes(32)),
    "another log": lambda p: rewritten(p, log_root=bytes(32)),
    "another log size": lambda p: rewritten(p, log_size=p.index + 1),
}


@pytest.mark.parametrize("forge", FORGERIES.values(), ids=FORGERIES)
def test_a_forged_proof_is_invalid(ledger, forge):
    with pytest.raises(ProofError):
        verify_log_proof(forge(ledger.prove(2)), GENESIS)


def test_an_honest_rewriting_is_what_the_forgeries_are_not(ledger):
    proof = rewritten(ledger.prove(2))
    assert verify_log_proof(proof, GENESIS).to_bytes() == proof.header


def test_another_genesis_proves_nothing(ledger):
    with pytest.raises(ProofError, match="another chain"):
        verify_log_proof(ledger.prove(2), Genesis.parse(genesis_bytes(heartbeat_slots=11)))


def test_proofs_that_share_a_header_check_it_once(ledger):
    proofs = [ledger.prove(index, at_height=3) for index in range(7)]
    assert len({(proof.header, proof.votes) for proof in proofs}) == 1
    header = verify_finality(proofs[0].header, proofs[0].votes, GENESIS, Known.at_genesis(GENESIS))
    for proof in proofs:
        verify_recorded(proof.transaction, proof.index, proof.path, header)
