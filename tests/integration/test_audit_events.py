"""AuditEvent over HTTP: a patient sees every access to the own archive, and nobody else does."""

import time
from datetime import datetime

import pytest
import web_gateway
from fhir.resources.R4B.auditevent import AuditEvent
from search_world import KEY, UNKNOWN, World, link, of_type, references

PAID = {"X_Purpose_Of_Use": "HPAYMT"}


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    with web_gateway.gateway(tmp_path_factory.mktemp("home"), jwks=[KEY]) as running:
        made = World(running)
        made.consent = made.grant("anna", types=("Observation", "Condition"))
        made.read = of_type(made.records["anna"], "Observation")
        made.numbers = [int(made.ask("insurer", one, **PAID).headers["x-access-sequence"]) for one in made.read]
        page = made.ask("insurer", f"Condition?patient={made.patients['anna']}", **PAID)
        made.found = references(page)
        made.numbers.append(int(page.headers["x-access-sequence"]))
        yield made


def events(world, query="", who="anna"):
    return [event.partition("/")[2] for event in world.search(who, f"AuditEvent{query}")]


def test_one_event_an_access_names_all_of_it(world):
    answer = world.ask("anna", "AuditEvent?_count=1")
    [entry] = answer.json["entry"]
    event = entry["resource"]
    AuditEvent.model_validate(event)
    assert (event["id"], event["action"], event["outcome"]) == (str(world.numbers[-1]), "R", "0")
    assert (event["type"]["code"], event["subtype"][0]["code"]) == ("110106", "disclose")
    assert event["purposeOfEvent"][0]["coding"][0]["code"] == "HPAYMT"
    source, reader = event["agent"]
    assert (source["type"]["coding"][0]["code"], source["requestor"]) == ("110153", False)
    assert (reader["type"]["coding"][0]["code"], reader["requestor"], reader["policy"]) == ("110152", True, [world.consent])
    assert reader["who"] == {"identifier": {"system": "urn:fhir-anchor:client-id", "value": world.insurer}, "display": "Insurer"}
    entities = {entity["what"]["reference"]: entity["role"]["code"] for entity in event["entity"]}
    assert entities == {world.patients["anna"]: "1", world.consent: "13"} | {f"{one}/_history/1": "4" for one in world.found}
    assert abs(time.time() - datetime.fromisoformat(event["recorded"]).timestamp()) < 120
    assert entry["link"][0]["url"].endswith(f"/ledger/accesses/{world.numbers[-1]}")
    read = world.ask("anna", f"AuditEvent/{event['id']}")
    assert (read.status, read.json) == (200, event)
    assert 'rel="receipt"' in read.headers["link"]


@pytest.mark.parametrize("count", [1, 2, 100])
def test_all_of_them_page_by_page_the_last_first(world, count):
    expected = [str(number) for number in reversed(world.numbers)]
    assert events(world, f"?_count={count}&patient={world.patients['anna']}") == expected
    assert events(world, f"?_count={count}") == expected
    page = world.ask("anna", "AuditEvent?_count=1")
    assert world.client.ask("GET", f"/fhir/{link(page, 'next')}", token=world.tokens["bert"]).status == 400


def test_of_some_time_and_by_number(world):
    today = time.strftime("%Y-%m-%d", time.gmtime())
    every = len(world.numbers)
    for query, count in (
        (f"date={today[:4]}", every),
        ("date=ge2020", every),
        ("date=gt2099", 0),
        ("date=le2020", 0),
        ("date=lt2099", every),
        ("date=2020,ge2021", every),
        ("date=ge2021&date=lt2022", 0),
        (f"_id={world.numbers[1]},{world.numbers[2]}", 2),
        ("_id=x", 0),
    ):
        assert len(events(world, f"?{query}")) == count, query
    assert world.ask("anna", "AuditEvent?date=soon").status == 400
    assert world.ask("anna", "AuditEvent?agent=x", Prefer="handling=strict").status == 400
    form = world.ask("anna", "AuditEvent/_search", "POST", b"_count=100", Content_Type=web_gateway.FORM)
    assert references(form) == [f"AuditEvent/{number}" for number in reversed(world.numbers)]


def test_nobody_else_sees_any(world):
    assert events(world, who="bert") == []
    other, unknown = (world.ask("bert", f"AuditEvent?patient={name}") for name in (world.patients["anna"], UNKNOWN))
    assert (other.status, other.body) == (403, unknown.body)
    for who in ("bert", "insurer", "hospital", "other"):
        one, none = (world.ask(who, f"AuditEvent/{number}", **PAID) for number in (world.numbers[0], 10**15))
        assert (one.status, one.body) == (403, none.body)
    for who in ("insurer", "other"):
        one, none = (world.ask(who, f"AuditEvent?patient={name}", **PAID) for name in (world.patients["anna"], UNKNOWN))
        assert (one.status, one.body) == (403, none.body)
    assert events(world, who="hospital") == [], "its records, of which none is an AuditEvent"
    narrow = world.client.token(KEY, "patient-anna", "patient/Observation.rs")
    for path in ("AuditEvent", f"AuditEvent/{world.numbers[0]}"):
        assert world.client.ask("GET", f"/fhir/{path}", token=narrow).status == 403


def test_what_is_read_by_no_grant_is_no_event(world):
    before = events(world)
    for who in ("anna", "hospital"):
        assert world.ask(who, world.read[0]).status == 200
    assert world.ask("insurer", f"Encounter?patient={world.patients['anna']}", **PAID).status == 403
    assert events(world) == before
