"""A delegate's copy, its refusals and the engine's mailbox, with real databases and watermarks and no network."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from chain_case import DELEGATES, GENESIS, SmallChain, anchor, key
from delegate_case import Elsewhere, Round
from msgspec.structs import replace

from chain import block as block_module
from chain.ballot import Ballot, BallotInvalid
from chain.block import FormatUnknown, Vote, block_hash, sign_header, sign_vote
from chain.database import LedgerDamaged
from chain.encoding import decode, encode
from chain.engine import NoQuorum
from chain.entries import anchor_key
from chain.format import Switch
from chain.keys import SignatureInvalid
from chain.state_machine import Candidate
from chain.verify import verify_chain
from chain.watermark import Duty, read_marks
from gateway.client.blocks import ChainUnreachable
from gateway.client.delegate import ChainContradicted


@pytest.fixture
def round_(tmp_path):
    made = Round(tmp_path)
    yield made
    made.close()


def edit(path, statement, *values):
    with closing(sqlite3.connect(path)) as database, database:
        assert database.execute(statement, values).rowcount == 1


def contradiction(other):
    with pytest.raises(ChainContradicted) as caught:
        other.delegation.run()
    [refused] = other.events("refused")
    return caught.value.finding.code.value, caught.value.finding.subject, json.loads(Path(refused["proof"]).read_bytes())


def test_all_vote_and_each_produces_in_its_slot(round_):
    blocks = [round_.record() for _ in range(8)]
    assert all([vote.delegate for vote in block.votes] == [0, 1, 2, 3] for block in blocks)
    assert {block.header.producer for block in blocks} == {member.public for member in DELEGATES}
    round_.settle()
    for other in round_.others:
        assert (other.replica.height, other.replica.hash) == (8, blocks[-1].hash)
        marks = read_marks(other.folder / "key.watermark", GENESIS.chain_id, other.member.public)
        assert list(verify_chain(other.store, GENESIS, [marks["voted"]])) == []
    assert round_.chain.findings(round_.chain.known()) == []


def test_the_slot_of_a_producer_that_is_away_passes_and_its_block_is_dropped(round_):
    away = round_.others[0]
    away.is_up = False
    made = [_recorded(round_) for _ in range(8)]
    assert 4 <= len([block for block in made if block]) < 8
    assert all([vote.delegate for vote in block.votes] == [0, 2, 3] for block in made if block)
    assert round_.chain.findings() == []


def test_one_that_returns_catches_up_and_signs_nothing_twice(round_):
    away = round_.others[0]
    round_.record()
    away.is_up = False
    meanwhile = [_recorded(round_) for _ in range(4)]
    assert any(meanwhile)
    away.close()
    away.open()  # as after kill -9: nothing but what is on disk
    away.is_up = True
    made = [_recorded(round_) for _ in range(5)]
    assert [vote.delegate for vote in made[-1].votes] == [0, 1, 2, 3]
    signed = [(one["duty"], one["height"], one["hash"]) for one in away.events("signed")]
    assert len({one[:2] for one in signed}) == len(set(signed))


def test_two_that_are_away_stop_the_chain_and_one_that_returns_moves_it(round_):
    round_.record()
    for other in round_.others[:2]:
        other.is_up = False
    round_.chain.submit(anchor(200))
    for _ in range(4):
        with pytest.raises(NoQuorum):
            round_.chain.produce()
    stands = round_.chain.store.proposal()
    round_.reopen()
    round_.others[0].is_up = True
    made = [block for block in (_produced(round_) for _ in range(5)) if block]
    assert made
    if stands.signature is not None:
        assert (made[0].header.to_bytes(), made[0].signature) == (stands.header, stands.signature)
    assert round_.chain.findings() == []


def test_ballots_that_do_not_hold_do_not_count(round_):
    liar = round_.others[0]

    class Lies(type(round_.shown)):
        def send(self, ballot):
            if ballot.delegate == liar.member.public:
                ballot = replace(ballot, signature=bytes(64))
            super().send(ballot)

    round_.shown.__class__ = Lies
    made = []
    for number in range(6):
        round_.chain.submit(anchor(number))
        made.append(_produced(round_))
    assert [block for block in made if block]
    assert all([vote.delegate for vote in block.votes] == [0, 2, 3] for block in made if block)
    liar.is_up = round_.others[1].is_up = False
    round_.number = 50
    with pytest.raises(NoQuorum):
        [round_.record() for _ in range(4)]


def test_an_edited_block_is_found_and_kept_as_proof(round_):
    blocks = [round_.record() for _ in range(4)]
    round_.settle()
    second = blocks[1]
    edited = round_.chain.signed(anchor(99))
    cases = {
        ("log-mismatch", "transaction 1"): replace(second, transactions=(edited,)),
        ("vote-invalid", "height 2"): replace(second, votes=second.votes[:3]),
        ("block-invalid", "height 2"): replace(second, signature=bytes(64)),
    }
    for other, (found, block) in zip(round_.others, cases.items(), strict=True):
        round_.shown.blocks = {2: block}
        code, subject, proof = contradiction(other)
        assert (code, subject) == found
        assert set(proof["shown"]) == {"header", "signature", "transactions", "votes"}


def test_an_edited_database_row_is_found(round_):
    """An anchored digest, edited in the stored transaction itself."""
    for _ in range(3):
        round_.record()
    round_.settle()
    forged = round_.chain.signed(anchor(77))
    edit(round_.chain.folder / "ledger.db", "UPDATE log_entry SET raw = ? WHERE log_index = 1", forged)
    assert contradiction(round_.others[0])[:2] == ("log-mismatch", "transaction 1")


def test_a_chain_that_was_cut_is_found_at_its_end(round_):
    for _ in range(3):
        round_.record()
    round_.settle()
    round_.shown.end = 1
    assert contradiction(round_.others[0])[:2] == ("block-missing", "height 2")


def test_another_history_is_found_where_it_begins(round_, tmp_path):
    """The same genesis, the same first two blocks, and then others, by all four keys: longer and as valid as the one that was final."""
    (tmp_path / "forged").mkdir()
    forged = SmallChain(tmp_path / "forged")
    for number in (1, 2):
        ours, theirs = round_.record(), forged.record(anchor(number))
        assert ours.hash == theirs.hash
    round_.record()
    round_.settle()
    for number in range(50, 55):
        forged.record(anchor(number))
    round_.shown.chain = forged
    code, subject, proof = contradiction(round_.others[0])
    assert (code, subject) == ("block-invalid", "height 3")
    assert proof["shown"]["votes"]
    forged.close()


def test_who_was_away_takes_no_history_that_one_key_signed(round_):
    """The operator alone: blocks of its own with its own vote, for a delegate that has seen nothing yet."""
    late = round_.others[0]
    late.is_up = False
    block = next(block for block in (_recorded(round_) for _ in range(4)) if block)
    vote = Vote(0, sign_vote(DELEGATES[0], GENESIS.chain_id, 1, block.hash))
    round_.shown.blocks = {1: replace(block, votes=(vote,))}
    assert contradiction(late)[:2] == ("vote-invalid", "height 1")
    assert late.replica.height == 0


def test_an_edited_state_row_makes_blocks_that_honest_delegates_refuse(round_):
    """The anchor's entry is taken out of the gateway's state, so that the container can be anchored once more."""
    for _ in range(2):
        round_.record()
    round_.settle()
    edit(round_.chain.folder / "ledger.db", "DELETE FROM state_entry WHERE entry_key = ?", _anchor_key(1))
    round_.chain.submit(anchor(1))
    for _ in range(4):
        with pytest.raises(NoQuorum):
            round_.chain.produce()
    assert all("duplicate" in other.events("refused")[0]["detail"] for other in round_.others)
    assert all(other.events("refused")[0]["subject"] == "height 3, proposed" for other in round_.others)
    with pytest.raises(LedgerDamaged):
        round_.reopen()
    round_.chain.engine = None


def test_an_own_copy_that_was_edited_is_not_opened(round_):
    round_.record()
    round_.settle()
    other = round_.others[0]
    other.close()
    edit(other.folder / "ledger.db", "DELETE FROM state_entry WHERE entry_key = ?", _anchor_key(1))
    with pytest.raises(LedgerDamaged):
        other.open()
    other.store.close()
    other.close = lambda: None


def test_all_go_on_to_the_planned_version_and_who_does_not_know_it_stops_there(round_, monkeypatch):
    round_.chain.switch = Switch(1, 1)
    round_.reopen()
    old = round_.others[0]
    versions = [round_.record().header.version for _ in range(2)]
    round_.settle()
    old.is_up = False
    round_.chain.switch = Switch(2, 3)
    round_.reopen()
    versions += [block.header.version for block in (_recorded(round_) for _ in range(6)) if block]
    assert versions[:3] == [1, 1, 2]
    assert set(versions[3:]) == {2}
    progress = round_.shown.progress()
    monkeypatch.setattr(round_.shown, "progress", lambda _: progress)
    monkeypatch.setattr(block_module, "LATEST", 1)
    with pytest.raises(FormatUnknown, match="from height 3 on the chain has version 2"):
        old.delegation.run()
    assert (old.replica.height, old.events("refused")) == (2, [])
    monkeypatch.undo()  # a program that knows it
    old.is_up = True
    round_.settle()
    assert old.replica.height == round_.others[1].replica.height == len(versions)
    assert list(verify_chain(old.store, GENESIS)) == []


def test_an_old_block_shown_in_a_version_that_nobody_knows_is_another_history(round_):
    round_.record()
    round_.settle()

    class Invents(type(round_.shown)):
        def progress(self, _):
            """Nothing new."""

        def block(self, height):
            header = super().block(height).header
            return type(header).from_bytes(encode({**decode(header.to_bytes()), 0: 9}))

    round_.shown.__class__ = Invents
    with pytest.raises(ChainContradicted):
        round_.others[0].delegation.run()


def test_a_producer_signs_no_block_of_a_slot_to_come(round_):
    other = round_.others[0]
    machine, committed = other.replica._committed.machine, other.replica._committed
    slot = next(slot for slot in range(50, 60) if committed.tip.acting.keys[machine.producer(committed.tip, slot)] == other.member.public)
    proposal = machine.build(committed.tip, committed.state, slot, [Candidate(1, round_.chain.signed(anchor(1)))]).proposal
    other.delegation._answer(proposal)
    assert other.events("refused")[0]["detail"] == "the block is from a slot that has not begun"
    signed = replace(proposal, signature=sign_header(other.member, GENESIS.chain_id, proposal.header))
    other.delegation._answer(signed)
    assert [one["event"] for one in other.said] == ["refused", "refused"]
    assert read_marks(other.folder / "key.watermark", GENESIS.chain_id, other.member.public) == {}


def test_a_gateway_that_cannot_show_its_checkpoint_gets_votes_all_the_same(round_, monkeypatch):
    def unseen():
        raise ChainUnreachable("the gateway answered 503: without a reason")

    monkeypatch.setattr(round_.shown, "checkpoint", unseen)
    assert round_.record() is not None
    assert round_.record() is not None
    for other in round_.others:
        assert len(other.events("checkpoint-unseen")) == 1, "said once"


def test_two_blocks_of_one_height_are_not_both_voted_for(round_):
    """Both hold, both are signed by their slots' producers; a gateway shows one after the other, and after a crash in between."""
    other = round_.others[0]
    machine, committed = other.replica._committed.machine, other.replica._committed
    members = {member.public: member for member in DELEGATES}
    round_.chain.slot = 10
    shown = []
    for slot in (5, 6):
        built = machine.build(committed.tip, committed.state, slot, [Candidate(1, round_.chain.signed(anchor(slot)))]).proposal
        producer = members[committed.tip.acting.keys[machine.producer(committed.tip, slot)]]
        shown.append(replace(built, signature=sign_header(producer, GENESIS.chain_id, built.header)))
    other.replica.sign(shown[0], round_.chain.now())
    other.delegation._answer(shown[1])
    other.close()
    other.open()
    other.delegation._answer(shown[1])
    assert [one["event"] for one in other.said] == ["refused", "refused"]
    assert all("already voted another block" in one["detail"] for one in other.said)
    assert other.replica.sign(shown[0], round_.chain.now()).block_hash == block_hash(GENESIS.chain_id, shown[0].header)


@pytest.mark.parametrize(
    "fields",
    [
        {0: 2, 1: 2, 2: 1, 3: bytes(32), 4: bytes(32), 5: bytes(64)},
        {0: 1, 1: 3, 2: 1, 3: bytes(32), 4: bytes(32), 5: bytes(64)},
        {0: True, 1: 2, 2: 1, 3: bytes(32), 4: bytes(32), 5: bytes(64)},
        {0: 1, 1: 2, 2: 0, 3: bytes(32), 4: bytes(32), 5: bytes(64)},
        {0: 1, 1: 2, 2: 1, 3: bytes(31), 4: bytes(32), 5: bytes(64)},
        {0: 1, 1: 2, 2: 1, 3: bytes(32), 4: bytes(32), 5: "x"},
        {0: 1, 1: 2, 2: 1, 3: bytes(32), 4: bytes(32), 5: bytes(64), 6: 0},
        [1, 2],
    ],
)
def test_what_is_no_ballot_is_refused(fields):
    with pytest.raises(BallotInvalid):
        Ballot.from_bytes(encode(fields))
    with pytest.raises(BallotInvalid):
        Ballot.from_bytes(b"\x00" * 1000)


def test_a_ballot_holds_for_its_block_alone():
    member = key("m")
    hash_ = block_hash(GENESIS.chain_id, b"header")
    vote = Ballot(Duty.VOTE, 1, hash_, member.public, sign_vote(member, GENESIS.chain_id, 1, hash_))
    vote.verify(GENESIS.chain_id, b"header")
    assert Ballot.from_bytes(vote.to_bytes()) == vote
    for wrong in (replace(vote, height=2), replace(vote, block_hash=bytes(32)), replace(vote, duty=Duty.PRODUCE)):
        with pytest.raises(SignatureInvalid):
            wrong.verify(GENESIS.chain_id, b"header")


def test_a_delegate_that_has_no_part_in_it_says_why(round_, tmp_path):
    stranger = Elsewhere(tmp_path / "stranger", key("stranger"), round_.shown, round_.chain.now)
    for _ in range(3):
        round_.record()
        stranger.delegation.turn()
    [waiting] = stranger.events("waiting")
    assert "of its genesis, for good, and it is none of them" in waiting["reason"]
    round_.settle()
    assert not any(other.events("waiting") for other in round_.others)
    stranger.close()


def _anchor_key(number):
    return anchor_key(anchor(number).digest)


def _produced(round_):
    try:
        return round_.chain.produce()
    except NoQuorum:
        return None


def _recorded(round_):
    round_.number += 1
    round_.chain.submit(anchor(round_.number))
    return _produced(round_)
