"""Patient/ID/$everything over HTTP."""

import pytest
import web_gateway
from fhir.resources.R4B.bundle import Bundle
from search_world import KEY, UNKNOWN, World, link, observation, of_type, references


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    with web_gateway.gateway(tmp_path_factory.mktemp("home"), jwks=[KEY]) as running:
        yield World(running)


def everything(world, name="anna"):
    return f"{world.patients[name]}/$everything"


def own(world, name="anna"):
    return sorted(r for r in world.records[name] if not r.startswith(("Practitioner/", "Organization/", "Location/")))


@pytest.mark.parametrize("count", [1, 4, 1000])
@pytest.mark.parametrize("who", ["hospital", "anna"])
def test_all_of_it_page_by_page(world, who, count):
    first = world.ask(who, f"{everything(world)}?_count={count}")
    Bundle.model_validate(first.json)
    assert len(references(first)) <= count
    assert sorted(world.search(who, f"{everything(world)}?_count={count}")) == own(world)


def test_of_some_types(world):
    found = world.search("anna", f"{everything(world)}?_type=Observation,Patient&_count=2")
    assert sorted(found) == sorted([*of_type(own(world), "Observation"), world.patients["anna"]])
    for refused in ("_type=Foo", "_type=", "_count=0", "start=yesterday", "start=gt2020"):
        assert world.ask("anna", f"{everything(world)}?{refused}").status == 400
    assert world.ask("anna", f"{everything(world)}?_since=2020", Prefer="handling=strict").status == 400


def test_of_some_time(world):
    patient = world.create("hospital", {"resourceType": "Patient", "birthDate": "1950-01-01"})
    early, late = (world.create("hospital", observation(patient, when=when)) for when in ("2001-05-05", "2020-05-05"))
    undated = world.create("hospital", {k: v for k, v in observation(patient).items() if k != "effectiveDateTime"})
    for query, expected in (
        ("start=2010", [patient, late, undated]),
        ("end=2010", [patient, early, undated]),
        ("start=2001-05-05&end=2001-05-05", [patient, early, undated]),
        ("start=2005&end=2006", [patient, undated]),
    ):
        assert world.search("hospital", f"{patient}/$everything?{query}") == expected


def test_the_grantee_gets_the_types_that_were_granted(world):
    paid = {"X_Purpose_Of_Use": "HPAYMT"}
    refused, unknown = (world.ask("insurer", path, **paid) for path in (everything(world), f"Patient/{UNKNOWN}/$everything"))
    assert (refused.status, refused.body) == (403, unknown.body)
    consents = [world.grant("anna", types=("Observation",)), world.grant("anna", types=("Condition",))]
    expected = sorted(of_type(own(world), "Observation") + of_type(own(world), "Condition"))
    assert sorted(world.search("insurer", f"{everything(world)}?_count=2", **paid)) == expected
    assert world.ask("insurer", f"{everything(world)}?_type=Patient", **paid).status == 403
    assert world.ask("insurer", everything(world, "bert"), **paid).status == 403
    page = world.ask("insurer", f"{everything(world)}?_count=1", **paid)
    world.revoke("anna", consents[0])
    rest = world.search("insurer", link(page, "next"), **paid)
    assert of_type(rest, "Observation") == []
    world.revoke("anna", consents[1])
    assert world.ask("insurer", link(page, "next"), **paid).status == 403


def test_nobody_else_gets_any(world):
    for who in ("other", "bert"):
        named, unknown = (world.ask(who, path) for path in (everything(world), f"Patient/{UNKNOWN}/$everything"))
        assert (named.status, named.body) == (403, unknown.body)
    narrow = world.client.token(KEY, "patient-anna", "patient/Observation.rs")
    assert world.client.ask("GET", f"/fhir/{everything(world)}", token=narrow).status == 403
    assert world.ask("anna", everything(world), "POST").status == 405
