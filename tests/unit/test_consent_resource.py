"""Reading a Consent: what it permits, and that nothing in it is overlooked."""

import json

import pytest
from consent_case import changed, optin, optout

from fhir_adapters import InvalidInput
from gateway.consent.coded import ACTION_SYSTEM, TYPE_SYSTEM
from gateway.consent.provision import Provision
from gateway.consent.purpose import SYSTEM as PURPOSES
from gateway.consent.resource import read_consent, write_consent

NOW = 1_800_000_000  # 2027-01-15T08:00:00Z
END_2030_01_01 = 1_893_542_400


def read(consent):
    return read_consent(json.dumps(consent).encode(), NOW)


def faults(consent):
    """Where it is refused, as 422."""
    with pytest.raises(InvalidInput) as refused:
        read(consent)
    assert not refused.value.unreadable
    return {issue.expression for issue in refused.value.issues}


@pytest.mark.parametrize("consent", [optin(types=("Observation", "Condition")), optout(types=("Observation", "Condition"))])
def test_both_root_meanings_say_the_same_terms(consent):
    terms = read(consent).terms
    assert terms.grantee == "insurer-00000001"
    assert (terms.types, terms.purposes, terms.rights) == ({"Observation", "Condition"}, {"HPAYMT"}, {"read"})
    assert (terms.starts_at, terms.ends_at) == (NOW, END_2030_01_01)


def test_the_rest_of_what_can_be_said():
    consent = changed(optin(), ("provision", "period"), {"start": "2027-06-01T00:00:00+02:00", "end": "2028-02"})
    action = {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/consentaction", "code": "correct"}]}
    consent["provision"]["action"].append(action)
    consent["provision"]["type"] = "permit"
    consent |= {"id": "mine", "language": "en", "text": {"status": "generated", "div": '<div xmlns="http://www.w3.org/1999/xhtml">x</div>'}}
    consent |= {"patient": {"reference": "Patient/5"}, "dateTime": "2027-01-01", "meta": {"versionId": "7"}}
    proposed = read(consent)
    assert proposed.patient == "Patient/5"
    assert proposed.terms.rights == {"read", "write"}
    assert (proposed.terms.starts_at, proposed.terms.ends_at) == (1_811_800_800, 1_835_481_600)


ACTOR = ("provision", "actor", 0)


@pytest.mark.parametrize(
    ("path", "value", "where"),
    [
        (("status",), "draft", "Consent.status"),
        (("scope", "coding", 0, "code"), "research", "Consent.scope.coding[0].code"),
        (("policyRule",), ..., "Consent.policyRule"),
        (("policyRule", "coding", 0, "code"), "OPTINR", "Consent.policyRule.coding[0].code"),
        (("provision", "type"), "deny", "Consent.provision.type"),
        (("provision", "provision"), [{"type": "deny"}], "Consent.provision.provision[0]"),
        (("provision", "code"), [{"text": "x"}], "Consent.provision.code"),
        (("provision", "securityLabel"), [{"code": "R"}], "Consent.provision.securityLabel"),
        (("provision", "dataPeriod"), {"start": "2020"}, "Consent.provision.dataPeriod"),
        (("provision", "data"), [{"meaning": "instance", "reference": {"reference": "Observation/1"}}], "Consent.provision.data"),
        (("provision", "extension"), [{"url": "urn:x", "valueBoolean": True}], "Consent.provision.extension"),
        (("modifierExtension",), [{"url": "urn:x", "valueBoolean": True}], "Consent.modifierExtension"),
        (("implicitRules",), "urn:x", "Consent.implicitRules"),
        (("policy",), [{"uri": "urn:x"}], "Consent.policy"),
        (("verification",), [{"verified": True}], "Consent.verification"),
        (("sourceReference",), {"reference": "Consent/1"}, "Consent.sourceReference"),
        (("organization",), [{"reference": "Organization/1"}], "Consent.organization"),
        (("performer",), [{"reference": "Patient/1"}], "Consent.performer"),
        (("meta",), {"security": [{"code": "R"}]}, "Consent.meta.security"),
        (("patient",), {"identifier": {"value": "5"}}, "Consent.patient.reference"),
        (("provision", "period"), ..., "Consent.provision.period"),
        (("provision", "period"), {"start": "2027-01-01"}, "Consent.provision.period.end"),
        (("provision", "period", "end"), "2027-01-14", "Consent.provision.period.end"),
        (("provision", "period", "start"), "2031-01-01", "Consent.provision.period"),
        (("provision", "actor"), ..., "Consent.provision.actor"),
        ((*ACTOR, "reference"), {"reference": "Organization/1"}, "Consent.provision.actor[0].reference.reference"),
        ((*ACTOR, "reference", "identifier", "system"), "urn:other", "Consent.provision.actor[0].reference"),
        ((*ACTOR, "role", "coding", 0, "code"), "CST", "Consent.provision.actor[0].role.coding[0].code"),
        (("provision", "action"), ..., "Consent.provision.action"),
        (("provision", "action", 0, "coding", 0, "code"), "disclose", "Consent.provision.action[0].coding[0].code"),
        (("provision", "purpose"), ..., "Consent.provision.purpose"),
        (("provision", "purpose"), [{"system": PURPOSES, "code": "BTG"}], "Consent.provision.purpose[0].code"),
        (("provision", "purpose"), [{"system": "urn:x", "code": "TREAT"}], "Consent.provision.purpose[0].system"),
        (("provision", "class"), ..., "Consent.provision.class"),
        (("provision", "class"), [{"system": TYPE_SYSTEM, "code": "Observations"}], "Consent.provision.class[0].code"),
        (("provision", "class"), [{"system": TYPE_SYSTEM, "version": "4", "code": "Observation"}], "Consent.provision.class[0].version"),
        (("provision",), ..., "Consent.provision"),
    ],
)
def test_what_is_not_understood_is_refused_by_name(path, value, where):
    found = faults(changed(optin(), path, value))
    assert where in found


@pytest.mark.parametrize(
    ("path", "value", "where"),
    [
        (("provision", "type"), "permit", "Consent.provision.type"),
        (("provision", "period"), {"end": "2030"}, "Consent.provision.period"),
        (("provision", "provision"), ..., "Consent.provision.provision"),
        (("provision", "provision", 0, "type"), "deny", "Consent.provision.provision[0].type"),
        (("provision", "provision", 0, "type"), ..., "Consent.provision.provision[0].type"),
        (("provision", "provision", 0, "provision"), [{"type": "deny"}], "Consent.provision.provision[0].provision[0]"),
    ],
)
def test_a_consent_that_withholds_permits_by_one_nested_provision_only(path, value, where):
    assert where in faults(changed(optout(), path, value))


ACTION = {"coding": [{"system": ACTION_SYSTEM, "code": "use"}]}
DENIED = {
    "type": "deny",
    "class": [{"system": TYPE_SYSTEM, "code": "Observation"}],
    "purpose": [{"system": PURPOSES, "code": "HPAYMT"}],
    "actor": optin()["provision"]["actor"],
    "action": [ACTION],
    "code": [
        {"text": "HIV", "coding": [{"system": "http://loinc.org", "code": "75622-1", "display": "x"}, {"system": "urn:s", "code": "2"}]}
    ],
    "securityLabel": [{"system": "urn:labels", "code": "R"}],
    "data": [{"meaning": "instance", "reference": {"reference": f"Observation/{'0' * 32}"}}],
    "period": {"start": "2027", "end": "2028"},
    "dataPeriod": {"end": "1970-01-01"},
    "provision": [{"type": "permit", "dataPeriod": {"start": "1970-01-01"}}],
}
WITH_DENIAL = [
    changed(optin(), ("provision", "provision"), [DENIED]),
    changed(optout(), ("provision", "provision", 0, "provision"), [DENIED]),
]


@pytest.mark.parametrize("consent", WITH_DENIAL)
def test_nested_provisions_are_exceptions(consent):
    expected = Provision(
        permits=False,
        types=frozenset({"Observation"}),
        purposes=frozenset({"HPAYMT"}),
        actors=frozenset({"insurer-00000001"}),
        rights=frozenset({"read"}),
        codes=frozenset({("http://loinc.org", "75622-1"), ("urn:s", "2")}),
        labels=frozenset({("urn:labels", "R")}),
        records=frozenset({f"Observation/{'0' * 32}"}),
        period=(1_798_761_600, 1_861_919_999),
        data_period=(None, 86_399),
        exceptions=(Provision(permits=True, data_period=(0, None)),),
    )
    assert read(consent).terms.exceptions == (expected,)


def deep(levels):
    return {"type": "deny" if levels % 2 else "permit", "dataPeriod": {"end": "2000"}} | (
        {"provision": [deep(levels - 1)]} if levels > 1 else {}
    )


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"type": "permit"}, ".type"),
        ({"type": ...}, ".type"),
        ({"provision": [{"type": "deny", "dataPeriod": {"end": "2000"}}]}, ".provision[0].type"),
        ({"extension": [{"url": "urn:x", "valueBoolean": True}]}, ".extension"),
        ({"class": [{"system": "urn:profile", "code": "Observation"}]}, ".class[0].system"),
        ({"purpose": [{"system": PURPOSES, "code": "BTG"}]}, ".purpose[0].code"),
        ({"actor": optin(to="another-00000001")["provision"]["actor"]}, ".actor[0].reference"),
        ({"action": [{"coding": [{"system": ACTION_SYSTEM, "code": "disclose"}]}]}, ".action[0].coding[0].code"),
        ({"code": [{"text": "HIV"}]}, ".code[0].coding"),
        ({"code": [{"coding": [{"code": "1"}]}]}, ".code[0].coding[0]"),
        ({"code": [{"coding": [{"system": "urn:s", "code": "1", "version": "2"}]}]}, ".code[0].coding[0].version"),
        ({"securityLabel": [{"code": "R"}]}, ".securityLabel[0]"),
        ({"data": [{"meaning": "related", "reference": {"reference": f"Observation/{'0' * 32}"}}]}, ".data[0].meaning"),
        ({"data": [{"meaning": "instance", "reference": {"reference": "Observation/my-name"}}]}, ".data[0].reference"),
        ({"data": [{"meaning": "instance", "reference": {"reference": f"Observation/{'0' * 32}/_history/1"}}]}, ".data[0].reference"),
        ({"period": {}}, ".period"),
        ({"provision": [deep(4)]}, ".provision[0].provision[0].provision[0].provision[0]"),
    ],
)
def test_what_is_not_understood_of_an_exception_is_refused(change, where):
    denied = {name: value for name, value in (DENIED | change).items() if value is not ...}
    found = faults(changed(optin(), ("provision", "provision"), [denied]))
    assert f"Consent.provision.provision[0]{where}" in found


def test_an_exception_says_what_it_is_about():
    assert faults(changed(optin(), ("provision", "provision"), [{"type": "deny"}])) == {"Consent.provision.provision[0]"}
    many = [{"type": "deny", "dataPeriod": {"end": "2000"}}] * 51
    assert faults(changed(optin(), ("provision", "provision"), many)) == {"Consent.provision.provision[50]"}


def test_two_grantees_or_two_permits_need_a_consent_each():
    twice = changed(optin(), ("provision", "actor"), optin()["provision"]["actor"] * 2)
    assert "Consent.provision.actor" in faults(twice)
    nested = optout()["provision"]["provision"] * 2
    assert faults(changed(optout(), ("provision", "provision"), nested)) == {"Consent.provision.provision[1]"}


def test_all_faults_are_told_at_once():
    consent = changed(changed(optin(), ("status",), "draft"), ("provision", "code"), [{"text": "x"}])
    assert faults(changed(consent, ("provision", "period", "end"), "2000")) == {
        "Consent.status",
        "Consent.provision.code",
        "Consent.provision.period.end",
    }


def test_a_consent_is_written_back_with_its_status_and_version():
    content = read(optin()).content
    told = {"id_": "5" * 32, "version": 2, "last_updated": "2027-01-15T08:00:00.000Z"}
    written = json.loads(write_consent(content, patient="Patient/5", active=False, **told))
    sent = optin()
    assert written == sent | {
        "id": "5" * 32,
        "meta": {"versionId": "2", "lastUpdated": "2027-01-15T08:00:00.000Z"},
        "patient": {"reference": "Patient/5"},
        "status": "inactive",
    }
    kept = read(optin() | {"patient": {"reference": "Patient/6"}}).content
    assert json.loads(write_consent(kept, patient="Patient/5", active=True, **told))["patient"] == {"reference": "Patient/6"}
