"""A patient's consents against a running gateway: by command, over HTTP, and on the ledger."""

import json
import subprocess
from importlib import resources

import pytest
from consent_case import changed, optin
from gateway_process import served

from chain.ledger import Ledger
from gateway.bootstrap import read_genesis
from gateway.settings import load_settings

DEMO = resources.files("gateway").joinpath("assets/demo-bundle.json").read_bytes()
ANNA = "https://ids.example.org/person|DEMO-4471"
JSON = {"Content-Type": "application/fhir+json"}
UNKNOWN = "0" * 32


@pytest.fixture(scope="module")
def gateway(tmp_path_factory):
    """A hospital, an insurer, and two patients: Anna with an archive, Bert with another."""
    folder = tmp_path_factory.mktemp("consents")
    with served(folder) as running:
        running.hospital = running.party()
        running.insurer = running.party("agency", "Insurer", "--purpose", "HPAYMT")
        running.to = json.loads(running.insurer.read_text())["client_id"]
        for name, bundle in (("anna", DEMO), ("bert", DEMO.replace(b"5b1f0c9e", b"00000001").replace(b"DEMO-4471", b"BERT-2"))):
            (folder / f"{name}-bundle.json").write_bytes(bundle)
            running.json("push", "--as", running.hospital, folder / f"{name}-bundle.json")
            identifier = ANNA if name == "anna" else ANNA.replace("DEMO-4471", "BERT-2")
            running.cli("patient", "enrol", "--identifier", identifier, "--url", running.url, "--out", folder / f"{name}.json")
        running.anna, running.bert = folder / "anna.json", folder / "bert.json"
        yield running


def granting(gateway, who=None, **changes):
    given = {"to": gateway.to, "types": "Observation,Condition", "purpose": "HPAYMT", "until": "2030-01-01"} | changes
    return ["consent", "grant", "--as", who or gateway.anna, *(word for name, value in given.items() for word in (f"--{name}", value))]


def listed(gateway, who=None):
    return {one["id"]: one for one in gateway.json("consent", "list", "--as", who or gateway.anna)["consents"]}


def refusal(gateway, *command, code=1):
    """What stderr says of a command that must fail."""

    done = subprocess.run(gateway._command(*command), capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stderr
    assert done.stdout == ""
    return done.stderr


def test_granted_listed_revoked_and_all_of_it_on_the_ledger(gateway):
    id_ = gateway.json(*granting(gateway))["id"]
    assert gateway.json(*granting(gateway))["id"] == id_, "the same grant once more"
    named = {"id": id_, "to": gateway.to, "types": ["Observation", "Condition"], "purposes": ["HPAYMT"], "until": "2030-01-01"}
    expected = named | {"exceptions": 0}
    assert listed(gateway)[id_] == expected | {"status": "active"}
    assert id_ not in listed(gateway, gateway.bert)
    assert listed(gateway, gateway.insurer)[id_] == expected | {"status": "active"}, "whom it names sees it"
    assert gateway.json("consent", "revoke", "--as", gateway.anna, id_) == {"id": id_, "status": "inactive"}
    gateway.cli("consent", "revoke", "--as", gateway.anna, f"Consent/{id_}")
    assert listed(gateway)[id_] == expected | {"status": "inactive"}
    assert gateway.wait_final()["rejected"] == []
    settings = load_settings(gateway.home, {})
    ledger = Ledger.open(settings.effective_ledger_url, read_genesis(settings))
    assert ledger.last_sequence("gateway") == 2
    ledger.close()


def test_but_for_exceptions_and_as_a_file_of_ones_own(gateway, tmp_path):
    narrowed = {"except-codes": "http://loinc.org|4548-4,http://loinc.org|75622-1", "data-from": "2020-01-01", "data-until": "2026-12-31"}
    id_ = gateway.json(*granting(gateway, **narrowed))["id"]
    assert listed(gateway)[id_]["exceptions"] == 3
    assert listed(gateway, gateway.insurer)[id_]["exceptions"] == 0, "who is refused does not learn what"
    gateway.cli("consent", "revoke", "--as", gateway.anna, id_)
    own = changed(optin(gateway.to), ("provision", "provision"), [{"type": "deny", "dataPeriod": {"end": "2000"}}])
    file = tmp_path / "own.json"
    file.write_text(json.dumps(own))
    command = ("consent", "grant", "--as", gateway.anna, "--file", file)
    id_ = gateway.json(*command)["id"]
    assert listed(gateway)[id_]["exceptions"] == 1
    gateway.cli("consent", "revoke", "--as", gateway.anna, id_)
    assert "give it alone" in refusal(gateway, *command, "--to", gateway.to, code=2)
    assert "--until must be given" in refusal(gateway, *granting(gateway)[:-2], code=2)
    assert "with their system" in refusal(gateway, *granting(gateway, **{"except-codes": "4548-4"}), code=2)
    file.write_text(json.dumps(changed(own, ("provision", "provision", 0, "type"), "permit")))
    assert "Consent.provision.provision[0].type: must be deny" in refusal(gateway, *command)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"to": "nobody-12345678"}, "--to nobody-12345678: no active party has this client id"),
        ({"types": "Observation,Foo"}, "--types Foo is not a resource type of FHIR R4"),
        ({"purpose": "HPAYMT,BTG"}, "--purpose BTG is not a purpose that can be permitted ahead"),
        ({"until": "2020-01-01"}, "--until 2020-01-01 is past"),
    ],
)
def test_what_cannot_be_granted_is_said_in_the_words_of_the_command(gateway, change, words):
    before = listed(gateway)
    assert refusal(gateway, *granting(gateway, **change)) == f"fhir-anchor: {words}\n"
    assert listed(gateway) == before


@pytest.mark.parametrize("until", ["tomorrow", "2030", "2030-02-30", "2030-01-01T10:00:00"])
def test_a_date_that_is_none_is_not_sent(gateway, until):
    assert "is no date such as 2030-01-01" in refusal(gateway, *granting(gateway, until=until), code=2)


def test_the_patient_sees_every_access(gateway):
    consent = gateway.json(*granting(gateway, types="Observation", until="2030-05-05"))["id"]
    patient = gateway.json("push", "--as", gateway.hospital, gateway.folder / "anna-bundle.json")["receipts"]
    patient = next(one["record"] for one in patient if one["record"].startswith("Patient/"))
    fetched = gateway.json("fetch", "--as", gateway.insurer, "--purpose", "HPAYMT", f"Observation?patient={patient}")
    [seen, *before] = gateway.json("consent", "accesses", "--as", gateway.anna)["accesses"]
    assert (seen["sequence"], seen["client_id"], seen["name"]) == (fetched["accesses"][-1], gateway.to, "Insurer")
    assert (seen["consent"], seen["purpose"], len(seen["records"])) == (consent, "HPAYMT", fetched["resources"])
    assert all(record.startswith("Observation/") for record in seen["records"])
    assert before == []
    assert f"{fetched['resources']} Observation" in gateway.cli("consent", "accesses", "--as", gateway.anna, "--since", seen["at"][:10])
    assert gateway.json("consent", "accesses", "--as", gateway.anna, "--since", "2099-01-01") == {"accesses": []}
    assert gateway.json("consent", "accesses", "--as", gateway.bert) == {"accesses": []}
    assert "--since 'soon' is no date" in refusal(gateway, "consent", "accesses", "--as", gateway.anna, "--since", "soon", code=2)
    gateway.cli("consent", "revoke", "--as", gateway.anna, consent)


def test_only_patients_grant(gateway):
    assert "invalid_scope" in refusal(gateway, *granting(gateway, who=gateway.hospital), code=2)
    hospital = gateway.connect(gateway.hospital)
    assert hospital.ask("POST", f"/fhir/Consent/{UNKNOWN}/$revoke").status == 403
    assert "entry" not in json.loads(hospital.ask("GET", "/fhir/Consent").body), "nothing was granted to it"
    hospital.close()
    assert "no such consent" in refusal(gateway, "consent", "revoke", "--as", gateway.anna, UNKNOWN)
    assert "is no id" in refusal(gateway, "consent", "revoke", "--as", gateway.anna, "a/b", code=2)


def test_a_consent_of_a_hospital_is_a_record_and_permits_nothing(gateway):
    hospital = gateway.connect(gateway.hospital)
    created = hospital.ask("POST", "/fhir/Consent", json.dumps(optin(gateway.to)).encode(), JSON)
    assert created.status == 201
    assert 'rel="receipt"' in created.headers["Link"]
    read = hospital.ask("GET", "/fhir/" + created.headers["Location"].partition("/fhir/")[2])
    assert (read.status, json.loads(read.body)["status"]) == (200, "active")
    hospital.close()
    assert not any(one["status"] == "active" for one in listed(gateway).values())


def test_a_party_is_registered_for_purposes_that_exist(gateway):
    command = ("party", "register", "agency", "Study", "--purpose", "HRESEARCH", "--out", gateway.folder / "study.json")
    assert "--purpose 'HRESEARCH' is no v3 ActReason code" in refusal(gateway, *command, code=2)
    assert not (gateway.folder / "study.json").exists()


def test_over_http(gateway):
    anna, bert = gateway.connect(gateway.anna), gateway.connect(gateway.bert)
    body = json.dumps(optin(gateway.to, types=("Encounter",))).encode()
    made = anna.ask("POST", "/fhir/Consent", body, JSON | {"Prefer": "return=representation"})
    told = json.loads(made.body)
    path = f"/fhir/Consent/{told['id']}"
    assert (made.status, made.headers["ETag"], told["status"]) == (201, 'W/"1"', "active")
    assert made.headers["Location"].endswith(f"{path}/_history/1")
    again = anna.ask("POST", "/fhir/Consent", body, JSON)
    assert (again.status, again.headers["Idempotent-Replay"], again.headers["Location"]) == (200, "true", made.headers["Location"])
    assert json.loads(anna.ask("GET", path).body) == told
    foreign, unknown = bert.ask("GET", path), bert.ask("GET", f"/fhir/Consent/{UNKNOWN}")
    assert (foreign.status, foreign.body) == (unknown.status, unknown.body)
    assert foreign.status == 403
    refused, missing = (bert.ask("POST", f"/fhir/Consent/{id_}/$revoke") for id_ in (told["id"], UNKNOWN))
    assert (refused.status, refused.body) == (403, missing.body)
    revoked = anna.ask("POST", f"{path}/$revoke")
    assert (revoked.status, revoked.headers["ETag"], json.loads(revoked.body)["status"]) == (200, 'W/"2"', "inactive")
    assert json.loads(anna.ask("GET", f"{path}/_history/1").body) == told
    bundle = json.loads(anna.ask("GET", "/fhir/Consent").body)
    assert told["id"] in [entry["resource"]["id"] for entry in bundle["entry"]]
    anna.close()
    bert.close()


def test_what_is_not_understood_is_422_and_named(gateway):
    anna = gateway.connect(gateway.anna)
    body = changed(optin(gateway.to), ("provision", "securityLabel"), [{"system": "urn:x", "code": "R"}])
    answer = anna.ask("POST", "/fhir/Consent", json.dumps(body).encode(), JSON)
    assert answer.status == 422
    [issue] = json.loads(answer.body)["issue"]
    assert (issue["code"], issue["expression"]) == ("not-supported", ["Consent.provision.securityLabel"])
    assert anna.ask("POST", "/fhir/Consent", b"{", JSON).status == 400
    assert anna.ask("POST", "/fhir/Consent", b"{}", {"Content-Type": "text/plain"}).status == 415
    conditional = anna.ask("POST", "/fhir/Consent", json.dumps(optin(gateway.to)).encode(), JSON | {"If-None-Exist": "identifier=x|1"})
    assert conditional.status == 501
    assert anna.ask("POST", "/fhir/Observation", b"{}", JSON).status == 403
    for method in ("PUT", "DELETE"):
        assert anna.ask(method, f"/fhir/Consent/{UNKNOWN}", b"{}", JSON).status == 403
    anna.close()
