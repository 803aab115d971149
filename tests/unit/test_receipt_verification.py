"""Both verifiers on true receipts, and on receipts in which one thing is a lie that all hashes and signatures around it cover."""

from hashlib import sha256

import msgspec
import pytest
from receipt_case import ATTESTATION_SEED, GATEWAY, NOW, SIGNING_SEED, genesis_bytes, key, make_case, party_body, record_body

from chain.genesis import Genesis
from chain.keys import SigningKey
from chain.transactions import AnchorBody, PartyAction
from gateway import independent, verification
from gateway.errors import CouldNotCheck
from gateway.receipt_format import Statement
from gateway.receipt_json import Hash, Raw, to_json

FIRST = (verification.verify_receipt, verification.ReceiptInvalid, CouldNotCheck)
SECOND = (independent.verify_receipt, independent.Invalid, independent.Unreadable)


@pytest.fixture(params=[FIRST, SECOND], ids=["first", "independent"])
def verifier(request):
    return request.param


def check(verifier, case, record=None, **changes):
    return verifier[0](to_json(msgspec.structs.replace(case.receipt, **changes)), case.genesis, record or case.record)


def assert_invalid(verifier, case, what=None, record=None, **changes):
    with pytest.raises(verifier[1], match=what):
        check(verifier, case, record, **changes)


@pytest.mark.parametrize(
    ("signed_by", "who"),
    [("issuer", "in a submission signed by General Hospital"), ("gateway", "in a submission attested by the gateway for General Hospital")],
)
def test_a_true_receipt_says_who_when_and_by_how_many(verifier, signed_by, who):
    verdict = check(verifier, make_case(signed_by))
    assert verdict.who == who
    assert (verdict.reference, verdict.height, verdict.accepted_at) == (
        "Observation/0000000000000000000000000000000a/_history/1",
        3,
        NOW + 200,
    )
    assert (verdict.votes, verdict.delegates, verdict.not_checked) == (3, 4, ())


@pytest.mark.parametrize("delegates", [1, 4, 7, 25])
def test_sets_of_delegates(verifier, delegates):
    assert check(verifier, make_case(delegates=delegates)).votes == 2 * (delegates - 1) // 3 + 1


@pytest.mark.parametrize(("bundle", "record"), [(0, 0), (0, 6), (1, 4), (2, 0), (2, 1)])
def test_every_place_in_a_container(verifier, bundle, record):
    case = make_case(bundle=bundle, record=record)
    assert check(verifier, case).reference == case.receipt.record.reference


def test_without_the_record_the_verdict_says_that_it_was_not_checked(verifier):
    case = make_case()
    verdict = verifier[0](to_json(case.receipt), case.genesis, None)
    assert [what.split(":")[0] for what in verdict.not_checked] == ["the record itself"]


def public(case):
    record = msgspec.structs.replace(case.receipt.record, salt=msgspec.UNSET)
    return to_json(msgspec.structs.replace(case.receipt, record=record, statement=msgspec.UNSET, issuer=msgspec.UNSET))


def test_a_public_receipt_says_that_a_commitment_was_accepted_and_no_more(verifier):
    case = make_case()
    verdict = verifier[0](public(case), case.genesis, None)
    assert verdict.who is None
    assert len(verdict.not_checked) == 2
    with pytest.raises(verifier[2], match="public receipt"):
        verifier[0](public(case), case.genesis, case.record)


def test_an_issuer_that_genesis_names_needs_no_transaction(verifier):
    case = make_case(genesis=genesis_bytes(parties=(party_body(),)), party=party_body("someone-else-00000000"))
    assert check(verifier, case, issuer="genesis").who == "in a submission signed by General Hospital"
    assert_invalid(verifier, make_case(), "genesis names no such party", issuer="genesis")


def test_a_record_that_is_another_by_one_byte(verifier):
    case = make_case()
    for altered in (case.record + b"\n", case.record.replace(b"final", b"Final"), case.record[:-1], b"", b"\xef\xbb\xbf" + case.record):
        if altered:
            assert_invalid(verifier, case, "byte for byte", record=altered)


def test_a_number_of_any_length_in_a_record(verifier):
    case = make_case(body_of=lambda number: record_body(number).replace(b".50", b"1" * 5000))
    assert check(verifier, case).not_checked == ()
    number = make_case(body_of=lambda number: record_body(number).replace(b'"versionId":"1"', b'"versionId":1'))
    assert_invalid(verifier, number, "record")


def test_a_reference_that_the_record_does_not_bear(verifier):
    case = make_case()
    for other in ("Observation/0000000000000000000000000000000a/_history/2", "Condition/0000000000000000000000000000000a/_history/1"):
        record = msgspec.structs.replace(case.receipt.record, reference=other)
        with pytest.raises(verifier[1], match=r"record\.reference"):
            verifier[0](to_json(msgspec.structs.replace(case.receipt, record=record)), case.genesis, case.record)


def test_the_statement_cannot_pass_for_a_record(verifier):
    """Its leaf is in the bundle like a record's, so only its place tells."""
    case = make_case()
    stated = case.receipt.statement
    label = b"fhir-anchor/record-commitment/v1\x00"
    commitment = Hash(sha256(label + stated.salt + stated.bytes).digest())
    record = msgspec.structs.replace(case.receipt.record, salt=stated.salt, path=stated.path, commitment=commitment)
    with pytest.raises(verifier[1], match="first leaf"):
        verifier[0](to_json(msgspec.structs.replace(case.receipt, record=record)), case.genesis, None)


def test_a_record_cannot_pass_for_the_statement(verifier):
    """Whoever could have a record of his choice sealed could otherwise say who submitted all that lies beside it."""
    case = make_case(misplaced=True)
    record = case.receipt.record
    receipt = msgspec.structs.replace(case.receipt, statement=Statement(Raw(case.record), record.salt, record.path))
    with pytest.raises(verifier[1], match="first leaf"):
        verifier[0](to_json(receipt), case.genesis, None)


def test_another_genesis(verifier):
    case = make_case()
    with pytest.raises(verifier[1], match="chain_id"):
        verifier[0](to_json(case.receipt), genesis_bytes(network="another"), case.record)
    forged = msgspec.structs.replace(case.receipt, chain_id=Hash(Genesis.parse(genesis_bytes(network="another")).chain_id))
    with pytest.raises(verifier[1], match="header"):
        verifier[0](to_json(forged), genesis_bytes(network="another"), case.record)


@pytest.mark.parametrize("body", [b"", b"{}", b"[]", b"not json"])
def test_a_genesis_that_is_none_leaves_everything_unchecked(verifier, body):
    case = make_case()
    with pytest.raises(verifier[2], match="genesis"):
        verifier[0](to_json(case.receipt), body, case.record)


@pytest.mark.parametrize("body", [b"", b"{}", b"[]", b"not json", b'"fhir-anchor receipt 1"'])
def test_a_file_that_is_no_receipt_is_invalid(verifier, body):
    with pytest.raises(verifier[1], match="receipt"):
        verifier[0](body, make_case().genesis, None)


@pytest.mark.parametrize(
    "header",
    [
        {"height": 0},
        {"time": NOW + 201},
        {"delegates_hash": bytes(32)},
        {"chain_id": bytes(32)},
        {"version": 3},
        {"state_root": bytes(32)},
        {"log_root": bytes(32)},
        {"log_size": 7},
        {"log_size": 5},
        {"slot": 601},
    ],
    ids=lambda header: next(iter(header)),
)
def test_a_quorum_does_not_make_a_wrong_header_right(verifier, header):
    assert_invalid(verifier, make_case(header=header))


@pytest.mark.parametrize("voters", [(0, 1), (0, 1, 2, 3), (1,), (2, 1, 0), (1, 1, 2), (0, 1, 4)], ids=str)
def test_votes_are_exactly_a_quorum_of_different_delegates_in_order(verifier, voters):
    case = make_case()
    signatures = dict(make_case(header={"voters": b"\x0e"}).receipt.votes)
    signatures.update(make_case(voters=(0, 1, 2)).receipt.votes)
    votes = tuple((i, signatures.get(i, Raw(bytes(64)))) for i in voters)
    assert_invalid(verifier, case, "(?i)vote", votes=votes)


def test_any_quorum_will_do(verifier):
    for voters in ((0, 1, 2), (0, 2, 3)):
        assert check(verifier, make_case(voters=voters)).votes == 3


def test_votes_for_another_height_or_block(verifier):
    other = make_case(header={"height": 4})
    assert_invalid(verifier, make_case(), "vote", votes=other.receipt.votes)
    other = make_case(header={"previous": b"p" * 32})
    assert_invalid(verifier, make_case(), "vote", votes=other.receipt.votes)


def test_an_anchor_that_is_not_the_gateways(verifier):
    assert_invalid(verifier, make_case(signers=(GATEWAY, key("someone"))), "gateway of genesis")


def test_a_signature_that_is_not_the_gateways_under_its_key(verifier):
    """The log holds it and a quorum voted for the log; still it was never the gateway's."""
    forger = SigningKey(GATEWAY.public, key("someone")._secret)
    for signers in ((forger, GATEWAY), (GATEWAY, forger)):
        assert_invalid(verifier, make_case(signers=signers), "signature")


@pytest.mark.parametrize("anchor", [{"root": bytes(32)}, {"bundles": 4}, {"bundles": 2}], ids=str)
def test_an_anchor_of_another_container(verifier, anchor):
    assert_invalid(verifier, make_case(anchor=anchor))


def test_a_transaction_of_another_kind(verifier):
    case = make_case()
    assert_invalid(verifier, case, anchor=case.receipt.issuer)
    assert_invalid(verifier, case, issuer=case.receipt.anchor)


def test_an_issuer_that_the_gateway_did_not_register(verifier):
    assert_invalid(verifier, make_case(signers=(key("someone"), GATEWAY)), "gateway of genesis")


@pytest.mark.parametrize(
    "party",
    [
        party_body("another-hospital-00000000"),
        party_body(action=PartyAction.SUSPEND, keys=(None, None)),
        party_body(keys=(b"x" * 32, ATTESTATION_SEED)),
        party_body(keys=(None, ATTESTATION_SEED)),
        party_body(keys=(ATTESTATION_SEED, SIGNING_SEED)),
        AnchorBody(bytes(32), 1, bytes(32), 1, 1),
    ],
    ids=["another", "suspended", "another-key", "no-key", "keys-swapped", "no-party"],
)
def test_an_issuer_that_is_not_who_signed(verifier, party):
    assert_invalid(verifier, make_case(party=party))


def test_the_gateway_cannot_pass_its_attestation_off_as_the_issuers_signature(verifier):
    assert_invalid(verifier, make_case("issuer", statement={"seed": ATTESTATION_SEED}), "sign")
    assert_invalid(verifier, make_case("gateway", statement={"seed": SIGNING_SEED}), "sign")


@pytest.mark.parametrize(
    "statement",
    [{"issuer": "another-00000000"}, {"count": 13}, {"root": "00" * 32}, {"iat": NOW - 601}, {"iat": NOW + 603}, {"signature": "a.b.c"}],
    ids=lambda statement: next(iter(statement)),
)
def test_a_statement_that_its_signature_is_not_over(verifier, statement):
    assert_invalid(verifier, make_case(statement=statement))


@pytest.mark.parametrize(
    "respell",
    [
        lambda stated: stated.replace(b":", b": ", 1),
        lambda stated: stated[:-1] + b',"more":1}',
        lambda stated: stated[:-1] + stated[stated.index(b',"issuer"') : stated.index(b',"media')] + b"}",
        lambda stated: stated.replace(b"application", b"\\u0061pplication"),
        lambda stated: stated.replace(b'"count":14', b'"count":14.0'),
        lambda stated: stated.replace(b"submission 1", b"submission 2"),
        lambda _: b"[]",
        lambda _: b"\xff",
    ],
    ids=["space", "more", "twice", "escape", "float", "format", "list", "utf-8"],
)
def test_a_statement_in_another_spelling(verifier, respell):
    assert_invalid(verifier, make_case(respell=respell), r"statement\.bytes")


def test_a_statement_of_another_bundle(verifier):
    case, other = make_case(bundle=0), make_case(bundle=1)
    assert_invalid(verifier, case, r"statement\.path", statement=other.receipt.statement)


def test_parts_of_two_true_receipts_do_not_make_one(verifier):
    case, other = make_case(bundle=0, record=1), make_case(bundle=1, record=1, log_before=9)
    for part in ("record", "bundle", "anchor", "header", "votes", "statement", "issuer"):
        mixed = msgspec.structs.replace(case.receipt, **{part: getattr(other.receipt, part)})
        with pytest.raises(verifier[1]):
            verifier[0](to_json(mixed), case.genesis, None)
