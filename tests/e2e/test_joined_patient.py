"""Two hospitals push the same person: one grant, one fetch returns both hospitals' records; after the split it returns one's."""

import json
from importlib import resources

import pytest
from gateway_process import served

DEMO = resources.files("gateway").joinpath("assets/demo-bundle.json").read_text()
SYSTEM = "https://ids.example.org/person"


@pytest.fixture(scope="module")
def gateway(tmp_path_factory):
    with served(tmp_path_factory.mktemp("joined"), "--shared-system", SYSTEM) as running:
        yield running


def push(gateway, name, **changes):
    body = DEMO
    for old, new in changes.values():
        body = body.replace(old, new)
    bundle = gateway.folder / f"{name}.json.bundle"
    bundle.write_text(body)
    told = gateway.json("push", "--as", gateway.party(name=name), bundle)
    return {receipt["record"] for receipt in told["receipts"]}


def observations(gateway, reader, query="Observation"):
    out = gateway.cli("fetch", "--as", reader, query)
    return {f"Observation/{json.loads(line)['id']}" for line in out.splitlines()}


def test_one_person_of_two_hospitals(gateway):
    first, second = push(gateway, "Nordvik"), push(gateway, "Sorvik")
    patients = [next(record for record in records if record.startswith("Patient/")) for records in (first, second)]
    measured = [{record for record in records if record.startswith("Observation/")} for records in (first, second)]
    anna = gateway.folder / "anna.json"
    gateway.cli("patient", "enrol", "--identifier", f"{SYSTEM}|DEMO-4471", "--url", gateway.url, "--out", anna)
    insurer = gateway.party("agency", "Insurer", "--purpose", "HPAYMT")
    to = json.loads(insurer.read_text())["client_id"]
    terms = ("--to", to, "--types", "Observation", "--purpose", "HPAYMT", "--until", "2030-01-01")
    gateway.cli("consent", "grant", "--as", anna, *terms)
    assert observations(gateway, insurer, f"Observation?patient={patients[1]}") == measured[0] | measured[1]
    assert observations(gateway, anna) == measured[0] | measured[1]
    assert gateway.json("patient", "split", patients[1]) == {"patient": patients[1], "still_joined": 0}
    assert observations(gateway, insurer) == measured[0]
    assert observations(gateway, anna) == measured[0]
    gateway.cli("patient", "split", patients[1], expect=1)
    gateway.wait_final()
    for level in ("content", "conduct"):  # what was read by the other's consent was permitted then
        assert gateway.json("audit", "run", "--level", level, expect=(0, 2))["findings"] == []


def test_what_does_not_agree_waits_for_an_operator(gateway):
    push(gateway, "Ostvik", person=("DEMO-4471", "BERT-55"))
    push(gateway, "Vestvik", person=("DEMO-4471", "BERT-55"), born=("1968-03-09", "1968-03-10"))
    out = gateway.folder / "bert.json"
    enrol = ("patient", "enrol", "--identifier", f"{SYSTEM}|BERT-55", "--url", gateway.url, "--out", out)
    gateway.cli(*enrol, expect=1)
    [line] = gateway.json("patient", "review", "list")["lines"]
    assert (line["reason"], line["decision"]) == ("birth-differs", None)
    assert "BERT" not in gateway.cli("patient", "review", "list")
    gateway.cli("patient", "review", "join", line["number"])
    assert gateway.json("patient", "review", "list") == {"lines": []}
    decided = gateway.json("patient", "review", "list", "--all")["lines"][-1]
    assert (decided["decision"], decided["patients"]) == ("join", line["patients"])
    gateway.cli(*enrol)
    gateway.cli("patient", "review", "keep-apart", line["number"], expect=1)  # it takes a split now
    gateway.cli("patient", "review", "join", 99, expect=1)
