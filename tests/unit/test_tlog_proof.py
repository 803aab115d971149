"""A tlog-proof and the policy that it is checked by: the right one, and others, each with one thing wrong."""

from contextlib import nullcontext

import pytest
from msgspec.structs import replace
from receipt_case import GATEWAY, key

from chain import merkle
from chain.checkpoint import Checkpoint, cosign, cosigner_verifier, log_verifier, origin_of
from chain.genesis import Delegate, Genesis, make_genesis
from chain.note import Note, to_base64
from chain.transactions import AnchorBody, PartyAction, PartyBody, Role, sign_transaction
from gateway.errors import CouldNotCheck
from gateway.recorded import ReceiptInvalid
from gateway.tlog_policy import Policy, policy_lines
from gateway.tlog_proof import NO_POLICY, TlogProof, verify_tlog_proof

LOG, SIZE, INDEX = key("log"), 11, 6


def genesis_of(log_key=LOG.public, network="test"):
    gateway = PartyBody(PartyAction.REGISTER, "gateway", "The gateway", Role.GATEWAY, GATEWAY.public, log_key)
    delegates = tuple(Delegate(f"delegate {i}", key(f"delegate {i}").public) for i in range(4))
    return make_genesis(
        network=network,
        started_at=1_790_000_000,
        slot_seconds=2,
        epoch_blocks=100,
        heartbeat_slots=30,
        delegates=delegates,
        parties=(gateway,),
    )


GENESIS = genesis_of()
CHAIN = Genesis.parse(GENESIS).chain_id
COSIGNERS = [key(f"cosigner {i}") for i in range(4)]
VERIFIERS = [(f"delegate {i}", cosigner_verifier(CHAIN, key(f"delegate {i}").public, one.public)) for i, one in enumerate(COSIGNERS)]
LOG_VERIFIER = log_verifier(CHAIN, LOG.public)
POLICY = "\n".join(policy_lines([LOG_VERIFIER], VERIFIERS)).encode()


def transaction(signer=GATEWAY):
    return sign_transaction(AnchorBody(bytes(32), 1, bytes(32), 1, 1), 100, signer, CHAIN).raw


LEAVES = [merkle.leaf_hash(b"entry %d" % number) for number in range(SIZE)]
LEAVES[INDEX] = merkle.leaf_hash(transaction())
CHECKPOINT = Checkpoint(origin_of(CHAIN), SIZE, merkle.root(LEAVES))


def signed(checkpoint=CHECKPOINT, log=LOG, cosigners=(0, 1, 2), extra="", text=None):
    text = (text or checkpoint.to_text()) + extra
    own = log_verifier(CHAIN, log.public).line(log.sign_note(text.encode()))
    others = (VERIFIERS[number][1].line(cosign(COSIGNERS[number], checkpoint, 1_790_000_100)) for number in cosigners)
    return Note(text, (own, *others))


def proof(note=None, **changed):
    path = tuple(merkle.inclusion_path(LEAVES, INDEX))
    return replace(TlogProof(transaction(), INDEX, path, (note or signed()).to_bytes()), **changed).to_bytes()


def check(file, genesis=GENESIS, policy=POLICY):
    return verify_tlog_proof(file, genesis, None if policy is None else Policy.parse(policy))


def test_a_right_one():
    verdict = check(proof())
    assert (verdict.kind, verdict.log_index, verdict.log_size, verdict.not_checked) == ("ANCHOR", INDEX, SIZE, ())
    assert verdict.cosigned_by == tuple(verifier.name for _, verifier in VERIFIERS[:3])
    assert check(proof(signed(cosigners=())), policy=None).not_checked == (NO_POLICY,)
    assert TlogProof.from_bytes(proof()).to_bytes() == proof()


@pytest.mark.parametrize(("cosigners", "needed"), [(1, 1), (2, 2), (3, 3), (4, 3), (5, 4), (6, 5), (7, 5)])
def test_a_policy_wants_more_than_two_thirds_of_those_who_cosign(cosigners, needed):
    keys = [key(f"many {i}").public for i in range(cosigners)]
    lines = policy_lines([LOG_VERIFIER], [("a name", cosigner_verifier(CHAIN, one, one)) for one in keys])
    assert Policy.parse("\n".join(lines).encode()).groups["delegates"][0] == needed


def flipped(root):
    return bytes([root[0] ^ 1]) + root[1:]


OTHER = Genesis.parse(genesis_of(network="other")).chain_id
WRONG = {
    "wrong origin": proof(signed(replace(CHECKPOINT, origin="fhir-anchor/" + "00" * 32))),
    "another chain's origin": proof(signed(replace(CHECKPOINT, origin=origin_of(OTHER)))),
    "flipped root": proof(signed(replace(CHECKPOINT, root=flipped(CHECKPOINT.root)))),
    "flipped root below the signatures": proof(replace(signed(), text=replace(CHECKPOINT, root=flipped(CHECKPOINT.root)).to_text())),
    "an older size below the signatures": proof(replace(signed(), text=replace(CHECKPOINT, size=SIZE - 1).to_text())),
    "another log's key": proof(signed(log=key("another log"))),
    "the log's wrong key id": proof(
        replace(signed(), signatures=(replace(signed().signatures[0], key_id=b"abcd"), *signed().signatures[1:]))
    ),
    "no signature of the log": proof(replace(signed(), signatures=signed().signatures[1:])),
    "too few cosignatures": proof(signed(cosigners=(0, 1))),
    "one cosigner twice": proof(signed(cosigners=(0, 1, 1))),
    "a cosignature of another": proof(
        replace(signed(), signatures=(*signed().signatures[:3], VERIFIERS[2][1].line(cosign(COSIGNERS[3], CHECKPOINT, 1_790_000_100))))
    ),
    "a cosignature at another time": proof(
        replace(
            signed(),
            signatures=(
                *signed().signatures[:3],
                replace(signed().signatures[3], signature=(1_790_000_101).to_bytes(8, "big") + signed().signatures[3].signature[8:]),
            ),
        )
    ),
    "a fourth cosignature that does not hold": proof(
        replace(signed(), signatures=(*signed().signatures, VERIFIERS[3][1].line(cosign(COSIGNERS[0], CHECKPOINT, 1))))
    ),
    "a cosignature of another size": proof(
        replace(
            signed(),
            signatures=(
                *signed().signatures[:3],
                VERIFIERS[2][1].line(cosign(COSIGNERS[2], replace(CHECKPOINT, size=SIZE - 1), 1_790_000_100)),
            ),
        )
    ),
    "an extension line": proof(signed(extra="more\n")),
    "another index": proof(index=INDEX - 1),
    "an index outside": proof(index=SIZE),
    "a path that is too short": proof(path=tuple(merkle.inclusion_path(LEAVES, INDEX))[:-1]),
    "a path that is too long": proof(path=(*merkle.inclusion_path(LEAVES, INDEX), bytes(32))),
    "a path of another leaf": proof(path=tuple(merkle.inclusion_path(LEAVES, INDEX - 1))),
    "another transaction": proof(transaction=transaction(signer=key("nobody"))),
    "no transaction": proof().replace(b"extra " + to_base64(transaction()).encode() + b"\n", b""),
    "no blank line": proof().replace(b"\n\nfhir-anchor/", b"\nfhir-anchor/"),
    "no blank line in the checkpoint": proof().replace(b"=\n\n" + "—".encode(), b"=\n" + "—".encode()),
    "a line before the index": proof().replace(b"index ", b"more\nindex "),
    "a line after the signatures": proof() + b"more\n",
    "zeros before the index": proof().replace(b"index 6", b"index 06"),
    "another version": proof().replace(b"@v1", b"@v2"),
    "carriage returns": proof().replace(b"\n", b"\r\n"),
    "nothing": b"c2sp.org/tlog-proof@v1\n",
}


@pytest.mark.parametrize("file", WRONG.values(), ids=WRONG)
def test_one_with_one_thing_wrong(file):
    with pytest.raises(ReceiptInvalid):
        check(file)


def test_a_transaction_of_nobody_that_is_in_the_log_all_the_same():
    """Whoever can write a log can write anything into it: it counts only as what a gateway of the genesis signed."""
    leaves = [*LEAVES]
    leaves[INDEX] = merkle.leaf_hash(transaction(signer=key("nobody")))
    note = signed(replace(CHECKPOINT, root=merkle.root(leaves)))
    path = tuple(merkle.inclusion_path(leaves, INDEX))
    with pytest.raises(ReceiptInvalid, match="not signed by a gateway"):
        check(proof(note, transaction=transaction(signer=key("nobody")), path=path))


def test_against_another_genesis():
    with pytest.raises(ReceiptInvalid, match="another log"):
        check(proof(), genesis=genesis_of(network="other"))
    with pytest.raises(CouldNotCheck, match="which key"):
        check(proof(), genesis=genesis_of(log_key=None), policy=None)


@pytest.mark.parametrize("count", range(1, 11))
def test_two_quorums_of_the_printed_policy_share_an_honest_cosigner(count):
    """However many have registered keys, a third of them at most being anything: else two heads of one size could both be cosigned."""
    cosigners = [(f"w{number}", cosigner_verifier(CHAIN, bytes([number]) * 32, key(f"w{number}").public)) for number in range(count)]
    needed, members = Policy.parse("\n".join(policy_lines([LOG_VERIFIER], cosigners)).encode()).groups["delegates"]
    assert 2 * needed - len(members) > (count - 1) // 3
    assert needed <= count - (count - 1) // 3, "and those who are honest are enough"


W = [f"witness w{number} {verifier.to_text()}" for number, (_, verifier) in enumerate(VERIFIERS)]
L = f"log {LOG_VERIFIER.to_text()}"


@pytest.mark.parametrize(
    ("lines", "cosigners", "is_met"),
    [
        ([L, "quorum none"], (), True),
        ([L, W[0], "quorum w0"], (0,), True),
        ([L, W[0], W[1], "quorum w0"], (1,), False),
        ([L, *W, "group g any w0 w1", "group h 2 w1 w2 w3", "group both all g h", "quorum both"], (1, 2), True),
        ([L, *W, "group g any w0 w1", "group h 2 w1 w2 w3", "group both all g h", "quorum both"], (0, 1), False),
        (["# a comment", "", f"\t{L}  https://example.org/ledger", *W, "group g 4 w0 w1 w2 w3 ", "quorum g"], (0, 1, 2, 3), True),
    ],
)
def test_policies(lines, cosigners, is_met):
    with nullcontext() if is_met else pytest.raises(ReceiptInvalid, match="policy"):
        check(proof(signed(cosigners=cosigners)), policy="\n".join(lines).encode())


@pytest.mark.parametrize(
    "lines",
    [
        [L],
        [L, "quorum w0"],
        [L, "quorum none", "quorum none"],
        [L, L, "quorum none"],
        [L, W[0], W[0].replace("w0", "w1"), "quorum none"],
        [L, W[0], W[1].replace("w1", "w0"), "quorum none"],
        [L, W[0].replace("w0", "none"), "quorum none"],
        [W[0].replace("witness w0", "log"), "quorum none"],
        [L.replace("log", "witness w0"), "quorum none"],
        [L, W[0], "group g 2 w0", "quorum g"],
        [L, W[0], "group g 0 w0", "quorum g"],
        [L, W[0], "group g all", "quorum g"],
        [L, "group g any g", "quorum g"],
        [L, "something else", "quorum none"],
        [L + "x", "quorum none"],
    ],
)
def test_what_is_no_policy(lines):
    with pytest.raises(CouldNotCheck):
        Policy.parse("\n".join(lines).encode())
