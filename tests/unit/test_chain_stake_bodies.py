"""The form of DELEGATE, VOTE, UNJAIL, EVIDENCE and TRANSFER: what is read, and what is not."""

import pytest
from chain_case import DELEGATES, ELECTED, HOLDERS, NEW, registration, vote

from chain.block import Header
from chain.encoding import encode
from chain.evidence import EvidenceBody, Offence
from chain.kinds import Kind
from chain.stake import MAX_VOTES, DelegateAction, DelegateBody, TransferBody, UnjailBody, VoteBody, cosigner
from chain.transactions import TransactionInvalid, parse_transaction, sign_transaction

VOTES = EvidenceBody(Offence.VOTED, DELEGATES[0].public, 7, b"a" * 32, bytes(64), b"b" * 32, bytes(64))
HEADERS = EvidenceBody(Offence.PRODUCED, DELEGATES[0].public, 7, b"a", bytes(64), b"b" * 900, bytes(64))
BODIES = [
    registration(NEW[0]),
    DelegateBody(DelegateAction.RESIGN),
    cosigner(NEW[0], ELECTED.chain_id),
    vote(),
    vote(*DELEGATES),
    UnjailBody(),
    TransferBody(HOLDERS[1].public, 5),
    VOTES,
    HEADERS,
]


@pytest.mark.parametrize("body", BODIES, ids=lambda body: type(body).__name__)
def test_bodies_go_there_and_back(body):
    transaction = sign_transaction(body, 100, HOLDERS[0], ELECTED.chain_id)
    assert parse_transaction(transaction.raw).body == body
    transaction.verify_signature(ELECTED.chain_id)


def test_the_largest_fit():
    keys = tuple(bytes([number]) * 32 for number in range(MAX_VOTES))
    header = Header(
        1, ELECTED.chain_id, 1 << 60, 1 << 60, 1 << 60, bytes(32), 1 << 60, bytes(32), bytes(33), bytes(32), bytes(32), bytes(32), bytes(13)
    ).to_bytes()
    evidence = EvidenceBody(Offence.PRODUCED, bytes(32), 1 << 60, header, bytes(64), header + b"\xff", bytes(64))
    for body in (VoteBody(keys), evidence):
        assert parse_transaction(sign_transaction(body, 1 << 60, HOLDERS[0], ELECTED.chain_id).raw).body == body


DELEGATE_FIELDS, VOTE_FIELDS, EVIDENCE_FIELDS = registration(NEW[0]).to_map(), vote(*DELEGATES).to_map(), VOTES.to_map()
KEYS = VOTE_FIELDS[0]
BAD = {
    "unknown action": (Kind.DELEGATE, {**DELEGATE_FIELDS, 0: 3}),
    "cosign with a name": (Kind.DELEGATE, {**DELEGATE_FIELDS, 0: 2}),
    "cosign with nothing": (Kind.DELEGATE, {0: 2}),
    "cosign with the identity": (Kind.DELEGATE, {0: 2, 1: b"\x01" + bytes(31), 2: bytes(64)}),
    "cosign with a short signature": (Kind.DELEGATE, {0: 2, 1: DELEGATE_FIELDS[1], 2: bytes(63)}),
    "action true": (Kind.DELEGATE, {**DELEGATE_FIELDS, 0: True}),
    "resign as true": (Kind.DELEGATE, {0: True}),
    "resign with a key": (Kind.DELEGATE, {**DELEGATE_FIELDS, 0: 1}),
    "register with nothing": (Kind.DELEGATE, {0: 0}),
    "no action": (Kind.DELEGATE, {}),
    "no map": (Kind.DELEGATE, [0]),
    "identity as key": (Kind.DELEGATE, {**DELEGATE_FIELDS, 1: b"\x01" + bytes(31)}),
    "key of text": (Kind.DELEGATE, {**DELEGATE_FIELDS, 1: "x" * 32}),
    "no name": (Kind.DELEGATE, {**DELEGATE_FIELDS, 2: ""}),
    "name of two lines": (Kind.DELEGATE, {**DELEGATE_FIELDS, 2: "a\nb"}),
    "name too long": (Kind.DELEGATE, {**DELEGATE_FIELDS, 2: "a" * 201}),
    "short signature": (Kind.DELEGATE, {**DELEGATE_FIELDS, 3: bytes(63)}),
    "votes no list": (Kind.VOTE, {0: KEYS[0]}),
    "votes out of order": (Kind.VOTE, {0: KEYS[::-1]}),
    "vote twice": (Kind.VOTE, {0: [KEYS[0], KEYS[0]]}),
    "vote for a short key": (Kind.VOTE, {0: [b"x"]}),
    "vote for a list": (Kind.VOTE, {0: [[]]}),
    "votes too many": (Kind.VOTE, {0: [bytes([number]) * 32 for number in range(MAX_VOTES + 1)]}),
    "votes with more": (Kind.VOTE, {0: KEYS, 1: 1}),
    "unjail with more": (Kind.UNJAIL, {0: KEYS[0]}),
    "unjail no map": (Kind.UNJAIL, []),
    "transfer of nothing": (Kind.TRANSFER, {0: KEYS[0], 1: 0}),
    "transfer backwards": (Kind.TRANSFER, {0: KEYS[0], 1: -1}),
    "transfer of true": (Kind.TRANSFER, {0: KEYS[0], 1: True}),
    "transfer to nobody": (Kind.TRANSFER, {0: bytes(32), 1: 1}),
    "unknown offence": (Kind.EVIDENCE, {**EVIDENCE_FIELDS, 0: 2}),
    "offence false": (Kind.EVIDENCE, {**EVIDENCE_FIELDS, 0: False}),
    "accused of 31 bytes": (Kind.EVIDENCE, {**EVIDENCE_FIELDS, 1: bytes(31)}),
    "height 0": (Kind.EVIDENCE, {**EVIDENCE_FIELDS, 2: 0}),
    "the same twice": (Kind.EVIDENCE, {**EVIDENCE_FIELDS, 3: b"b" * 32}),
    "out of order": (Kind.EVIDENCE, {**EVIDENCE_FIELDS, 3: b"c" * 32}),
    "a hash of 31 bytes": (Kind.EVIDENCE, {**EVIDENCE_FIELDS, 3: b"a" * 31}),
    "signed no bytes": (Kind.EVIDENCE, {**EVIDENCE_FIELDS, 3: 5}),
    "evidence of a short signature": (Kind.EVIDENCE, {**EVIDENCE_FIELDS, 4: bytes(63)}),
    "evidence with a field less": (Kind.EVIDENCE, {number: EVIDENCE_FIELDS[number] for number in range(6)}),
}


@pytest.mark.parametrize(("kind", "body"), BAD.values(), ids=BAD)
def test_a_body_that_breaks_a_rule_is_refused(kind, body):
    with pytest.raises(TransactionInvalid):
        parse_transaction(encode({0: 1, 1: int(kind), 2: body, 3: 100, 4: HOLDERS[0].public, 5: bytes(64)}))
