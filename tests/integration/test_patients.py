"""Enrolling patients: one archive or none, and then their own records and no others."""

import json
from importlib import resources
from pathlib import Path

import pytest
from gateway_process import served

DEMO = json.loads(resources.files("gateway").joinpath("assets/demo-bundle.json").read_bytes())
SYSTEM = "https://ids.example.org/person"


@pytest.fixture(scope="module")
def hospital(tmp_path_factory):
    """A gateway with two patients of a hospital, one of whom has the same identifier in a second archive."""
    folder = tmp_path_factory.mktemp("patients")
    with served(folder) as gateway:
        gateway.credentials = gateway.party()
        gateway.told = [
            gateway.json("push", "--as", gateway.credentials, bundle_of(folder, number, identifier))
            for number, identifier in enumerate(("ANNA-1", "BERT-2", "TWIN-3", "TWIN-3"))
        ]
        yield gateway


def bundle_of(folder: Path, number: int, identifier: str) -> Path:
    path = folder / f"bundle-{number}.json"
    path.write_text(json.dumps(DEMO).replace("5b1f0c9e", f"{number:08x}").replace("DEMO-4471", identifier))
    return path


def enrol(gateway, identifier, name, expect=0):
    out = gateway.folder / f"{name}.json"
    gateway.cli("patient", "enrol", "--identifier", identifier, "--url", gateway.url, "--out", out, expect=expect)
    return out


def records(told):
    return [receipt["record"] for receipt in told["receipts"]]


def test_a_patient_reads_the_whole_archive_and_nothing_else(hospital):
    connection = hospital.connect(enrol(hospital, f"{SYSTEM}|ANNA-1", "anna"))
    own = [name for name in records(hospital.told[0]) if not name.startswith(("Practitioner/", "Organization/"))]
    assert len(own) == 11
    assert {connection.ask("GET", f"/fhir/{name}").status for name in own} == {200}
    foreign = connection.ask("GET", f"/fhir/{records(hospital.told[1])[0]}")
    unknown = connection.ask("GET", "/fhir/Patient/00000000000000000000000000000000")
    assert (foreign.status, unknown.status, foreign.body) == (403, 403, unknown.body)
    refused = connection.ask("POST", "/fhir/Patient", b'{"resourceType":"Patient"}', {"Content-Type": "application/fhir+json"})
    assert refused.status == 403
    connection.close()


@pytest.mark.parametrize("identifier", [f"{SYSTEM}|NOBODY", f"{SYSTEM}|TWIN-3"])
def test_enrolling_needs_exactly_one_archive(hospital, identifier):
    out = hospital.folder / "refused.json"
    enrol(hospital, identifier, "refused", expect=1)
    assert not out.exists()


def test_an_identifier_without_its_system_is_refused(hospital):
    assert not enrol(hospital, "ANNA-1", "half", expect=2).exists()


def test_credentials_are_never_written_over(hospital):
    (hospital.folder / "kept.json").write_text("kept")
    enrol(hospital, f"{SYSTEM}|BERT-2", "kept", expect=2)
    assert (hospital.folder / "kept.json").read_text() == "kept"


def test_the_ledger_names_no_patient(hospital):
    enrol(hospital, f"{SYSTEM}|BERT-2", "bert")
    before = hospital.wait_final()["transactions"]
    assert before == 4 + 1 + len(hospital.told), "four cosigning keys, a PARTY for the hospital and an ANCHOR for each bundle"
