"""`fhir-anchor fetch` against a running gateway."""

import json
import stat
import subprocess
from importlib import resources

import pytest
from gateway_process import served

DEMO = resources.files("gateway").joinpath("assets/demo-bundle.json").read_bytes()
ANNA = "https://ids.example.org/person|DEMO-4471"


@pytest.fixture(scope="module")
def gateway(tmp_path_factory):
    folder = tmp_path_factory.mktemp("fetch")
    with served(folder) as running:
        running.hospital = running.party()
        running.insurer = running.party("agency", "Insurer", "--purpose", "HPAYMT")
        running.to = json.loads(running.insurer.read_text())["client_id"]
        (folder / "bundle.json").write_bytes(DEMO)
        pushed = running.json("push", "--as", running.hospital, folder / "bundle.json")
        running.records = [receipt["record"] for receipt in pushed["receipts"]]
        running.patient = next(record for record in running.records if record.startswith("Patient/"))
        running.anna = folder / "anna.json"
        running.cli("patient", "enrol", "--identifier", ANNA, "--url", running.url, "--out", running.anna)
        yield running


def fetch(gateway, *arguments, code=0):
    done = subprocess.run(gateway._command("fetch", *arguments), capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stderr
    return done


def references(text):
    return sorted(f"{one['resourceType']}/{one['id']}" for one in map(json.loads, text.splitlines()))


def of_type(gateway, kind):
    return sorted(record for record in gateway.records if record.startswith(f"{kind}/"))


def test_all_pages_to_a_file(gateway, tmp_path):
    out = tmp_path / "observations.ndjson"
    query = f"Observation?patient={gateway.patient}&_count=2"
    told = gateway.json("fetch", "--as", gateway.hospital, query, "--out", out)
    expected = of_type(gateway, "Observation")
    assert (told["resources"], set(told)) == (len(expected), {"resources", "pages", "seconds", "accesses"})
    assert told["pages"] >= len(expected) / 2
    assert told["accesses"] == [], "what one issued is not logged"
    assert references(out.read_text()) == expected
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [out]
    connection = gateway.connect(gateway.hospital)
    assert {connection.ask("GET", f"/fhir/{record}").body for record in expected} == set(out.read_bytes().splitlines())
    connection.close()


def test_to_stdout(gateway):
    done = fetch(gateway, "--as", gateway.anna, f"{gateway.patient}/$everything?_count=3")
    assert references(done.stdout) == sorted(gateway.records), "each once, with the practitioners and organizations referred to"
    assert done.stderr == ""
    assert references(fetch(gateway, "--as", gateway.anna, gateway.patient).stdout) == [gateway.patient]


def test_refused_until_granted_and_after_the_revoke(gateway, tmp_path):
    out = tmp_path / "out.ndjson"
    asked = ["--as", gateway.insurer, "--purpose", "HPAYMT", f"Observation?patient={gateway.patient}&_count=100", "--out", out]
    refused = fetch(gateway, *asked, code=1)
    assert (refused.stdout, refused.stderr.count("\n")) == ("", 1)
    assert "no permission" in refused.stderr
    assert list(tmp_path.iterdir()) == []
    terms = ["--to", gateway.to, "--types", "Observation", "--purpose", "HPAYMT", "--until", "2030-01-01"]
    consent = gateway.json("consent", "grant", "--as", gateway.anna, *terms)["id"]
    told = json.loads(fetch(gateway, *asked, "--json").stdout)
    assert told["resources"] == len(of_type(gateway, "Observation"))
    check_access_receipts(gateway, told["accesses"], tmp_path)
    out.write_text("kept")
    gateway.cli("consent", "revoke", "--as", gateway.anna, consent)
    fetch(gateway, *asked, code=1)
    assert out.read_text() == "kept"
    assert list(tmp_path.iterdir()) == [out]


def check_access_receipts(gateway, numbers, folder):
    """Who read and the patient get the same receipt of each access and verify it offline; nobody else gets any."""
    assert numbers
    for number in numbers:
        copies = [folder / f"{who}-{number}.json" for who in ("insurer", "anna")]
        for who, out in zip((gateway.insurer, gateway.anna), copies, strict=True):
            gateway.cli("receipt", "access", "--as", who, number, "--wait", "--out", out)
        assert copies[0].read_bytes() == copies[1].read_bytes()
        told = gateway.json("receipt", "verify", copies[0], "--genesis", gateway.home / "genesis.json")
        assert (told["valid"], told["receipts"][0]["sequence"], told["receipts"][0]["client_id"]) == (1, number, gateway.to)
        copies[0].write_bytes(copies[0].read_bytes().replace(b'"index":', b'"index":1', 1))
        gateway.cli("receipt", "verify", copies[0], "--genesis", gateway.home / "genesis.json", expect=1)
        gateway.cli("receipt", "access", "--as", gateway.hospital, number, "--out", copies[0], expect=1)
        for copy in copies:
            copy.unlink()


def test_what_is_wrong_is_said(gateway, tmp_path):
    assert "not answered here" in fetch(gateway, "--as", gateway.hospital, "Patient?_sort=name", code=1).stderr
    assert "cannot be reached" in fetch(gateway, "--as", gateway.hospital, "--url", "http://127.0.0.1:9", "Patient", code=2).stderr
    assert fetch(gateway, "--as", tmp_path / "nobody.json", "Patient", code=2).stdout == ""
    missing = fetch(gateway, "--as", gateway.hospital, "Patient", "--out", tmp_path / "no" / "where.ndjson", code=2)
    assert "No such file" in missing.stderr
