"""Stake and elections, byte by byte: pinned once, and recomputed here with hashlib, cbor2 and OpenSSL alone."""

import hmac
from hashlib import sha256

import cbor2
import pytest
from chain_case import DELEGATES, ELECTED, GATEWAY, HOLDERS, NEW, STAKES, MemoryChain, genesis_bytes, registration, vote
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from chain.block import sign_vote
from chain.election import end_epoch
from chain.evidence import Offence, evidence_of
from chain.stake import DelegateAction, DelegateBody, TransferBody, UnjailBody, cosigner
from chain.transactions import sign_transaction

CHAIN_ID = sha256(genesis_bytes(seats=7, stakes=STAKES)).digest()
HASHES = (b"a" * 32, b"b" * 32)
BODIES = {
    "register": (HOLDERS[0], registration(NEW[0], name="Nordvik")),
    "vote": (HOLDERS[1], vote(NEW[0], *DELEGATES[:3])),
    "transfer": (HOLDERS[0], TransferBody(HOLDERS[1].public, 150)),
    "resign": (DELEGATES[3], DelegateBody(DelegateAction.RESIGN)),
    "unjail": (DELEGATES[0], UnjailBody()),
    "evidence": (
        HOLDERS[2],
        evidence_of(Offence.VOTED, DELEGATES[1].public, 7, *((one, sign_vote(DELEGATES[1], ELECTED.chain_id, 7, one)) for one in HASHES)),
    ),
    "cosign": (DELEGATES[2], cosigner(DELEGATES[2], ELECTED.chain_id)),
}
DIGESTS = {
    "register": "f7621f206c0e8e197f7e964fabde85663318f380b9cbb8e9cc1eb0eb3222dece",
    "vote": "44db85dd44a45898ed8eac76697925b32e337157f5317f9292cdcbd8b518afe1",
    "transfer": "ca1c776dedddcd379532dd6f17d67e6b6834c3e64f62e5a6e8cdc53b0380b913",
    "resign": "ca10e8f88a38957620fa36c7b2fc7f321a89a8d04f6b3b030fd5363e468ce2ea",
    "unjail": "30fca6d193c14d0cf06bdb32e4b26284919afecd4511b9d4afce386d3c4330e4",
    "evidence": "506e058f86a2419c2b23f5ef86943850648c01e5444a7b6b9a183294d721c614",
    "cosign": "dbe4dec7f5c42008ea96c51a4e3708614241e8a423558d00bdda7b4b494b7cb8",
}
STATE_ROOT = "01e72097f4ff80d2dfd648df82a3b7876d499c39be01409c7592d52de9dca364c6"


def raw(name):
    signer, body = BODIES[name]
    return sign_transaction(body, 100, signer, ELECTED.chain_id).raw


def labelled(what, message):
    return b"fhir-anchor/" + what + b"/v1\x00" + CHAIN_ID + message


def identity(name):
    fields = cbor2.loads(raw(name))
    return sha256(labelled(b"transaction-id", cbor2.dumps({number: fields[number] for number in range(5)}))).digest()


def verify_with_openssl(public, what, message, signature):
    Ed25519PublicKey.from_public_bytes(public).verify(signature, labelled(what, message))


@pytest.mark.parametrize("name", BODIES)
def test_we_still_write_these_bytes(name):
    assert ELECTED.chain_id == CHAIN_ID
    assert sha256(raw(name)).hexdigest() == DIGESTS[name]


@pytest.mark.parametrize(
    ("name", "kind"), [("register", 9), ("resign", 9), ("vote", 10), ("unjail", 11), ("evidence", 12), ("transfer", 13), ("cosign", 9)]
)
def test_transactions_by_another_implementation(name, kind):
    fields = cbor2.loads(raw(name))
    assert (fields[1], fields[4]) == (kind, BODIES[name][0].public)
    verify_with_openssl(fields[4], b"transaction", cbor2.dumps({number: fields[number] for number in range(5)}), fields[5])


def test_bodies_by_another_implementation():
    register, cast, moved, resign, unjail, evidence, cosign = (cbor2.loads(raw(name))[2] for name in BODIES)
    assert list(register) == [0, 1, 2, 3]
    verify_with_openssl(register[1], b"delegate", cbor2.dumps([HOLDERS[0].public, NEW[0].public, "Nordvik"]), register[3])
    assert cast == {0: sorted(member.public for member in (NEW[0], *DELEGATES[:3]))}
    assert (moved, resign, unjail) == ({0: HOLDERS[1].public, 1: 150}, {0: 1}, {})
    assert (evidence[0], evidence[1], evidence[2], evidence[3], evidence[5]) == (1, DELEGATES[1].public, 7, *HASHES)
    for place in (3, 5):
        verify_with_openssl(evidence[1], b"vote", cbor2.dumps([7, evidence[place]]), evidence[place + 1])
    seed = hmac.digest(sha256(b"delegate 2").digest(), b"fhir-anchor/cosigning-key/v1", "sha256")
    key = Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()
    assert cosign == {0: 2, 1: key, 2: cosign[2]}
    verify_with_openssl(key, b"cosigner", cbor2.dumps([DELEGATES[2].public, key]), cosign[2])


def test_the_state_after_an_election_by_another_implementation():
    """Registered, voted, transferred, one resigned; then the epoch ends: every entry from the documented layout."""
    chain = MemoryChain(ELECTED)
    for name in ("register", "vote", "transfer", "resign"):
        chain.record(raw(name))
    elected = end_epoch(chain.execution.overlay, ELECTED, ELECTED.first_set, ())
    chain.end_block()
    first = [member.public for member in DELEGATES]
    all_four, voted, new = sorted(first), sorted([NEW[0].public, *first[:3]]), NEW[0].public

    def set_hash(keys):
        return sha256(labelled(b"delegates", cbor2.dumps(keys))).digest()

    # 350 + 450 + 200 of 1,000; the third and the first holder still approve of all four first delegates
    documented = {
        b"\x07" + HOLDERS[0].public: [350, all_four, 1],
        b"\x07" + HOLDERS[1].public: [450, voted, 0],
        b"\x07" + HOLDERS[2].public: [200, all_four, 0],
        b"\x08" + new: [0, "Nordvik", HOLDERS[0].public, 450, 0, False],
        **{b"\x08" + first[number]: [None, f"delegate {number}", None, 1000, 0, False] for number in range(3)},
        b"\x08" + first[3]: [None, "delegate 3", None, 550, 1, False],
        b"\x09": [1000, voted],
        b"\x0a": set_hash(voted),
        b"\x0b" + set_hash(first): first,
        b"\x0b" + set_hash(voted): voted,
        b"\x01gateway-00000000": [None, "Gateway", 3, GATEWAY.public, None, False],
        b"\x03" + GATEWAY.public: "gateway-00000000",
        b"\x00" + identity("vote"): None,
        b"\x00" + identity("transfer"): None,
    }
    due = {sha256(key).digest(): cbor2.dumps(value) for key, value in documented.items()}
    assert chain.entries == due
    assert (list(elected.keys), elected.hash) == (voted, set_hash(voted))
    assert chain.state.root().hex() == STATE_ROOT


def test_the_entries_of_a_cosigner_by_another_implementation():
    chain = MemoryChain(ELECTED)
    before = dict(chain.entries)
    chain.record(raw("cosign"))
    chain.end_block()
    documented = {b"\x0d" + DELEGATES[2].public: [0, cbor2.loads(raw("cosign"))[2][1]], b"\x00" + identity("cosign"): None}
    assert chain.entries == before | {sha256(key).digest(): cbor2.dumps(value) for key, value in documented.items()}
