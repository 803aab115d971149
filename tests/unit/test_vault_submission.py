"""Signed submissions: what is signed, who signed it, when; and the statement that keeps it."""

import hashlib
import hmac
import json

import msgspec
import pytest

from chain import merkle
from gateway.vault import primitives
from gateway.vault.submission import (
    Statement,
    SubmissionInvalid,
    SubmissionTree,
    from_base64url,
    parse_nonce,
    sign,
    to_base64url,
    verify,
)

SEED = b"s" * 32
PUBLIC = primitives.ed25519_public(SEED)
ENTRIES = [b'{"fullUrl":"urn:uuid:1"}', b"{}", b"", b"{}"]
TREE = SubmissionTree(ENTRIES, b"n" * 32)
SIGNED = {"client_id": "hospital-3f9a2b6c", "count": TREE.count, "root": TREE.root}
NOW = 1_790_000_000
JWS = sign(SEED, iat=NOW, **SIGNED)


def test_the_tree_is_what_the_specification_says():
    leaves = []
    for i, entry in enumerate(ENTRIES):
        salt = hmac.digest(b"n" * 32, i.to_bytes(4, "big"), "sha256")[:16]
        assert TREE.salts[i] == salt
        leaves.append(hashlib.sha256(b"\x00" + hashlib.sha256(salt + entry).digest()).digest())
    assert TREE.root == merkle.root(leaves)


def test_equal_entries_have_different_leaves_and_another_nonce_another_root():
    assert TREE.tree.node(1, 2) != TREE.tree.node(3, 4)
    assert SubmissionTree(ENTRIES, b"m" * 32).root != TREE.root


def test_a_resource_by_itself_is_entry_zero():
    tree = SubmissionTree([b"{}"], b"n" * 32)
    assert tree.root == merkle.leaf_hash(hashlib.sha256(tree.salts[0] + b"{}").digest())


def test_a_signature_holds_within_ten_minutes_either_way():
    for now in (NOW - 600, NOW, NOW + 600):
        assert verify(JWS, public=PUBLIC, now=now, **SIGNED).iat == NOW
    for now in (NOW - 601, NOW + 601):
        with pytest.raises(SubmissionInvalid, match="10 minutes") as refusal:
            verify(JWS, public=PUBLIC, now=now, **SIGNED)
        assert refusal.value.issue.code == "expired"


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"client_id": "hospital-00000000"}, "another party"),
        ({"count": 5}, "other entries"),
        ({"root": b"r" * 32}, "other entries"),
        ({"public": primitives.ed25519_public(b"x" * 32)}, "registered signing key"),
        ({"public": bytes(32)}, "registered signing key"),
    ],
)
def test_a_signature_for_something_else_is_refused(changed, says):
    with pytest.raises(SubmissionInvalid, match=says):
        verify(JWS, **{"public": PUBLIC, "now": NOW, **SIGNED, **changed})


def jws_of(header, payload, seed=SEED):
    signed = f"{to_base64url(json.dumps(header).encode())}.{to_base64url(json.dumps(payload).encode())}"
    return f"{signed}.{to_base64url(primitives.ed25519_sign(seed, signed.encode()))}"


HEADER = {"alg": "EdDSA", "kid": "hospital-3f9a2b6c"}
PAYLOAD = {"iss": "hospital-3f9a2b6c", "iat": NOW, "count": TREE.count, "root": TREE.root.hex()}


def test_the_handmade_jws_holds_as_it_stands():
    assert verify(jws_of(HEADER, PAYLOAD), public=PUBLIC, now=NOW, **SIGNED)


@pytest.mark.parametrize(
    "jws",
    [
        "",
        ".",
        "..",
        "a.b.c",
        JWS + ".x",
        JWS + "=",
        JWS[:-1],
        JWS.rpartition(".")[0] + ".",
        JWS.replace(".", "", 1),
        jws_of({**HEADER, "alg": "none"}, PAYLOAD),
        jws_of({**HEADER, "alg": "HS256"}, PAYLOAD),
        jws_of({**HEADER, "crit": ["b64"], "b64": False}, PAYLOAD),
        jws_of({"alg": "EdDSA"}, PAYLOAD),
        jws_of({**HEADER, "kid": "hospital-00000000"}, PAYLOAD),
        jws_of(HEADER, {**PAYLOAD, "iss": "hospital-00000000"}),
        jws_of(HEADER, {**PAYLOAD, "exp": NOW}),
        jws_of(HEADER, {**PAYLOAD, "iat": str(NOW)}),
        jws_of(HEADER, {**PAYLOAD, "iat": NOW + 0.5}),
        f"{to_base64url(b'[' * 100_000)}.{JWS.partition('.')[2]}",
        jws_of(HEADER, {**PAYLOAD, "root": TREE.root.hex().upper()}),
        jws_of(HEADER, {key: PAYLOAD[key] for key in ("iss", "iat", "count")}),
        jws_of(HEADER, [PAYLOAD]),
        jws_of(HEADER, PAYLOAD, seed=b"x" * 32),
    ],
)
def test_no_other_jws_holds(jws):
    with pytest.raises(SubmissionInvalid):
        verify(jws, public=PUBLIC, now=NOW, **SIGNED)


def test_every_changed_character_of_a_signature_is_found():
    for at, character in enumerate(JWS):
        changed = JWS[:at] + ("A" if character != "A" else "B") + JWS[at + 1 :]
        with pytest.raises(SubmissionInvalid):
            verify(changed, public=PUBLIC, now=NOW, **SIGNED)


def statement(**changed):
    fields = {
        "count": TREE.count,
        "issuer": "hospital-3f9a2b6c",
        "media_type": "application/fhir+json",
        "received_at": NOW + 2,
        "root": TREE.root.hex(),
        "signature": JWS,
        "signed_by": "issuer",
    }
    return Statement(**{**fields, **changed})


def test_a_statement_is_json_with_sorted_keys_and_says_what_the_specification_names():
    body = statement().to_bytes()
    assert list(json.loads(body)) == ["count", "format", "issuer", "media_type", "received_at", "root", "signature", "signed_by"]
    assert body == json.dumps(json.loads(body), separators=(",", ":"), sort_keys=True).encode()
    assert Statement.parse(body) == statement()
    Statement.parse(body).verify(PUBLIC)


@pytest.mark.parametrize(
    "change",
    [
        {"issuer": "hospital-00000000"},
        {"count": 3},
        {"root": "00" * 32},
        {"root": "no hex"},
        {"received_at": NOW + 3600},
        {"signature": "x"},
    ],
)
def test_a_statement_that_its_signature_does_not_cover_is_refused(change):
    with pytest.raises(SubmissionInvalid):
        statement(**change).verify(PUBLIC)
    with pytest.raises(SubmissionInvalid):
        statement().verify(primitives.ed25519_public(b"x" * 32))


@pytest.mark.parametrize("where", ["header", "payload"])
def test_a_name_that_stands_twice_is_refused_though_the_last_one_would_do(where):
    def doubled(fields):
        text = json.dumps(fields).encode()
        return b"{" + text[1:-1] + b"," + text[1:]

    header, payload = json.dumps(HEADER).encode(), json.dumps(PAYLOAD).encode()
    parts = (doubled(HEADER), payload) if where == "header" else (header, doubled(PAYLOAD))
    signed = ".".join(to_base64url(part) for part in parts)
    with pytest.raises(SubmissionInvalid, match="shape"):
        verify(f"{signed}.{to_base64url(primitives.ed25519_sign(SEED, signed.encode()))}", public=PUBLIC, now=NOW, **SIGNED)


@pytest.mark.parametrize(
    "change",
    [
        lambda body: b"",
        lambda body: b" " + body,
        lambda body: body.replace(b'"issuer":', b'"issuer": '),
        lambda body: body.replace(b'"count":4', b'"count":4,"count":4'),
        lambda body: body.replace(b'"count":4', b'"count":4,"more":1'),
        lambda body: body.replace(b'"count":4,', b""),
        lambda body: body.replace(b'"count":4', b'"count":"4"'),
        lambda body: body.replace(b'"count":4', b'"count":0'),
        lambda body: body.replace(b'"count":4', b'"count":9007199254740992'),
        lambda body: body.replace(b'"received_at":', b'"received_at":-'),
        lambda body: body.replace(b"%d" % (NOW + 2), b"0"),
        lambda body: body.replace(TREE.root.hex().encode(), TREE.root.hex().upper().encode()),
        lambda body: body.replace(b"fhir+json", b"fhir+\xff"),
        lambda body: body.replace(b'by":"issuer"', b'by":"nobody"'),
        lambda body: body.replace(b"submission 1", b"submission 2"),
        lambda body: msgspec.json.encode([msgspec.json.decode(body)]),
    ],
)
def test_a_statement_has_one_form(change):
    with pytest.raises(SubmissionInvalid):
        Statement.parse(change(statement().to_bytes()))


@pytest.mark.parametrize("text", ["", "AAAA", to_base64url(bytes(31)), to_base64url(bytes(33)), to_base64url(bytes(32)) + "=", "ä" * 43])
def test_a_nonce_is_32_bytes_in_base64url(text):
    assert parse_nonce(to_base64url(b"n" * 32)) == b"n" * 32
    with pytest.raises(SubmissionInvalid):
        parse_nonce(text)


@pytest.mark.parametrize("text", ["A", "AB", "AAA=", "AA+A", "AA/A", "A AA", "AA\n", "é"])
def test_base64url_has_one_form(text):
    with pytest.raises(ValueError):
        from_base64url(text)
