"""Slots, pool, blocks: the engine on a real database in a temporary folder."""

import pytest
from chain_case import (
    DELEGATES,
    GATEWAY_ID,
    GENESIS,
    STARTED_AT,
    SmallChain,
    anchor,
    batch,
    genesis_bytes,
    grant,
    key,
    party,
    revoke,
)
from msgspec.structs import replace

from chain import block as block_module
from chain.block import BlockInvalid, FormatUnknown
from chain.database import LedgerDamaged, LedgerMissing
from chain.delegate import LocalDelegate
from chain.engine import NoQuorum
from chain.format import FORMATS, Switch
from chain.genesis import Genesis
from chain.keys import SignatureInvalid
from chain.ledger import Ledger
from chain.refusal import Reason
from chain.schedule import producer_index
from chain.state_machine import Candidate, _fitting
from chain.store import LedgerStore
from chain.tables import log_tile, state_entry
from chain.transactions import TransactionInvalid, parse_transaction
from chain.watermark import WatermarkUnusable

pytestmark = pytest.mark.both_databases(slow=True)


@pytest.fixture
def chain(tmp_path):
    chain = SmallChain(tmp_path)
    yield chain
    chain.close()


def test_a_block_records_what_was_submitted(chain):
    final = chain.record(anchor(1), anchor(2))
    assert (final.header.height, final.header.slot, final.header.time, final.header.log_size) == (1, 1, STARTED_AT + 2, 2)
    assert final.header.previous == GENESIS.chain_id
    assert [vote.delegate for vote in final.votes] == [0, 1, 2, 3]
    ledger = chain.ledger()
    assert ledger.block(1) == final
    assert ledger.head() == final.header
    assert [ledger.anchor_of(anchor(number).digest) for number in (1, 2, 3)] == [0, 1, None]
    assert ledger.pending() == 0
    assert chain.findings(chain.known()) == []


def test_the_next_header_names_who_voted(chain):
    chain.record(anchor(1))
    assert chain.record(anchor(2)).header.voters == b"\x0f"
    assert chain.ledger().block(1).header.voters == b"\x00"


def test_an_idle_chain_makes_a_block_only_when_a_heartbeat_is_due(chain):
    made = [chain.produce() for _ in range(31)]
    heights = [(slot, final.header.height) for slot, final in enumerate(made, 1) if final]
    assert heights == [(9, 1), (19, 2), (29, 3)]
    assert len({final.header.state_root for final in made if final}) == 1
    assert chain.findings() == []


def test_one_block_a_slot_and_never_back_in_time(chain):
    chain.record(anchor(1))
    chain.submit(anchor(2))
    assert chain.produce(slots=0) is None
    chain.slot -= 1
    assert chain.produce(slots=0) is None
    assert chain.produce(slots=2).header.height == 2


def test_nothing_before_the_start(chain):
    chain.submit(anchor(1))
    assert chain.engine.produce(STARTED_AT - 1) is None
    assert chain.engine.produce(STARTED_AT).header.slot == 0


def test_the_slots_delegate_produces(chain):
    for number in range(12):
        final = chain.record(anchor(number))
        seed = GENESIS.chain_id if number < 4 else chain.ledger().block(number // 4 * 4).hash
        assert final.header.producer == DELEGATES[producer_index(GENESIS.chain_id, 4, seed, final.header.slot)].public
    chain.reopen()
    assert chain.record(anchor(99)).header.height == 13
    assert chain.findings() == []


def test_a_source_counts_once_whatever_became_of_it(chain):
    chain.submit(anchor(1), anchor(2), first_source=10)
    chain.submit(anchor(1), anchor(2), first_source=10)  # waiting
    assert chain.ledger().pending() == 2
    assert len(chain.produce().transactions) == 2
    chain.submit(anchor(1), anchor(2), anchor(2), first_source=10)  # recorded; 12 is new, and refused
    assert chain.ledger().pending() == 1
    assert chain.produce() is None
    chain.submit(anchor(3), first_source=12)  # refused before
    assert chain.ledger().pending() == 0
    assert [(item.source, item.reason) for item in chain.ledger().rejected()] == [(12, Reason.DUPLICATE)]


def test_one_source_twice_in_one_call(chain):
    chain.engine.submit_all([(chain.signed(anchor(1)), 5), (chain.signed(anchor(1)), 5)])
    assert chain.ledger().pending() == 1


def test_what_is_refused_leaves_the_pool_with_its_reason(chain):
    chain.submit(anchor(1), anchor(1, leaves=9), first_source=1)
    chain.submit(anchor(2), valid_until=1, first_source=3)
    chain.submit(anchor(3), signer=key("stranger"), first_source=4)
    broken = chain.signed(anchor(4))
    chain.engine.submit(broken[:-1] + bytes([broken[-1] ^ 1]), 5)
    chain.submit(party(), party(), first_source=6)
    chain.produce()
    chain.submit(anchor(5), valid_until=1, first_source=8)
    assert chain.produce() is None
    reasons = [(item.source, item.reason.value, item.height) for item in chain.ledger().rejected()]
    assert reasons == [
        (2, "duplicate", 1),
        (4, "signer-not-a-gateway", 1),
        (5, "signature-invalid", 1),
        (7, "duplicate", 1),
        (8, "expired", 2),
    ]
    assert all(len(item.tx_id) == 32 for item in chain.ledger().rejected())
    assert len(chain.ledger().block(1).transactions) == 3
    assert chain.ledger().pending() == 0
    assert chain.findings() == []


def test_bytes_that_no_state_admits_are_refused_at_once_and_all_with_them(chain):
    with pytest.raises(TransactionInvalid):
        chain.engine.submit_all([(chain.signed(anchor(1)), 1), (b"junk", 2)])
    assert chain.ledger().pending() == 0


@pytest.mark.parametrize("limits", FORMATS.values(), ids=FORMATS)
def test_blocks_are_capped_in_transactions_and_bytes(limits):
    small = [Candidate(number, b"x" * 10) for number in range(limits.transactions + 5)]
    assert len(_fitting(small, limits)) == limits.transactions
    large = [Candidate(number, b"x" * (limits.size // 10)) for number in range(20)]
    assert len(_fitting(large, limits)) == 10
    assert _fitting(large[:3], limits) == large[:3]


def test_what_a_block_holds_follows_the_version_and_the_version_follows_the_plan(tmp_path):
    """A chain of version 1 goes on to version 2 at a height, through a restart without the plan, and verifies as one."""
    chain = SmallChain(tmp_path, switch=Switch(1, 1))
    many = FORMATS[1].transactions + 3
    chain.submit(*(anchor(number) for number in range(many)))
    first, second = chain.produce(), chain.produce()
    chain.switch = Switch(2, 4)
    chain.reopen()
    third = chain.record(anchor(many))
    chain.submit(*(anchor(number) for number in range(many + 1, 2 * many)))
    fourth = chain.produce()
    chain.switch = None
    chain.reopen()
    blocks = (first, second, third, fourth, chain.record(anchor(2 * many)))
    assert [block.header.version for block in blocks] == [1, 1, 1, 2, 2]
    assert [len(block.transactions) for block in blocks] == [many - 3, 3, 1, many - 1, 1]
    assert chain.ledger().anchor_of(anchor(2 * many - 1).digest) == 2 * many - 1
    assert (chain.ledger().pending(), chain.findings()) == (0, [])
    chain.close()


def test_a_day_without_work_is_the_heartbeats_and_nothing_else(tmp_path):
    """Slots of a minute, a heartbeat after 60 of them, by a clock that the test moves: 24 of 1,440 slots make a block."""
    genesis = Genesis.parse(genesis_bytes(delegates=DELEGATES[:1], epoch_blocks=1000, heartbeat_slots=60, slot_seconds=60))
    chain = SmallChain(tmp_path, genesis=genesis, keys=DELEGATES[:1])
    before = dict(chain.store.read_buckets(range(1 << 16)))
    made = [chain.engine.produce(genesis.slot_time(slot)) for slot in range(24 * 60)]
    blocks = [block for block in made if block is not None]
    assert [block.header.slot for block in blocks] == list(range(59, 1440, 60))
    assert {block.transactions for block in blocks} == {()}
    assert {block.header.state_root for block in blocks} == {chain.engine._committed.state.root()}
    assert {block.header.log_size for block in blocks} == {0}
    assert dict(chain.store.read_buckets(range(1 << 16))) == before
    assert chain.findings() == []
    chain.close()


def test_a_program_that_does_not_know_the_version_says_so_and_changes_nothing(chain, monkeypatch):
    chain.record(anchor(1))
    monkeypatch.setattr(block_module, "LATEST", 1)
    with pytest.raises(
        FormatUnknown, match="from height 1 on the chain has version 2 of its format and this program knows versions 1 to 1"
    ):
        chain.reopen()
    monkeypatch.undo()
    chain.engine = None
    chain.reopen()
    assert chain.record(anchor(2)).header.height == 2
    assert chain.findings(chain.known()) == []


def test_parties_are_found_with_their_present_keys(chain):
    chain.record(anchor(0), party())
    chain.record(party(chain_action("ROTATE"), attestation="new"))
    ledger = chain.ledger()
    assert ledger.party("hospital-00000001").attestation_key == key("new").public
    assert ledger.party_of("hospital-00000001") == 2
    assert ledger.party_history("hospital-00000001") == [1, 2]
    chain.record(party(chain_action("SUSPEND")))
    assert ledger.party("hospital-00000001").suspended
    assert ledger.party_of("hospital-00000001") == 2
    assert ledger.party_history("hospital-00000001") == [1, 2, 3]
    assert ledger.party_of("gateway-00000000") == "genesis"
    assert (ledger.party_of("nobody-00000000"), ledger.party("nobody-00000000"), ledger.party_history("nobody-00000000")) == (
        None,
        None,
        [],
    )


def test_grants_are_found_as_they_stand(chain):
    chain.record(anchor(0), grant(1, 1), grant(2, 2))
    ledger = chain.ledger()
    given = ledger.grant(grant(1, 1).grant_id)
    assert (given.log_index, given.sequence, given.commitment, given.gateway) == (1, 1, grant(1, 1).commitment, GATEWAY_ID)
    assert given.is_in_force_at(2)
    assert ledger.grant(grant(3, 1).grant_id) is None
    chain.record(revoke(1, 4))
    ended = ledger.grant(grant(1, 1).grant_id)
    assert (ended.log_index, ended.revoked) == (1, (3, 4))
    assert parse_transaction(ledger.prove(3).transaction).body == revoke(1, 4)
    assert ledger.grant(grant(2, 2).grant_id).revoked is None
    assert ledger.last_sequence(GATEWAY_ID) == 4
    chain.reopen()
    chain.record(revoke(2, 5))
    assert chain.ledger().grant(grant(2, 2).grant_id).revoked == (4, 5)
    assert chain.findings(chain.known()) == []


def test_the_batch_of_a_number_is_found(chain):
    ledger = chain.ledger()
    assert ledger.access_batch_of(GATEWAY_ID, 1) is None
    assert ledger.last_sequence(GATEWAY_ID) == 0
    spans = [(2, 4), (6, 6), (7, 9), (20, 30)]
    chain.record(grant(1, 1), batch(2, 4), grant(2, 5), batch(6, 6), batch(7, 9))
    chain.record(revoke(1, 19), batch(20, 30, leaves=2))
    indices = dict(zip(spans, (1, 3, 4, 6), strict=True))
    for number in range(40):
        due = next((index for (first, last), index in indices.items() if first <= number <= last), None)
        assert ledger.access_batch_of(GATEWAY_ID, number) == due
    assert ledger.access_batch_of("gateway-00000001", 3) is None
    assert ledger.last_sequence(GATEWAY_ID) == 30
    assert chain.findings() == []


def test_a_grant_that_came_too_late_is_given_a_new_place_without_its_key(chain):
    """The one-time key's signature does not cover the number, so the gateway can put right what it let pass."""
    chain.submit(batch(5, 9), grant(1, 3))
    chain.produce()
    assert [item.reason for item in chain.ledger().rejected()] == [Reason.SEQUENCE_PASSED]
    chain.record(replace(grant(1, 3), sequence=10))
    assert chain.ledger().grant(grant(1, 3).grant_id).sequence == 10


def chain_action(name):
    from chain.transactions import PartyAction

    return PartyAction[name]


def test_a_quorum_suffices_and_fewer_stop_the_chain(tmp_path):
    chain = SmallChain(tmp_path)
    chain.keys = DELEGATES[:3]
    chain.reopen()
    made = []
    for number in range(8):
        chain.submit(anchor(number))
        made.append(chain.produce())
    absent = [final is None for final in made]
    assert any(absent), "the fourth delegate had no slot in two rounds"
    assert not all(absent)
    assert all(len(final.votes) == 3 for final in made if final)
    assert chain.findings() == []
    chain.keys = DELEGATES[:2]
    chain.reopen()
    chain.submit(anchor(100))
    with pytest.raises(NoQuorum, match="2 of 3 votes"):
        [chain.produce() for _ in range(4)]  # a slot of one of the two comes
    begun = chain.store.proposal()
    chain.keys = DELEGATES
    chain.reopen()
    final = chain.produce()
    assert (final.header.to_bytes(), final.signature) == (begun.header, begun.signature)
    assert chain.findings(chain.known()) == []
    chain.close()


def test_a_chain_of_one_delegate(tmp_path):
    chain = SmallChain(tmp_path, Genesis.parse(genesis_bytes(DELEGATES[:1])), DELEGATES[:1])
    assert len(chain.record(anchor(1)).votes) == 1
    assert chain.findings() == []
    chain.close()


class Stubborn(LocalDelegate):
    def vote(self, proposal, now):
        raise SignatureInvalid("no")


class Lying(LocalDelegate):
    def vote(self, proposal, now):
        return bytes(64)


@pytest.mark.parametrize("fault", [Stubborn, Lying])
def test_a_vote_that_does_not_come_or_hold_is_not_counted(chain, fault):
    member = chain.engine._delegates[DELEGATES[2].public]
    member.__class__ = fault
    assert [vote.delegate for vote in chain.record(anchor(1)).votes] == [0, 1, 3]
    assert chain.record(anchor(2)).header.voters == b"\x0b"
    assert chain.findings() == []


def test_a_voter_executes_for_itself(chain):
    """A proposal whose roots are not what execution gives is signed by nobody, not even its producer."""
    from chain.block import Header, Proposal

    chain.submit(anchor(1))
    chain.slot += 1
    honest = chain.engine._propose(1)
    header = Header.from_bytes(honest.header)
    voter = chain.engine._delegates[DELEGATES[0].public]
    for change in (
        {"state_root": header.state_root[:-1] + b"\x00"},
        {"log_root": bytes(32)},
        {"slot": 2, "time": header.time + 2},
        {"producer": key("x").public},
    ):
        forged = Proposal(replace(header, **change).to_bytes(), honest.transactions, bytes(64))
        with pytest.raises(BlockInvalid):
            voter.vote(forged, chain.now())
        with pytest.raises(BlockInvalid):
            voter.sign(forged)
    with pytest.raises(SignatureInvalid):
        voter.vote(Proposal(honest.header, honest.transactions, bytes(64)), chain.now())
    with pytest.raises(BlockInvalid, match="not begun"):
        voter.vote(honest, chain.now() - 4)
    assert chain.known() == []
    assert chain.produce(slots=0).header.height == 1


@pytest.mark.sqlite_only
def test_the_engine_does_not_go_on_from_damaged_rows(chain):
    chain.record(anchor(1), party())
    for change in (state_entry.update().values(value=b"\x00"), log_tile.update().values(hashes=bytes(64))):
        with chain.store.engine.connect() as connection:
            before = connection.connection.driver_connection.serialize()
        with chain.store.engine.begin() as connection:
            connection.execute(change)
        with pytest.raises(LedgerDamaged):
            chain.reopen()
        restore(chain, before)
    chain.open()


def restore(chain, image):
    chain.store.close()
    for path in chain.folder.glob("ledger.db-*"):
        path.unlink()
    (chain.folder / "ledger.db").write_bytes(image)


@pytest.mark.sqlite_only
def test_a_ledger_is_of_one_chain_and_made_once(chain):
    with pytest.raises(LedgerMissing, match="another genesis"):
        LedgerStore.open(chain.url, Genesis.parse(genesis_bytes(heartbeat_slots=11)))
    with pytest.raises(LedgerMissing, match="already"):
        LedgerStore.create(chain.url, GENESIS)
    with pytest.raises(LedgerMissing, match="no ledger"):
        Ledger.open(f"sqlite:///{chain.folder}/other.db", GENESIS)
    with pytest.raises(LedgerMissing, match="form"):
        Ledger.open("postgresql://host/ledger", GENESIS)
    assert not (chain.folder / "other.db").exists()


def test_a_second_engine_is_kept_out(chain):
    with pytest.raises(WatermarkUnusable, match="in use"):
        chain.open()


@pytest.mark.sqlite_only
def test_readers_cannot_write(chain):
    from sqlalchemy.exc import OperationalError

    ledger = chain.ledger()
    with pytest.raises(OperationalError, match="readonly"), ledger._store.engine.begin() as connection:
        connection.execute(state_entry.delete())


def test_a_key_outside_the_genesis_is_refused(tmp_path):
    with pytest.raises(ValueError, match="not one of"):
        SmallChain(tmp_path, keys=(key("stranger"),))
