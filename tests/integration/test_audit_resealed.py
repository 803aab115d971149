"""What only the keys' own holder could do: bundles that open, and are anchored, and are not what a gateway seals."""

import os

import pytest
from audit_case import make_home
from resealing import Resealing

from gateway.index.index_row import index_row, parse_index_row
from gateway.sealing import attestation_context
from gateway.vault import submission
from gateway.vault.submission import Statement


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    made = make_home(tmp_path_factory.mktemp("sealed"))
    yield made
    made.close()


@pytest.fixture
def resealing(sound, tmp_path):
    return Resealing(sound.copy_to(tmp_path))


def codes(findings):
    return sorted({finding.code for finding in findings})


def fullest(resealing):
    """The last bundle with most records: those of a patient who was not written to again."""
    return max(range(len(resealing.parts)), key=lambda number: (len(resealing.parts[number].records), number))


def stated(resealing, **changes):
    """The statement of all bundles, changed, and not signed anew."""
    statement = Statement.parse(resealing.parts[0].statement)
    fields = {name: getattr(statement, name) for name in Statement.__struct_fields__}
    return Statement(**fields | changes)


def state(resealing, statement):
    for parts in resealing.parts:
        parts.statement = statement if isinstance(statement, bytes) else statement.to_bytes()


def test_sealed_again_as_it_was_it_is_clean(resealing):
    assert resealing.audit() == ()


def test_another_record_under_the_same_root(resealing):
    bundle = fullest(resealing)
    resealing.parts[bundle].root = resealing.parts[bundle].seal().root  # salts are new, so it is no longer true of what is sealed next
    findings = resealing.audit()
    assert [(finding.code, finding.subject[-8:]) for finding in findings] == [("leaf-mismatch", f"bundle {bundle}")]


def test_a_record_with_another_records_id(resealing):
    bundle = fullest(resealing)
    first, second = resealing.parts[bundle].records[:2]
    resealing.change(bundle, 0, body=second.body)
    findings = resealing.audit()
    assert codes(findings) == ["record-mismatch"]
    assert first.id.hex() in findings[0].subject


@pytest.mark.parametrize("was", [b'"versionId":"1"', b'"lastUpdated":"20', b"urn:fhir-anchor:", b'{"resourceType":"'])
def test_a_record_that_says_another_version_time_sender_or_type(resealing, was):
    bundle = fullest(resealing)
    body = resealing.parts[bundle].records[0].body
    assert was in body
    resealing.change(bundle, 0, body=body.replace(was, was[:-1] + bytes([was[-1] ^ 1]), 1))
    assert codes(resealing.audit()) == ["record-mismatch"]


@pytest.mark.parametrize("column", ["row", "type", "version"])
def test_an_index_row_of_another_record(resealing, column):
    bundle = fullest(resealing)
    row = parse_index_row(resealing.parts[bundle].records[0].index_row)
    resealing.change(bundle, 0, index_row=index_row(row._replace(**{column: getattr(row, column) + 1})))
    findings = resealing.audit()
    assert "record-mismatch" in codes(findings)


@pytest.mark.parametrize("what", ["id", "version", "type"])
def test_a_record_that_is_throughout_another_than_its_index_row(resealing, what):
    """Bytes and leaf agree, index row and database agree, and the two are not of one record."""
    bundle = fullest(resealing)
    record = resealing.parts[bundle].records[0]
    other = resealing.services.ids.encode((999_999,))[0]
    changes = {
        "id": {"id": bytes.fromhex(other), "body": record.body.replace(record.id.hex().encode(), other.encode())},
        "version": {"version": 2, "body": record.body.replace(b'"versionId":"1"', b'"versionId":"2"')},
        "type": {"class_name": "Condition", "body": record.body.replace(b'"Observation"', b'"Condition"', 1)},
    }
    resealing.change(bundle, 0, **changes[what])
    findings = [finding for finding in resealing.audit() if finding.code == "record-mismatch"]
    assert len(findings) == 1
    assert findings[0].subject.startswith("Condition" if what == "type" else "Observation")


@pytest.mark.parametrize("row", [b"", b"\x00", b"\x80", b"no index row", b"\x8c" + b"\xf6" * 12])
def test_an_index_row_that_is_none(resealing, row):
    resealing.change(fullest(resealing), 0, index_row=row)
    assert "record-mismatch" in codes(resealing.audit())


@pytest.mark.parametrize(
    ("column", "change"),
    [
        ("deleted", lambda _: 1),
        ("issuer", lambda issuer: issuer + 1),
        ("start", lambda start: start + 1),
        ("end", lambda _: None),
        ("content", lambda _: bytes(8)),
        ("codes", lambda codes: (*codes, 1 << 62)),
        ("codes", lambda codes: codes[1:]),
        ("identifiers", lambda identifiers: (*identifiers, b"x" * 16)),
    ],
)
def test_an_index_row_that_says_another_thing_than_the_database(resealing, column, change):
    bundle = fullest(resealing)
    row = parse_index_row(resealing.parts[bundle].records[0].index_row)
    changes = {column: change(getattr(row, column))}
    resealing.change(bundle, 0, index_row=index_row(row._replace(**changes)))
    findings = resealing.audit()
    assert [(finding.code, column in finding.detail) for finding in findings if finding.subject.startswith("Observation")] == [
        ("index-row-altered", True)
    ]


def test_a_bundle_under_another_number(resealing):
    resealing.parts[0].number += 1
    assert codes(resealing.audit()) == ["bundle-invalid"]


def test_a_bundle_under_another_id(resealing):
    resealing.parts[0].bundle_id = os.urandom(16)
    assert codes(resealing.audit()) == ["bundle-invalid"]


def test_a_bundle_of_another_chain(resealing):
    resealing.parts[0].chain_id = bytes(32)
    assert codes(resealing.audit()) == ["bundle-invalid"]


def test_a_bundle_sealed_to_another_archive(resealing):
    first, second = resealing.parts[:2]
    first.recipient = second.recipient
    assert {"bundle-invalid", "index-row-altered"} == set(codes(resealing.audit()))


def test_a_bundle_sealed_to_nobodys_key(resealing):
    keys = resealing.services.keyring.new_archive(os.urandom)
    resealing.parts[0].recipient = keys.public_key
    assert codes(resealing.audit()) == ["bundle-unopened"]


@pytest.mark.parametrize("what", ["leaves", "bundles"])
def test_an_anchor_with_other_counts(resealing, what):
    resealing.anchor = {what: 99}
    assert codes(resealing.audit()) == ["leaf-mismatch"]


@pytest.mark.parametrize(
    "changes", [{"signed_by": "issuer"}, {"received_at": 1}, {"root": "00" * 32}, {"root": "no hex"}, {"count": 99}, {"signature": "a.b.c"}]
)
def test_a_statement_that_its_signature_does_not_bear_out(resealing, changes):
    state(resealing, stated(resealing, **changes))
    findings = resealing.audit()
    assert codes(findings) == ["statement-invalid"]
    assert len(findings) >= len(resealing.parts)


def test_a_statement_by_who_is_not_on_the_ledger(resealing):
    state(resealing, stated(resealing, issuer="another-00000000"))
    assert set(codes(resealing.audit())) == {"statement-invalid", "index-row-missing"}


def signed(resealing, seed, **changes):
    """The statement, changed, with a signature over that."""
    given = stated(resealing, **changes)
    root = bytes.fromhex(given.root)
    signature = submission.sign(seed, client_id=given.issuer, iat=given.received_at, count=given.count, root=root)
    return stated(resealing, signature=signature, **changes)


@pytest.fixture
def attestation_seed(resealing):
    """The key with which the gateway signs for the hospital."""
    issuer = stated(resealing).issuer
    party = resealing.services.parties.by_client_id(issuer)
    return resealing.services.keyring.open(attestation_context(issuer), party.attestation_sealed)


def test_a_statement_signed_again_by_the_right_key_is_as_good(resealing, attestation_seed):
    state(resealing, signed(resealing, attestation_seed))
    assert resealing.audit() == ()


@pytest.mark.parametrize("changes", [{"count": 12}, {"count": 14}, {"root": "00" * 32}])
def test_a_statement_of_another_submission_signed_by_the_right_key(resealing, attestation_seed, changes):
    state(resealing, signed(resealing, attestation_seed, **changes))
    assert codes(resealing.audit()) == ["statement-invalid"]


def test_a_statement_signed_by_another_key(resealing):
    state(resealing, signed(resealing, os.urandom(32)))
    assert codes(resealing.audit()) == ["statement-invalid"]


@pytest.mark.parametrize("statement", [b"{}", b"not a statement", b'{"count":1}'])
def test_a_statement_that_is_none(resealing, statement):
    state(resealing, statement)
    assert codes(resealing.audit()) == ["statement-invalid"]


def test_a_statement_from_before_its_issuer_was_registered(resealing):
    resealing.index = 0
    assert codes(resealing.audit()) == ["statement-invalid"]


def test_an_entry_that_was_not_submitted(resealing):
    bundle = fullest(resealing)
    entry = resealing.parts[bundle].records[0].entry
    resealing.change(bundle, 0, entry=type(entry)(entry.index, entry.salt, entry.raw + b" "))
    findings = resealing.audit()
    assert [(finding.code, finding.subject[-8:]) for finding in findings] == [("statement-invalid", f"bundle {bundle}")]
