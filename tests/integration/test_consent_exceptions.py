"""What a consent makes an exception of does not leave, is looked for in vain, and is held against what was read by the audit."""

import json

import pytest
from audit_case import observation
from conduct_case import ConductHome, audit_conduct, disclose
from consent_case import changed, optin
from intake_case import delete, put

from fhir_adapters import InvalidInput
from gateway import disclosure, granting, stored_consents
from gateway.client.consent import exceptions_of
from gateway.errors import Forbidden, NotFound
from gateway.index import consents
from gateway.index.schema import consent_grant
from gateway.search.page import find_page
from gateway.search.parse import parse_everything, parse_search

pytestmark = pytest.mark.both_databases(slow=True)
LOINC = "http://loinc.org"
PATIENTS_OWN = "https://source.example.org/Patient/p0"


@pytest.fixture
def home(tmp_path):
    made = ConductHome.make(tmp_path)
    yield made
    made.made.close()


def grant(home, exceptions, who=None):
    consent = changed(optin(home.insurer.client_id, types=("Observation", "Patient")), ("provision", "provision"), exceptions)
    return granting.grant(home.made.services, who or home.anna, json.dumps(consent).encode()).id


def code(number):
    return {"type": "deny", "code": [{"coding": [{"system": LOINC, "code": f"4548-{number}"}]}]}


def may_read(home, *names):
    return [_may_read(home, name) for name in names]


def _may_read(home, name):
    try:
        return bool(home.read(name, "Patient" if name[0] == "p" else "Observation"))
    except Forbidden:
        return False


def sequence_of(home, consent):
    with home.made.services.index.reading() as connection:
        [row] = consents.by_rows(connection, [home.made.services.ids.decode(consent)])
        return row.grant.sequence


@pytest.mark.parametrize(
    ("exceptions", "expected"),
    [
        ([code(1)], [False, True, True]),
        ([code(1), code(2)], [False, False, True]),
        ([code(1) | {"class": [{"system": "http://hl7.org/fhir/resource-types", "code": "Patient"}]}], [True, True, True]),
        ([{"type": "deny", "class": [{"system": "http://hl7.org/fhir/resource-types", "code": "Observation"}]}], [False, False, True]),
        (exceptions_of([], "2021-03-04", "2021-03-05"), [True, True, False]),
        (exceptions_of([], "2021-03-05", None), [False, False, False]),
        (exceptions_of([(LOINC, "4548-2")], None, "2021-03-04"), [False, False, True]),  # a Patient is of the day of birth
        ([{"type": "deny", "period": {"start": "2020"}, "provision": [code(2) | {"type": "permit"}]}], [False, True, False]),
        ([{"type": "deny", "period": {"end": "2020"}}], [True, True, True]),
        ([{"type": "deny", "securityLabel": [{"system": "urn:labels", "code": "R"}]}], [True, True, True]),
    ],
)
def test_read_but_for_exceptions(home, exceptions, expected):
    grant(home, exceptions)
    assert may_read(home, "o1", "o2", "p0") == expected
    everything = parse_everything(f"Patient/{home.records['p0']}", ("Observation", "Patient"), [], strict=True)
    page = find_page(home.made.services, home.insurer, "HPAYMT", everything) if any(expected) else None
    shown = {record.id for record in page.records} if page else set()
    assert [home.records[name] in shown for name in ("o1", "o2", "p0")] == expected
    home.close_batch()
    home.block()
    report = audit_conduct(home.made.home)
    assert (report.findings, report.could_not_check) == ((), ())


def test_a_named_record_and_a_label(home):
    services, named = home.made.services, f"Observation/{home.records['o1']}"
    labelled = observation(2, 1.5, PATIENTS_OWN) | {"meta": {"security": [{"system": "urn:labels", "code": "R"}]}}
    by_name = {"type": "deny", "data": [{"meaning": "instance", "reference": {"reference": named}}]}
    grant(home, [by_name, {"type": "deny", "securityLabel": [{"system": "urn:labels", "code": "R"}]}])
    assert may_read(home, "o1", "o2") == [False, True]
    put(services, home.hospital, f"Observation/{home.records['o2']}", labelled | {"id": home.records["o2"]})
    assert may_read(home, "o1", "o2") == [False, False]
    with pytest.raises(Forbidden):  # whose present version it may not have
        home.history("o2")
    with pytest.raises(InvalidInput):
        grant(home, [by_name | {"data": [{"meaning": "instance", "reference": {"reference": f"Observation/{'0' * 32}"}}]}])


def test_the_refused_learn_nothing_of_it(home):
    """Not by a version that is none, not by what they have already, not by a page that ends early."""
    grant(home, [code(1)])
    services, id_ = home.made.services, home.records["o1"]
    for ask in (
        lambda: disclosure.locate(services, home.insurer, "Observation", id_, 1, purpose="HPAYMT"),  # for a 304
        lambda: disclosure.locate(services, home.insurer, "Observation", id_, 9, purpose="HPAYMT"),
        lambda: home.history("o1"),
    ):
        with pytest.raises(Forbidden) as refused:
            ask()
        assert str(refused.value) == disclosure.REFUSAL
    with pytest.raises(NotFound):
        disclosure.locate(services, home.insurer, "Observation", home.records["o2"], 9, purpose="HPAYMT")
    page = find_page(services, home.insurer, "HPAYMT", parse_search("Observation", [("_count", "1")], strict=True))
    assert [record.id for record in page.records] == [home.records["o2"]]
    assert page.next_after is None
    delete(services, home.hospital, f"Observation/{id_}")
    with pytest.raises(Forbidden):  # a deletion has no content that could be looked at
        home.read("o1")


def test_exceptions_take_away_from_their_own_consent_alone_and_go_with_it(home):
    narrow = grant(home, [code(1)])
    assert may_read(home, "o1", "o2") == [False, True]
    wide = home.grant(home.anna)
    assert may_read(home, "o1", "o2") == [True, True]
    home.revoke(home.anna, wide)
    assert may_read(home, "o1", "o2") == [False, True]
    home.revoke(home.anna, narrow)
    assert may_read(home, "o1", "o2") == [False, False]
    home.close_batch()
    home.block()
    assert audit_conduct(home.made.home).findings == ()


def test_the_reader_of_what_is_about_two_needs_both_and_own_and_issued_stay(home):
    grant(home, [code(0)])
    home.grant(home.bert)
    assert may_read(home, "o9", "o3") == [False, True]
    for reader in (home.anna, home.hospital):
        disclosure.read(home.made.services, reader, "Observation", home.records["o1"])


def test_the_audit_names_what_was_read_in_spite_of_an_exception(home):
    consent = grant(home, [code(1)])
    lawful, unlawful = (disclose(home, name, sequence_of(home, consent)) for name in ("o2", "o1"))
    home.close_batch()
    home.block()
    [finding] = audit_conduct(home.made.home).findings
    assert (finding.code, finding.subject) == ("permit-missing", f"access {unlawful}")
    assert finding.detail.endswith("an exception of the grant withholds it")
    assert lawful != unlawful


@pytest.mark.parametrize("value", [None, b"\0"])
def test_exceptions_that_were_taken_away_or_altered_are_named(home, value):
    consent = grant(home, [code(1)])
    home.block()
    with home.made.services.index.atomic() as connection:
        connection.execute(consent_grant.update().values(exceptions_sealed=value))
    if value is not None:
        assert may_read(home, "o1", "o2") == [False, False], "what cannot be read withholds all"
    found = {(finding.code, finding.subject) for finding in audit_conduct(home.made.home).findings}
    assert found == {("consent-altered", f"Consent/{consent}")}


def test_no_code_stands_in_the_database_in_clear(home):
    grant(home, [code(1)])
    with home.made.services.index.reading() as connection:
        [[stored]] = connection.exec_driver_sql("SELECT exceptions_sealed FROM consent_grant")
    assert b"4548" not in stored


def test_what_was_moved_meanwhile_is_seen_at_the_last_moment(home):
    """Opened under a grant without exceptions, released under one that has some."""
    services, id_ = home.made.services, home.records["o1"]
    wide = home.grant(home.anna)
    at = disclosure.locate(services, home.insurer, "Observation", id_, purpose="HPAYMT")
    record = disclosure.Disclosed(at, id_, disclosure.committed(services, at).body)
    grant(home, [code(1)])
    home.revoke(home.anna, wide)
    with pytest.raises(Forbidden):
        disclosure.release_page(services, home.insurer, "HPAYMT", [record])


def test_the_grantee_does_not_see_what_is_withheld_from_it(home):
    id_ = grant(home, [code(1)])
    plain = home.grant(home.anna)
    services, search = home.made.services, parse_search("Consent", [], strict=True)
    told = {who.client_id: stored_consents.read(services, who, id_).body for who in (home.anna, home.insurer)}
    assert b"4548-1" in told[home.anna.client_id]
    assert "provision" not in json.loads(told[home.insurer.client_id])["provision"]
    found = [json.loads(one.body) for one in stored_consents.find(services, home.insurer, search, 0)[0]]
    assert [one["id"] for one in found] == [id_, plain]
    assert [sorted(one["provision"]) for one in found] == [sorted(found[1]["provision"])] * 2, "nor that anything is"
