import json

import pytest
from chain_case import DELEGATES, ELECTED, GATEWAY, GENESIS, HOLDERS, STAKES, STARTED_AT, genesis_bytes, key

from chain.genesis import Genesis, GenesisInvalid
from chain.transactions import Role

FIELDS = json.loads(genesis_bytes())


def changed(**changes):
    return json.dumps({**FIELDS, **changes}).encode()


def delegate(**changes):
    return changed(delegates=[{**FIELDS["delegates"][0], **changes}, *FIELDS["delegates"][1:]])


def party(**changes):
    return changed(parties=[{**FIELDS["parties"][0], **changes}])


def test_what_was_written_is_read():
    assert (GENESIS.network, GENESIS.started_at, GENESIS.slot_seconds, GENESIS.epoch_blocks, GENESIS.heartbeat_slots) == (
        "test",
        STARTED_AT,
        2,
        4,
        10,
    )
    assert [member.key for member in GENESIS.delegates] == [member.public for member in DELEGATES]
    assert (GENESIS.parties[0].role, GENESIS.parties[0].signing_key) == (Role.GATEWAY, GATEWAY.public)


def test_the_chain_id_is_of_the_exact_bytes():
    assert Genesis.parse(genesis_bytes() + b"\n").chain_id != GENESIS.chain_id
    assert GENESIS.chain_id.hex() == "9b7ba69ee2dfe14d18b170b2ed647dac98d3af078dcded295a1b7d883db54bcd"


@pytest.mark.parametrize(("size", "quorum"), [(1, 1), (4, 3), (7, 5), (10, 7)])
def test_quorum(size, quorum):
    assert Genesis.parse(genesis_bytes(tuple(key(f"member {number}") for number in range(size)))).first_set.quorum == quorum


@pytest.mark.parametrize(("seconds", "slot"), [(0, 0), (1.999, 0), (2, 1), (-0.001, -1), (7200, 3600)])
def test_slots(seconds, slot):
    assert GENESIS.slot_at(STARTED_AT + seconds) == slot
    assert GENESIS.slot_time(slot) == STARTED_AT + 2 * slot


BAD = {
    "not JSON": b"{",
    "not UTF-8": b'{"format": "\xff"}',
    "a list": b"[]",
    "no fields": b"{}",
    "another format": changed(format="fhir-anchor genesis 3"),
    "format of the other fields": changed(format="fhir-anchor genesis 2"),
    "format is a list": changed(format=[]),
    "a field more": changed(extra=1),
    "a field less": json.dumps({name: value for name, value in FIELDS.items() if name != "network"}).encode(),
    "a field twice": b'{"format": 1, "format": 1}',
    "network is no text": changed(network=5),
    "network is empty": changed(network=""),
    "slot length zero": changed(slot_seconds=0),
    "slot length is text": changed(slot_seconds="2"),
    "slot length is true": changed(slot_seconds=True),
    "slot length is a fraction": changed(slot_seconds=2.0),
    "epoch too long": changed(epoch_blocks=1 << 40),
    "heartbeat negative": changed(heartbeat_slots=-1),
    "no delegates": changed(delegates=[]),
    "three delegates": changed(delegates=FIELDS["delegates"][:3]),
    "delegates no list": changed(delegates={}),
    "delegate twice": changed(delegates=[FIELDS["delegates"][0]] * 4),
    "delegate's name twice": delegate(name="delegate 1"),
    "delegate with a field more": delegate(weight=1),
    "delegate's key upper case": delegate(key=FIELDS["delegates"][0]["key"].upper()),
    "delegate's key not hex": delegate(key="zz"),
    "delegate's key no text": delegate(key=7),
    "delegate's key the identity": delegate(key="01" + "00" * 31),
    "no parties": changed(parties=[]),
    "no gateway": party(role="institution"),
    "gateway without key": party(signing_key=None, attestation_key=FIELDS["delegates"][0]["key"]),
    "unknown role": party(role="owner"),
    "role is a list": party(role=[]),
    "bad client id": party(client_id="Gateway One"),
    "party twice": changed(parties=FIELDS["parties"] * 2),
    "signing key twice": changed(parties=[*FIELDS["parties"], {**FIELDS["parties"][0], "client_id": "other-00000000"}]),
    "deep": b"[" * 100_000,
}


@pytest.mark.parametrize("file_bytes", BAD.values(), ids=BAD)
def test_a_file_that_breaks_a_rule_is_refused(file_bytes):
    with pytest.raises(GenesisInvalid):
        Genesis.parse(file_bytes)


ELECTED_FIELDS = json.loads(genesis_bytes(seats=7, stakes=STAKES))


def elected(**changes):
    return json.dumps({**ELECTED_FIELDS, **changes}).encode()


def stake(**changes):
    return elected(stakes=[{**ELECTED_FIELDS["stakes"][0], **changes}, *ELECTED_FIELDS["stakes"][1:]])


def test_stakes_are_read():
    assert (ELECTED.seats, ELECTED.total_stake) == (7, 1000)
    assert [(one.holder, one.key, one.weight) for one in ELECTED.stakes] == [
        (f"holder {number}", HOLDERS[number].public, weight) for number, weight in enumerate((500, 300, 200))
    ]
    assert (GENESIS.seats, GENESIS.stakes) == (0, ())
    Genesis.parse(elected(seats=4))
    Genesis.parse(elected(delegates=ELECTED_FIELDS["delegates"][:1]))


BAD_STAKES = {
    "no seats": json.dumps({name: value for name, value in ELECTED_FIELDS.items() if name != "seats"}).encode(),
    "format without stakes": elected(format="fhir-anchor genesis 1"),
    "five seats": elected(seats=5),
    "one seat": elected(seats=1),
    "fewer seats than delegates": elected(seats=4, delegates=[{"name": f"n{n}", "key": key(f"n{n}").public.hex()} for n in range(7)]),
    "too many seats": elected(seats=103),
    "seats are true": elected(seats=True),
    "no stakes": elected(stakes=[]),
    "stakes no list": elected(stakes={}),
    "a stake with more": stake(votes=[]),
    "no weight": stake(weight=0),
    "weight of text": stake(weight="5"),
    "weight too great": stake(weight=1_000_001),
    "too great together": stake(weight=999_999),
    "a holder twice": stake(holder="holder 1"),
    "a key twice": stake(key=HOLDERS[1].public.hex()),
    "an unusable key": stake(key="01" + "00" * 31),
    "no name": stake(holder=""),
}


@pytest.mark.parametrize("file_bytes", BAD_STAKES.values(), ids=BAD_STAKES)
def test_stakes_that_break_a_rule_are_refused(file_bytes):
    with pytest.raises(GenesisInvalid):
        Genesis.parse(file_bytes)
