import pytest
from chain_case import GATEWAY, GATEWAY_ID, GENESIS, anchor, batch, grant, key, party, revoke
from msgspec.structs import replace

from chain.audit_report import AuditReportBody
from chain.consent import commit_terms
from chain.encoding import encode
from chain.keys import ChainId, SignatureInvalid
from chain.transactions import AnchorBody, Kind, PartyAction, PartyBody, Role, TransactionInvalid, parse_transaction, sign_transaction

CHAIN = GENESIS.chain_id
ANCHOR = anchor(1)
FIELDS = {0: 1, 1: 2, 2: ANCHOR.to_map(), 3: 100, 4: GATEWAY.public, 5: bytes(64)}


def with_body(kind, body):
    return encode({**FIELDS, 1: kind, 2: body})


@pytest.mark.parametrize(
    "body",
    [
        ANCHOR,
        party(),
        party(PartyAction.SUSPEND),
        party(PartyAction.ROTATE, signing="own"),
        party(name="Zürich"),
        grant(1, 1),
        grant(1, (1 << 63) - 1),
        revoke(1, 2),
        batch(3, 3),
        batch(3, 9, leaves=2),
        *(AuditReportBody(bytes(range(32)), 1_800_000_000, exit_code) for exit_code in range(3)),
    ],
)
def test_what_was_signed_is_read_and_verifies(body):
    transaction = sign_transaction(body, 100, GATEWAY, CHAIN)
    transaction.verify_signature(CHAIN)
    assert parse_transaction(transaction.raw) == transaction
    assert (transaction.body, transaction.kind, transaction.valid_until, transaction.signer) == (body, body.kind, 100, GATEWAY.public)


def test_the_signed_bytes_are_the_map_without_its_signature():
    transaction = sign_transaction(ANCHOR, 100, GATEWAY, CHAIN)
    assert transaction.unsigned() == encode({number: value for number, value in FIELDS.items() if number < 5})


def test_identity_excludes_the_signature_and_includes_all_else():
    transaction = sign_transaction(ANCHOR, 100, GATEWAY, CHAIN)
    resigned = parse_transaction(transaction.raw[:-64] + bytes(64))
    assert resigned.tx_id(CHAIN) == transaction.tx_id(CHAIN)
    others = [
        sign_transaction(ANCHOR, 101, GATEWAY, CHAIN),
        sign_transaction(anchor(2), 100, GATEWAY, CHAIN),
        sign_transaction(ANCHOR, 100, key("other"), CHAIN),
    ]
    ids = {transaction.tx_id(CHAIN), transaction.tx_id(ChainId(bytes(32))), *(other.tx_id(CHAIN) for other in others)}
    assert len(ids) == 5


@pytest.mark.parametrize("change", [lambda raw: raw[:-1] + bytes([raw[-1] ^ 1]), lambda raw: raw.replace(b"\x18\x64", b"\x18\x65", 1)])
def test_a_changed_transaction_does_not_verify(change):
    raw = sign_transaction(ANCHOR, 100, GATEWAY, CHAIN).raw
    changed = parse_transaction(change(raw))
    assert changed.raw != raw
    with pytest.raises(SignatureInvalid):
        changed.verify_signature(CHAIN)
    with pytest.raises(SignatureInvalid):
        parse_transaction(raw).verify_signature(ChainId(bytes(32)))


P = party().to_map()
G, R, B = grant(1, 5).to_map(), revoke(1, 6).to_map(), batch(7, 9).to_map()
TOO_HIGH = 1 << 63
BAD = {
    "no CBOR": b"\xff",
    "no map": encode([1]),
    "a field less": encode({number: value for number, value in FIELDS.items() if number < 5}),
    "a field more": encode({**FIELDS, 6: 0}),
    "version 2": encode({**FIELDS, 0: 2}),
    "version true": encode({**FIELDS, 0: True}),
    "kind 0": encode({**FIELDS, 1: 0}),
    "kind text": encode({**FIELDS, 1: "2"}),
    "kind list": encode({**FIELDS, 1: []}),
    "valid until 0": encode({**FIELDS, 3: 0}),
    "valid until 2^63": encode({**FIELDS, 3: 1 << 63}),
    "valid until null": encode({**FIELDS, 3: None}),
    "short signer": encode({**FIELDS, 4: bytes(31)}),
    "signature text": encode({**FIELDS, 5: "a" * 64}),
    "long signature": encode({**FIELDS, 5: bytes(65)}),
    "too large": encode({**FIELDS, 2: bytes(5000)}),
    **{
        f"audit report {what}": with_body(8, body)
        for what, body in {
            "without exit code": {0: bytes(32), 1: 1},
            "with a short digest": {0: bytes(31), 1: 1, 2: 0},
            "of no time": {0: bytes(32), 1: 0, 2: 0},
            "with exit code 3": {0: bytes(32), 1: 1, 2: 3},
            "with exit code true": {0: bytes(32), 1: 1, 2: True},
            "with a field more": {0: bytes(32), 1: 1, 2: 0, 3: 0},
        }.items()
    },
    "no body": encode({**FIELDS, 2: None}),
    "ANCHOR with a field more": with_body(2, {**ANCHOR.to_map(), 5: 0}),
    "ANCHOR with short digest": with_body(2, {**ANCHOR.to_map(), 0: bytes(31)}),
    "ANCHOR with text root": with_body(2, {**ANCHOR.to_map(), 2: "a" * 32}),
    "ANCHOR of no bytes": with_body(2, {**ANCHOR.to_map(), 1: 0}),
    "ANCHOR with negative count": with_body(2, {**ANCHOR.to_map(), 4: -1}),
    "ANCHOR with true": with_body(2, {**ANCHOR.to_map(), 3: True}),
    "ANCHOR with fewer leaves than bundles": with_body(2, {**ANCHOR.to_map(), 3: 9}),
    "ANCHOR body as PARTY": with_body(1, ANCHOR.to_map()),
    "PARTY with unknown action": with_body(1, {**P, 0: 3}),
    "PARTY with true for an action": with_body(1, {**P, 0: False}),
    "PARTY with unknown role": with_body(1, {**P, 3: 4}),
    "PARTY with upper case client id": with_body(1, {**P, 1: "Hospital-1"}),
    "PARTY with empty client id": with_body(1, {**P, 1: ""}),
    "PARTY with long client id": with_body(1, {**P, 1: "a" * 101}),
    "PARTY with client id of bytes": with_body(1, {**P, 1: b"hospital-1"}),
    "PARTY with line break in name": with_body(1, {**P, 2: "a\nb"}),
    "PARTY with empty name": with_body(1, {**P, 2: ""}),
    "PARTY with long name": with_body(1, {**P, 2: "a" * 201}),
    "PARTY without keys": with_body(1, {**P, 4: None, 5: None}),
    "PARTY with one key twice": with_body(1, {**P, 4: P[5]}),
    "PARTY with identity key": with_body(1, {**P, 4: b"\x01" + bytes(31)}),
    "PARTY with key of text": with_body(1, {**P, 4: "a" * 32}),
    "PARTY suspended with a key": with_body(1, {**P, 0: 2}),
    "PARTY gateway without signing key": with_body(1, {**P, 3: 3}),
    "GRANT with a field more": with_body(4, {**G, 4: 0}),
    "GRANT with a field less": with_body(4, {number: G[number] for number in range(3)}),
    "GRANT of a list": with_body(4, list(G.values())),
    "GRANT with short grant id": with_body(4, {**G, 0: G[0][:31]}),
    "GRANT with grant id of text": with_body(4, {**G, 0: "a" * 32}),
    "GRANT with identity key": with_body(4, {**G, 0: b"\x01" + bytes(31)}),
    "GRANT with a key off the curve": with_body(4, {**G, 0: b"\x02" + bytes(31)}),
    "GRANT with short commitment": with_body(4, {**G, 1: bytes(31)}),
    "GRANT with long commitment": with_body(4, {**G, 1: bytes(33)}),
    "GRANT with commitment of text": with_body(4, {**G, 1: "a" * 32}),
    "GRANT with sequence 0": with_body(4, {**G, 2: 0}),
    "GRANT with negative sequence": with_body(4, {**G, 2: -1}),
    "GRANT with sequence 2^63": with_body(4, {**G, 2: TOO_HIGH}),
    "GRANT with sequence true": with_body(4, {**G, 2: True}),
    "GRANT without sequence": with_body(4, {**G, 2: None}),
    "GRANT with short signature": with_body(4, {**G, 3: bytes(63)}),
    "GRANT with long signature": with_body(4, {**G, 3: bytes(65)}),
    "GRANT with signature of text": with_body(4, {**G, 3: "a" * 64}),
    "GRANT body as REVOKE": with_body(5, G),
    "REVOKE body as GRANT": with_body(4, R),
    "REVOKE with a field more": with_body(5, {**R, 3: 0}),
    "REVOKE with short grant id": with_body(5, {**R, 0: R[0][:31]}),
    "REVOKE with grant id of text": with_body(5, {**R, 0: "a" * 32}),
    "REVOKE with sequence 0": with_body(5, {**R, 1: 0}),
    "REVOKE with sequence 2^63": with_body(5, {**R, 1: TOO_HIGH}),
    "REVOKE with sequence of bytes": with_body(5, {**R, 1: b"\x06"}),
    "REVOKE with short signature": with_body(5, {**R, 2: bytes(63)}),
    "REVOKE without signature": with_body(5, {**R, 2: None}),
    "BATCH with a field more": with_body(6, {**B, 4: 0}),
    "BATCH with short root": with_body(6, {**B, 0: bytes(31)}),
    "BATCH with root of text": with_body(6, {**B, 0: "a" * 32}),
    "BATCH of no leaves": with_body(6, {**B, 1: 0}),
    "BATCH with leaves true": with_body(6, {**B, 1: True}),
    "BATCH with more leaves than numbers": with_body(6, {**B, 1: 4}),
    "BATCH of one leaf with two numbers": with_body(6, {**B, 1: 1}),
    "BATCH from 0": with_body(6, {**B, 2: 0}),
    "BATCH backwards": with_body(6, {**B, 2: 9, 3: 7}),
    "BATCH to 2^63": with_body(6, {**B, 3: TOO_HIGH}),
    "BATCH body as ANCHOR": with_body(2, B),
}


@pytest.mark.parametrize("raw", BAD.values(), ids=BAD)
def test_a_transaction_that_breaks_a_rule_is_refused(raw):
    with pytest.raises(TransactionInvalid):
        parse_transaction(raw)


@pytest.mark.parametrize("kind", [kind for kind in Kind if kind in {3, 7}])
def test_kinds_of_later_are_numbered_and_refused(kind):
    with pytest.raises(TransactionInvalid, match="unknown kind"):
        parse_transaction(encode({**FIELDS, 1: int(kind)}))


def test_numbers_are_for_ever():
    assert [kind.value for kind in Kind] == list(range(1, 14))
    assert [kind.name for kind in Kind][:3] == ["PARTY", "ANCHOR", "RESEAL"]
    assert [(role.name, role.value) for role in Role] == [("INSTITUTION", 1), ("AGENCY", 2), ("GATEWAY", 3)]
    assert [(action.name, action.value) for action in PartyAction] == [("REGISTER", 0), ("ROTATE", 1), ("SUSPEND", 2)]


@pytest.mark.parametrize("body", [replace(ANCHOR, digest=b""), AnchorBody(bytes(32), 1, bytes(32), 2, 1), replace(party(), name="")])
def test_a_bad_body_is_not_signed(body):
    with pytest.raises(TransactionInvalid):
        sign_transaction(body, 100, GATEWAY, CHAIN)


def test_an_anchor_stays_small():
    assert len(sign_transaction(AnchorBody(bytes(32), 1 << 30, bytes(32), 100, 10_000), 1 << 20, GATEWAY, CHAIN).raw) <= 204


def test_party_bodies_go_there_and_back():
    assert PartyBody.from_map(P) == party()


def test_a_consents_signature_is_over_its_gateway_its_key_and_its_terms():
    given, ended = grant(1, 5), revoke(1, 6)
    given.verify_signature(CHAIN, GATEWAY_ID)
    replace(given, sequence=99).verify_signature(CHAIN, GATEWAY_ID)  # its place is the gateway's to say
    ended.verify_signature(CHAIN, GATEWAY_ID)
    other = key("grant 2").public
    forged = [
        (given, CHAIN, "gateway-00000001"),
        (given, ChainId(bytes(32)), GATEWAY_ID),
        (replace(given, commitment=bytes(32)), CHAIN, GATEWAY_ID),
        (replace(given, grant_id=other), CHAIN, GATEWAY_ID),
        (replace(given, signature=ended.signature), CHAIN, GATEWAY_ID),
        (ended, CHAIN, "gateway-00000001"),
        (ended, ChainId(bytes(32)), GATEWAY_ID),
        (replace(ended, grant_id=other), CHAIN, GATEWAY_ID),
        (replace(ended, signature=given.signature), CHAIN, GATEWAY_ID),
    ]
    for body, chain_id, gateway in forged:
        with pytest.raises(SignatureInvalid):
            body.verify_signature(chain_id, gateway)


def test_terms_are_hidden_by_a_salt_of_one_size():
    salt = bytes(32)
    assert len({commit_terms(CHAIN, salt, b"a"), commit_terms(CHAIN, b"\x01" + salt[1:], b"a"), commit_terms(CHAIN, salt, b"b")}) == 3
    assert commit_terms(CHAIN, salt, b"a") != commit_terms(ChainId(salt), salt, b"a")
    for wrong in (b"", salt[1:], salt + b"a"):
        with pytest.raises(ValueError, match="32 bytes"):
            commit_terms(CHAIN, wrong, b"a")
