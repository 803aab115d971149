"""Bytes that are for ever: pinned once, and recomputed here with hashlib, cbor2 and OpenSSL alone. A change that breaks one makes another chain."""

from hashlib import sha256

import cbor2
import pytest
from chain_case import DELEGATES, GATEWAY, GENESIS, MemoryChain, anchor, batch, genesis_bytes, genesis_state, grant, party, revoke
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
GRANT = bytes.fromhex(
    "a60001010402a40058201bbb4b3d59617e2ee86dd639363f518a108e700005f0e5ce5735fdc3ac30ae760158201f4d524785ce3f3d5159ea180608828bb46a692b"
    "5c0c5dbd8039d15a7247f8d20201035840ec0e89c0be9b498e5495b3c36798aa6e916c0f1fff2d7dcb9914146015d2ddced20579056be118104efebe3487a7de5e"
    "7307073c1dc57ec0a95d2036e757820c0318640458209c1cc50dd9eedad4ecc9cfce2906befb205909117b6e51f9cf862be33bb19d8e055840466d5f15277426a3"
    "99564dcdfe0fa51b379ed0d8f596f5614ede3b022275c59cd5fe4c32efacf6dec360c8d494a0407b36c09d17d35afdc7b2a8d10f77a85d0b"
)
REVOKE = bytes.fromhex(
    "a60001010502a30058201bbb4b3d59617e2ee86dd639363f518a108e700005f0e5ce5735fdc3ac30ae760105025840de7297b5ae0c45a262236e04824c4405828d"
    "4652edc05e45085ac98cc391a47610eb818d0ee008de919c0eac2ed51f4ecec557c6daf05eb28eecfc7c1abce6050318640458209c1cc50dd9eedad4ecc9cfce29"
    "06befb205909117b6e51f9cf862be33bb19d8e055840554c177a0fb3f6be52984e85634818615470d1e5abd29ca73ed7ff5a771dafebc0be2721385b6285127b52"
    "ea47aedeff780f45212f734aab995c0aa94022660a"
)
BATCH = bytes.fromhex(
    "a60001010602a40058209401e30202af92a5b21290cc08564bd06532a3edd78940fe420075d72ad747b50103020203040318640458209c1cc50dd9eedad4ecc9cf"
    "ce2906befb205909117b6e51f9cf862be33bb19d8e0558408ce6c4970a24718a07ec2a63f9a4ba172c1af110518f70751e47899f98d7bd75aaf5ddbfa6829b6ba9"
    "a620d493de9e6dea40fd4aecb7e31064b16340445ea705"
)
HEADER = bytes.fromhex(
    "ad00010158209b7ba69ee2dfe14d18b170b2ed647dac98d3af078dcded295a1b7d883db54bcd02010301041a6b49d2020558209b7ba69ee2dfe14d18b170b2ed64"
    "7dac98d3af078dcded295a1b7d883db54bcd060207582092e11bd52b6ae448b96a785ccb25263990f1971fa40eee0e7e342d50b911f50e085821018117b920c5f4"
    "481739d6a798c47ca6e65fe49b1cd4ac539dcb22171865448a7709582043f6ff45aefccf7472dd0e1b4c060a0d1baa237b6bc4d70746bc305d72fa6a300a582043"
    "f6ff45aefccf7472dd0e1b4c060a0d1baa237b6bc4d70746bc305d72fa6a300b5820837103c68be7f11bfa4cfeb5952b51070b3fd1d93261db096ca5741e927886"
    "4c0c4100"
)
HEADER_2 = HEADER.replace(bytes.fromhex("ad0001"), bytes.fromhex("ad0002"), 1)  # of version 2: the same but for the number
BLOCK_HASH = bytes.fromhex("cd00eeed0befc41b6023a54a7b1c1b4b8f4351188cc4d8a098a570e6eee2691a")
TX_ID = bytes.fromhex("453e54914b727505410d7614098c2e79e0b4dd844ff2261135c5134efaec4b0c")
CONSENT_STATE_ROOT = bytes.fromhex("012f434da9ffef3d76fb2d02cba733b0db331709320d3814919ec21b1b03da1ad7")
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
    assert sign_transaction(grant(1, 1), 100, GATEWAY, GENESIS.chain_id).raw == GRANT
    assert sign_transaction(batch(2, 4), 100, GATEWAY, GENESIS.chain_id).raw == BATCH
    assert sign_transaction(revoke(1, 5), 100, GATEWAY, GENESIS.chain_id).raw == REVOKE
    machine = StateMachine(GENESIS)
    assert genesis_state().root() == STATE_ROOT
    assert machine.start().version == 0
    for version, header in ((1, HEADER), (2, HEADER_2)):
        candidates = [Candidate(1, ANCHOR), Candidate(2, PARTY)]
        assert machine.build(machine.start(), genesis_state(), 1, candidates, version).proposal.header == header
    header = Header.from_bytes(HEADER)
    assert header.hash() == BLOCK_HASH
    producer = next(key for key in DELEGATES if key.public == header.producer)
    assert sign_header(producer, GENESIS.chain_id, HEADER) == PRODUCER_SIGNATURE
    assert sign_vote(DELEGATES[0], GENESIS.chain_id, 1, BLOCK_HASH) == VOTE_SIGNATURE


@pytest.mark.parametrize("raw", [ANCHOR, PARTY, GRANT, REVOKE, BATCH])
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


def test_consents_by_another_implementation():
    """The one-time key's signatures are over what is in the body and the gateway's client id, never over the number."""
    given, ended = cbor2.loads(GRANT)[2], cbor2.loads(REVOKE)[2]
    assert given[1] == sha256(labelled(b"grant-terms", sha256(b"salt 1").digest() + b"terms 1")).digest()
    granted, revoked = cbor2.dumps(["gateway-00000000", given[0], given[1]]), cbor2.dumps(["gateway-00000000", given[0]])
    verify_with_openssl(given[0], b"grant", granted, given[3])
    verify_with_openssl(ended[0], b"revoke", revoked, ended[2])
    with pytest.raises(InvalidSignature):
        verify_with_openssl(given[0], b"revoke", revoked, given[3])


def test_the_state_of_consents_by_another_implementation():
    """After GRANT, BATCH, REVOKE: every entry from the documented layout, and the tree level by level."""
    gateway, grant_id, commitment, root = GATEWAY.public, *list(cbor2.loads(GRANT)[2].values())[:2], cbor2.loads(BATCH)[2][0]
    name = "gateway-00000000"
    documented = {
        b"\x01" + name.encode(): [None, "Gateway", 3, gateway, None, False],
        b"\x03" + gateway: name,
        b"\x04" + grant_id: [0, commitment, name, 1, [2, 5]],
        b"\x05" + cbor2.dumps([name, 0]): [1, 2, 4, 3, root],
        b"\x06" + name.encode(): [5, 1],
    }
    leaves = {sha256(key).digest(): cbor2.dumps(value) for key, value in documented.items()}
    assert len({key[:2] for key in leaves}) == 5, "each in a bucket of its own"
    level = {int.from_bytes(key[:2]): sha256(b"\x00" + cbor2.dumps([key, value])).digest() for key, value in leaves.items()}
    empty = sha256().digest()
    for _ in range(16):
        numbers = {number // 2 for number in level}
        level = {at: sha256(b"\x01" + level.get(2 * at, empty) + level.get(2 * at + 1, empty)).digest() for at in numbers}
        empty = sha256(b"\x01" + empty + empty).digest()
    chain = MemoryChain()
    for raw in (GRANT, BATCH, REVOKE):
        chain.record(raw)
    chain.end_block()
    assert chain.entries == leaves
    assert b"\x01" + level[0] == chain.state.root() == CONSENT_STATE_ROOT
