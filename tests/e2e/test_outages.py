"""Bucket, database and ledger go away under a running gateway and come back: 503 with Retry-After meanwhile, nothing half-written, no restart."""

import json
import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager

import pytest
import requests
from consent_case import optin
from gateway_process import served

PATIENT = {"resourceType": "Patient", "gender": "female", "birthDate": "1968-03-09"}
PARTS = {"ready", "database", "bucket", "ledger", "chain", "jobs"}


class World:
    """A hospital with a patient and an observation; the patient, who granted it to an insurer."""

    def __init__(self, gateway):
        self.gateway, self.home = gateway, gateway.home
        self.session = requests.Session()
        insurer = gateway.party("agency", "Insurer", "--purpose", "HPAYMT")
        self.insurer_id = json.loads(insurer.read_text())["client_id"]
        hospital = gateway.party()
        self.tokens = {"hospital": token_of(gateway, hospital), "insurer": token_of(gateway, insurer)}
        identifier = [{"system": "https://ids.example.org/person", "value": "A-1"}]
        self.patient = self.created("Patient", PATIENT | {"id": "a", "identifier": identifier})
        anna = gateway.folder / "anna.json"
        gateway.cli("patient", "enrol", "--identifier", "https://ids.example.org/person|A-1", "--url", gateway.url, "--out", anna)
        self.tokens["anna"] = token_of(gateway, anna)
        self.observation = self.created("Observation", observation(self.patient, 0))
        assert self.ask("anna", "POST", "/fhir/Consent", optin(self.insurer_id, types=("Observation",))).status_code == 201
        self.written = 1  # observations

    def ask(self, who, method, path, body=None):
        headers = {"Authorization": f"Bearer {self.tokens[who]}", "Content-Type": "application/fhir+json"}
        return self.session.request(method, self.gateway.url + path, data=body and json.dumps(body), headers=headers, timeout=60)

    def created(self, kind, body):
        answer = self.ask("hospital", "POST", f"/fhir/{kind}", body)
        assert answer.status_code == 201, answer.text
        return answer.headers["Location"].partition("/fhir/")[2].partition("/_history")[0]

    def health(self):
        assert self.session.get(self.gateway.url + "/livez", timeout=5).status_code == 200
        answer = self.session.get(self.gateway.url + "/readyz", timeout=30)
        told = answer.json()
        assert {name for name in told if name != "reasons"} == PARTS
        assert answer.status_code == (200 if told["ready"] else 503)
        return told

    def wait_missing(self, *parts, answers=6):
        """Several workers answer, so one answer is not enough."""
        deadline, in_a_row = time.monotonic() + 40, 0
        while in_a_row < answers:
            told = self.health()
            assert time.monotonic() < deadline, told
            in_a_row = in_a_row + 1 if set(told.get("reasons", {})) == set(parts) else 0
            time.sleep(0.05)

    def observations(self):
        return self.ask("hospital", "GET", f"/fhir/Observation?patient={self.patient}&_count=100")

    def assert_whole(self):
        """Ready again, nothing doubled, nothing lost."""
        self.wait_missing()
        found = [entry["fullUrl"] for entry in self.observations().json()["entry"]]
        assert len(found) == len(set(found)) == self.written


def observation(patient, number):
    code = {"coding": [{"system": "http://loinc.org", "code": "8867-4"}]}
    subject = {"reference": patient}
    return {"resourceType": "Observation", "id": f"o-{number}", "status": "final", "code": code, "subject": subject, "valueInteger": number}


def token_of(gateway, credentials):
    with closing(gateway.connect(credentials)) as connection:
        return connection.access_token()


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    with served(tmp_path_factory.mktemp("outages")) as gateway:
        yield World(gateway)


def assert_refused(answer, status=503):
    assert answer.status_code == status, (answer.status_code, answer.text)
    assert int(answer.headers["Retry-After"]) >= 1
    issue = answer.json()["issue"]
    assert [(one["code"], bool(one["diagnostics"])) for one in issue] == [("transient", True)]


def assert_accepted(answer, *statuses):
    assert answer.status_code in statuses, (answer.status_code, answer.text)


@contextmanager
def renamed(path, stand_in=None):
    away = path.with_name(path.name + ".away")
    path.rename(away)
    if stand_in is not None:
        path.write_bytes(stand_in)
    try:
        yield
    finally:
        assert path.exists() == (stand_in is not None), "nobody made one anew"
        path.unlink(missing_ok=True)
        away.rename(path)


@contextmanager
def locked(path):
    """Another program holds the write lock."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("BEGIN EXCLUSIVE")
        yield
        connection.execute("ROLLBACK")


@pytest.mark.parametrize("stand_in", [None, b"a file where the folder was"])
def test_a_bucket_that_is_gone(world, stand_in):
    body = observation(world.patient, world.written)
    with renamed(world.home / "bucket", stand_in):
        assert_refused(world.ask("hospital", "POST", "/fhir/Observation", body))
        assert_refused(world.ask("hospital", "PUT", "/fhir/Observation/o-0", observation(world.patient, 0) | {"valueInteger": 77}))
        assert_refused(world.ask("hospital", "GET", f"/fhir/{world.observation}"))
        assert_refused(world.ask("insurer", "GET", f"/fhir/{world.observation}"))
        assert_refused(world.observations())
        assert_accepted(world.ask("anna", "POST", "/fhir/Consent", optin(world.insurer_id, types=("Condition",))), 200, 201)
        world.wait_missing("bucket")
    assert_accepted(world.ask("hospital", "POST", "/fhir/Observation", body), 201)
    world.written += 1
    assert_accepted(world.ask("hospital", "GET", f"/fhir/{world.observation}"), 200)
    assert_accepted(world.ask("insurer", "GET", f"/fhir/{world.observation}"), 200)
    world.assert_whole()


def test_a_database_that_another_program_holds(world):
    """What only reads goes on; what writes, a consented read too, waits for the lock and is then told to come again."""
    body = observation(world.patient, world.written)
    with locked(world.home / "gateway.db"):
        answers = at_once(
            lambda: world.ask("hospital", "POST", "/fhir/Observation", body),
            lambda: world.ask("anna", "POST", "/fhir/Consent", optin(world.insurer_id, types=("Procedure",))),
            lambda: world.ask("insurer", "GET", f"/fhir/{world.observation}"),
            lambda: world.wait_missing("database", answers=1),
        )
        for answer in answers[:3]:
            assert_refused(answer)
        assert_accepted(world.ask("hospital", "GET", f"/fhir/{world.observation}"), 200)
        assert_accepted(world.observations(), 200)
    assert_accepted(world.ask("hospital", "POST", "/fhir/Observation", body), 201)
    world.written += 1
    assert_accepted(world.ask("anna", "POST", "/fhir/Consent", optin(world.insurer_id, types=("Procedure",))), 201)
    assert_accepted(world.ask("insurer", "GET", f"/fhir/{world.observation}"), 200)
    world.assert_whole()


def test_a_database_that_was_moved_away(world):
    """Its open handles still work; they are not used, so that nothing is written to a file that is not where the database is."""
    body = observation(world.patient, world.written)
    with renamed(world.home / "gateway.db"):
        assert_refused(world.ask("hospital", "POST", "/fhir/Observation", body))
        assert_refused(world.ask("hospital", "GET", f"/fhir/{world.observation}"))
        assert_refused(world.observations())
        assert_refused(world.ask("anna", "GET", "/fhir/Consent"))
        world.wait_missing("database")
    assert_accepted(world.ask("hospital", "POST", "/fhir/Observation", body), 201)
    world.written += 1
    assert_accepted(world.ask("hospital", "GET", f"/fhir/{world.observation}"), 200)
    world.assert_whole()


def test_a_ledger_that_another_program_holds(world):
    """Intake does not wait for it; what was taken meanwhile becomes final afterwards."""
    with locked(world.home / "ledger.db"):
        taken = world.created("Observation", observation(world.patient, world.written))
        world.written += 1
        assert_accepted(world.ask("hospital", "GET", f"/fhir/{taken}"), 200)
        assert_accepted(world.ask("insurer", "GET", f"/fhir/{taken}"), 200)
        assert_accepted(world.ask("hospital", "GET", f"/ledger/receipts/{taken}"), 202)
        assert_accepted(world.ask("anna", "POST", "/fhir/Consent", optin(world.insurer_id, types=("Encounter",))), 201)
        assert "ledger" not in world.health().get("reasons", {}), "it can be read"
    world.assert_whole()
    world.gateway.wait_final()
    assert_accepted(world.ask("hospital", "GET", f"/ledger/receipts/{taken}"), 200)


def test_a_ledger_that_was_moved_away(world):
    """Open handles go on reading it; nobody makes an empty one in its place."""
    with renamed(world.home / "ledger.db"):
        taken = world.created("Observation", observation(world.patient, world.written))
        world.written += 1
        assert_accepted(world.ask("anna", "POST", "/fhir/Consent", optin(world.insurer_id, types=("Device",))), 201)
        for answer in at_once(*[lambda: world.ask("hospital", "GET", f"/ledger/receipts/{taken}")] * 8):
            if answer.status_code != 202:
                assert_refused(answer)
    world.assert_whole()
    world.gateway.wait_final()
    assert_accepted(world.ask("hospital", "GET", f"/ledger/receipts/{taken}"), 200)


def test_after_all_of_it_the_audit_is_clean(world):
    """Not even an orphan: no outage here came between the object and its rows."""
    world.gateway.wait_final()
    report = world.gateway.json("audit", "run")
    assert (report["findings"], report["could_not_check"], report["pending"]) == ([], [], [])


def at_once(*calls):
    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(lambda call: call(), calls))
