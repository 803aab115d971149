import json

import pytest
from chain_case import DELEGATES, GATEWAY, GENESIS, STARTED_AT, genesis_bytes, key

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
    assert Genesis.parse(genesis_bytes(tuple(key(f"member {number}") for number in range(size)))).quorum == quorum


@pytest.mark.parametrize(("seconds", "slot"), [(0, 0), (1.999, 0), (2, 1), (-0.001, -1), (7200, 3600)])
def test_slots(seconds, slot):
    assert GENESIS.slot_at(STARTED_AT + seconds) == slot
    assert GENESIS.slot_time(slot) == STARTED_AT + 2 * slot


BAD = {
    "not JSON": b"{",
    "not UTF-8": b'{"format": "\xff"}',
    "a list": b"[]",
    "no fields": b"{}",
    "another format": changed(format="fhir-anchor genesis 2"),
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
