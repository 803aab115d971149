"""Bytes that are for ever: pinned once, and recomputed here with hashlib, cbor2 and OpenSSL alone. A change that breaks one makes another chain."""

from hashlib import sha256

import cbor2
import pytest
from chain_case import DELEGATES, GATEWAY, GENESIS, anchor, genesis_bytes, genesis_state, party
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from chain.block import Header, sign_header, sign_vote
from chain.keys import SigningKey
from chain.merkle import leaf_hash
from chain.state_machine import Candidate, StateMachine
from chain.transactions import sign_transaction

CHAIN_ID = bytes.fromhex("9b7ba69ee2dfe14d18b170b2ed647dac98d3af078dcded295a1b7d883db54bcd")
ANCHOR = bytes.fromhex(
    "a60001010202a50058204b2de9c5ccf65404e5a1796c9746e56fd0c799d935df66b9bfe0697dd7933112011903e90258202b53d21379ba77e920034c3734e7cbea"
    "835bb9cfe19db252687bfa0d505139cf030104050318640458209c1cc50dd9eedad4ecc9cfce2906befb205909117b6e51f9cf862be33bb19d8e0558402fccad14"
    "fb94e92336855aca48194fad8000cde4a8009c1589ff7c69939242cf692678c590b20a0f95937d5c3d6ae87cce334e8169e2940c1ef11a68d4e5350d"
)
PARTY = bytes.fromhex(
    "a60001010102a600000171686f73706974616c2d30303030303030310268486f73706974616c030104f6055820b115eda76546fd0f9e9bfa7f5300133ce356b121"
    "4865fd26715db60285f175110318640458209c1cc50dd9eedad4ecc9cfce2906befb205909117b6e51f9cf862be33bb19d8e05584090c8babe170e90425bf138a4"
    "f47e0af02705a36c13ee56cff5337d35d6b641903b438a1e2e0481c61a53e881da8f757e9a813d2ce0dab8b03b15bafefb46b300"
)
HEADER = bytes.fromhex(
    "ad00010158209b7ba69ee2dfe14d18b170b2ed647dac98d3af078dcded295a1b7d883db54bcd02010301041a6b49d2020558209b7ba69ee2dfe14d18b170b2ed64"
    "7dac98d3af078dcded295a1b7d883db54bcd060207582092e11bd52b6ae448b96a785ccb25263990f1971fa40eee0e7e342d50b911f50e085821018117b920c5f4"
    "481739d6a798c47ca6e65fe49b1cd4ac539dcb22171865448a7709582043f6ff45aefccf7472dd0e1b4c060a0d1baa237b6bc4d70746bc305d72fa6a300a582043"
    "f6ff45aefccf7472dd0e1b4c060a0d1baa237b6bc4d70746bc305d72fa6a300b5820837103c68be7f11bfa4cfeb5952b51070b3fd1d93261db096ca5741e927886"
    "4c0c4100"
)
BLOCK_HASH = bytes.fromhex("cd00eeed0befc41b6023a54a7b1c1b4b8f4351188cc4d8a098a570e6eee2691a")
TX_ID = bytes.fromhex("453e54914b727505410d7614098c2e79e0b4dd844ff2261135c5134efaec4b0c")
STATE_ROOT = bytes.fromhex("01a4b3fc4df5ed896a5ff632772f3c50f740dd92b77b5f7da303c5f2f3e93bd78e")
PRODUCER_SIGNATURE = bytes.fromhex(
    "128e8891fe79d43d64354fdbfdecaefca6a2dafa01776f08944927974970d4fb2e32b2a2fa05c76404f6908dde941af1b602a6156ca84c992863aab4f677fd05"
)
VOTE_SIGNATURE = bytes.fromhex(
    "16234c734fd9d5d854de8eed816d1cb7dd382f3258294689d91276f30b0893ba2d5ffa75b50631a49a47f5319402cdece4e1748c90f05a4e3f0374fd0bba430e"
)


def labelled(what, message):
    return b"fhir-anchor/" + what + b"/v1\x00" + CHAIN_ID + message


def verify_with_openssl(public, what, message, signature):
    Ed25519PublicKey.from_public_bytes(public).verify(signature, labelled(what, message))


def test_we_still_write_these_bytes():
    assert GENESIS.chain_id == CHAIN_ID == sha256(genesis_bytes()).digest()
    assert sign_transaction(anchor(1), 100, GATEWAY, GENESIS.chain_id).raw == ANCHOR
    assert sign_transaction(party(), 100, GATEWAY, GENESIS.chain_id).raw == PARTY
    machine = StateMachine(GENESIS)
    assert genesis_state().root() == STATE_ROOT
    assert machine.build(machine.start(), genesis_state(), 1, [Candidate(1, ANCHOR), Candidate(2, PARTY)]).proposal.header == HEADER
    header = Header.from_bytes(HEADER)
    assert header.hash() == BLOCK_HASH
    producer = next(key for key in DELEGATES if key.public == header.producer)
    assert sign_header(producer, GENESIS.chain_id, HEADER) == PRODUCER_SIGNATURE
    assert sign_vote(DELEGATES[0], GENESIS.chain_id, 1, BLOCK_HASH) == VOTE_SIGNATURE


@pytest.mark.parametrize("raw", [ANCHOR, PARTY])
def test_transactions_by_another_implementation(raw):
    fields = cbor2.loads(raw)
    unsigned = cbor2.dumps({number: fields[number] for number in range(5)}, canonical=True)
    verify_with_openssl(fields[4], b"transaction", unsigned, fields[5])
    with pytest.raises(InvalidSignature):
        verify_with_openssl(fields[4], b"vote", unsigned, fields[5])
    if raw == ANCHOR:
        assert sha256(labelled(b"transaction-id", unsigned)).digest() == TX_ID


def test_the_block_by_another_implementation():
    fields = cbor2.loads(HEADER)
    leaves = [sha256(b"\x00" + raw).digest() for raw in (ANCHOR, PARTY)]
    assert leaves == [leaf_hash(ANCHOR), leaf_hash(PARTY)]
    assert (fields[6], fields[7]) == (2, sha256(b"\x01" + leaves[0] + leaves[1]).digest())
    assert fields[9] == fields[10] == sha256(labelled(b"delegates", cbor2.dumps([key.public for key in DELEGATES]))).digest()
    assert fields[4] == 1_800_000_000 + 2 * fields[3]
    assert sha256(labelled(b"block", HEADER)).digest() == BLOCK_HASH
    verify_with_openssl(fields[11], b"header", HEADER, PRODUCER_SIGNATURE)
    verify_with_openssl(DELEGATES[0].public, b"vote", cbor2.dumps([1, BLOCK_HASH]), VOTE_SIGNATURE)
    assert SigningKey.from_seed(sha256(b"delegate 0").digest()).public == DELEGATES[0].public
