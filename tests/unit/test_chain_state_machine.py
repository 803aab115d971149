"""Which headers may follow: each value of an honest one changed by itself."""

import pytest
from chain_case import DELEGATES, GATEWAY, GENESIS, anchor, genesis_state
from msgspec.structs import replace

from chain.block import BlockInvalid, FormatUnknown, Header, Vote, bitmap
from chain.encoding import decode, encode
from chain.findings import Code
from chain.format import FORMATS, LATEST, Switch, version_at
from chain.log import LogHead
from chain.state_machine import Candidate, StateMachine, Tip
from chain.transactions import sign_transaction

MACHINE = StateMachine(GENESIS)
TIP = Tip(6, b"h" * 32, 20, LogHead(), b"\x0d", b"s" * 32, GENESIS.first_set, GENESIS.first_set)
SLOT = 23


def raw(number):
    return sign_transaction(anchor(number), 100, GATEWAY, GENESIS.chain_id).raw


@pytest.fixture
def honest():
    proposal = MACHINE.build(TIP, genesis_state(), SLOT, [Candidate(1, raw(1)), Candidate(2, raw(2))]).proposal
    return Header.from_bytes(proposal.header), proposal.transactions


def code(header, transactions, tip=TIP):
    with pytest.raises(BlockInvalid) as invalid:
        MACHINE.execute(tip, genesis_state(), header, transactions)
    return invalid.value.code


def test_what_was_built_executes_to_the_same(honest):
    header, transactions = honest
    built = MACHINE.build(TIP, genesis_state(), SLOT, [Candidate(1, raw(1)), Candidate(2, raw(2))])
    execution = MACHINE.execute(TIP, genesis_state(), header, transactions)
    assert execution.overlay.changes == built.execution.overlay.changes
    assert (header.height, header.previous, header.voters, header.log_size) == (7, TIP.hash, TIP.voters, 2)
    assert list(MACHINE.header_faults(TIP, header, transactions)) == []


CHANGES = {
    "chain_id": (bytes(32), Code.BLOCK_INVALID),
    "height": (8, Code.BLOCK_INVALID),
    "time": (GENESIS.slot_time(SLOT) + 1, Code.BLOCK_INVALID),
    "previous": (bytes(32), Code.BLOCK_INVALID),
    "delegates_hash": (bytes(32), Code.BLOCK_INVALID),
    "next_delegates_hash": (bytes(32), Code.BLOCK_INVALID),
    "producer": (GATEWAY.public, Code.SCHEDULE_INVALID),
    "voters": (b"\x0f", Code.VOTE_INVALID),
    "log_size": (3, Code.LOG_MISMATCH),
    "log_root": (bytes(32), Code.LOG_MISMATCH),
    "state_root": (b"\x01" + bytes(32), Code.STATE_MISMATCH),
}


@pytest.mark.parametrize("field", CHANGES)
def test_each_value_must_be_what_it_must(honest, field):
    header, transactions = honest
    value, due = CHANGES[field]
    assert code(replace(header, **{field: value}), transactions) is due


def test_a_slot_comes_once(honest):
    header, transactions = honest
    late = replace(TIP, slot=SLOT)
    assert code(header, transactions, late) is Code.BLOCK_INVALID
    assert [str(fault) for fault in MACHINE.header_faults(late, header, transactions)] == [
        "the slot is not later than the previous block's"
    ]


@pytest.mark.parametrize(
    "change", [lambda t: t[:1], lambda t: t[::-1], lambda t: (*t, t[0]), lambda t: (*t, b"junk"), lambda t: (t[0][:-1] + b"\x00", t[1])]
)
def test_other_transactions_do_not_fit_the_header(honest, change):
    header, transactions = honest
    assert code(header, change(transactions)) in {Code.LOG_MISMATCH, Code.TRANSACTION_INVALID}


TOO_LARGE = "the block is larger than blocks may be"


@pytest.mark.parametrize("version", FORMATS)
def test_a_block_too_large_for_its_version_is_invalid(honest, version):
    header, transactions = replace(honest[0], version=version), honest[1]

    def faults(transactions):
        return [str(fault) for fault in MACHINE.header_faults(TIP, header, transactions)]

    limits = FORMATS[version]
    assert faults(transactions[:1] * limits.transactions) == []
    assert faults(transactions[:1] * (limits.transactions + 1)) == [TOO_LARGE]
    assert faults([bytes(limits.size)]) == []
    assert faults([bytes(limits.size), b"\x00"]) == [TOO_LARGE]


def test_no_block_goes_back_to_an_earlier_version(honest):
    header, transactions = honest
    earlier = replace(header, version=1)
    assert list(MACHINE.header_faults(replace(TIP, version=1), earlier, transactions)) == []
    assert list(MACHINE.header_faults(replace(TIP, version=1), header, transactions)) == []
    assert code(earlier, transactions, replace(TIP, version=2)) is Code.BLOCK_INVALID
    assert MACHINE.advance(replace(TIP, version=1), header, LogHead(), b"").version == header.version == 2


@pytest.mark.parametrize(
    ("height", "before", "switch", "version"),
    [
        (1, 0, None, LATEST),
        (9, 1, None, 1),
        (9, 1, Switch(2, 10), 1),
        (10, 1, Switch(2, 10), 2),
        (99, 1, Switch(2, 10), 2),
        (99, 2, Switch(1, 10), 2),
    ],
)
def test_the_next_block_has_the_version_of_the_last_or_the_planned_one(height, before, switch, version):
    assert version_at(height, before, switch) == version


def test_a_version_of_later_programs_is_told_from_nonsense(honest):
    later = {**decode(honest[0].to_bytes()), 0: LATEST + 1, 13: b"what it may have besides"}
    with pytest.raises(FormatUnknown, match=r"from height 7 on the chain has version 3 of its format.*install a newer one"):
        Header.from_bytes(encode(later))


def test_an_empty_block_needs_a_silence():
    built = MACHINE.build(TIP, genesis_state(), 30, [])
    assert built.proposal.transactions == ()
    header = Header.from_bytes(built.proposal.header)
    MACHINE.execute(TIP, genesis_state(), header, ())
    assert MACHINE.build(TIP, genesis_state(), 29, []).proposal is None
    early = replace(header, slot=29, time=GENESIS.slot_time(29), producer=GENESIS.delegates[MACHINE.producer(TIP, 29)].key)
    assert code(early, ()) is Code.BLOCK_INVALID


def test_the_seed_changes_with_the_epoch(honest):
    header, _ = honest
    seeds = []
    for height in range(1, 9):
        moved = replace(header, height=height)
        seeds.append(MACHINE.advance(replace(TIP, seed=b"old"), moved, LogHead(), b"").seed == moved.hash())
    assert seeds == [False, False, False, True] * 2


def test_headers_go_there_and_back(honest):
    header, _ = honest
    assert Header.from_bytes(header.to_bytes()) == header


FIELDS = {
    "version": 0,
    "height": -1,
    "slot": 1 << 63,
    "time": "0",
    "log_size": None,
    "log_root": bytes(31),
    "state_root": bytes(32),
    "producer": b"",
    "voters": 5,
    "previous": "x" * 32,
}


@pytest.mark.parametrize("field", FIELDS)
def test_a_header_with_a_value_of_the_wrong_form_is_not_read(honest, field):
    fields = decode(honest[0].to_bytes())
    fields[Header.__struct_fields__.index(field)] = FIELDS[field]
    with pytest.raises(BlockInvalid):
        Header.from_bytes(encode(fields))


@pytest.mark.parametrize("change", [lambda f: f[:-1], lambda f: [*f, 0], lambda f: 5, lambda f: []])
def test_a_header_has_exactly_its_fields(honest, change):
    fields = change(list(decode(honest[0].to_bytes()).values()))
    for form in (fields, dict(enumerate(fields)) if isinstance(fields, list) else {}):
        with pytest.raises(BlockInvalid):
            Header.from_bytes(encode(form))


@pytest.mark.parametrize(
    ("voters", "size", "bits"), [([], 4, "00"), ([0], 4, "01"), ([0, 1, 3], 4, "0b"), ([6], 7, "40"), ([8, 9], 10, "0003"), ([0], 1, "01")]
)
def test_bitmaps(voters, size, bits):
    assert bitmap(tuple(Vote(index, b"") for index in voters), size).hex() == bits


def test_a_delegate_is_known_by_its_key():
    assert {GENESIS.delegates[MACHINE.producer(TIP, slot)].key for slot in range(20, 24)} == {member.public for member in DELEGATES}
