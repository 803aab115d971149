"""Consent over HTTP for whom it names: finding and reading what was granted to it, and nothing else."""

import pytest
import web_gateway
from search_world import KEY, UNKNOWN, World, link, references

from gateway.consent.coded import CLIENT_ID_SYSTEM


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    with web_gateway.gateway(tmp_path_factory.mktemp("home"), jwks=[KEY]) as running:
        made = World(running)
        made.anna = [made.grant("anna", types=("Observation",)), made.grant("anna", types=("Condition",))]
        made.bert = made.grant("bert", types=("Observation",))
        made.elsewhere = made.grant_to("anna", made.other)
        made.revoke("anna", made.anna[1])
        yield made


@pytest.mark.parametrize("count", [1, 2, 50])
def test_whom_they_name_finds_them_page_by_page(world, count):
    assert world.search("insurer", f"Consent?_count={count}") == [*world.anna, world.bert]
    statuses = [entry["resource"]["status"] for entry in world.ask("insurer", "Consent").json["entry"]]
    assert statuses == ["active", "inactive", "active"]
    assert world.search("other", f"Consent?_count={count}") == [world.elsewhere]
    assert world.search("hospital", f"Consent?_count={count}") == []


def test_who_granted_finds_their_own(world):
    assert world.search("anna", "Consent") == [*world.anna, world.elsewhere]
    assert world.search("anna", f"Consent?actor={world.other}") == [world.elsewhere]
    assert world.search("anna", f"Consent?patient={world.patients['bert']}") == []


def test_by_patient_actor_and_id(world):
    by = {
        f"patient={world.patients['anna']}": world.anna,
        f"patient:Patient={world.patients['bert'].partition('/')[2]}": [world.bert],
        f"patient={UNKNOWN}": [],
        f"patient={world.patients['anna']},{world.patients['bert']}": [*world.anna, world.bert],
        f"patient={world.patients['anna']}&patient={world.patients['bert']}": [],
        f"actor={world.insurer}": [*world.anna, world.bert],
        f"actor:identifier={CLIENT_ID_SYSTEM}%7C{world.insurer}&patient={world.patients['bert']}": [world.bert],
        f"actor=urn:x%7C{world.insurer}": [],
        f"actor={world.other}": [],
        f"_id={world.bert.partition('/')[2]},{world.elsewhere.partition('/')[2]}": [world.bert],
        "_id=x": [],
    }
    for query, expected in by.items():
        assert world.search("insurer", f"Consent?{query}") == expected, query
    form = world.ask("insurer", "Consent/_search", "POST", f"actor={world.insurer}".encode(), Content_Type=web_gateway.FORM)
    assert references(form) == [*world.anna, world.bert]
    assert world.ask("insurer", "Consent?status=active", Prefer="handling=strict").status == 400
    assert world.ask("insurer", "Consent?actor:missing=true").status == 400


def test_it_reads_those_and_cannot_end_them(world):
    found = world.ask("insurer", "Consent").json["entry"]
    for entry in found:
        assert world.ask("insurer", f"Consent/{entry['resource']['id']}").json == entry["resource"]
    assert world.ask("insurer", f"{world.anna[1]}/_history/1").json["status"] == "active"
    for who in ("other", "bert", "hospital"):
        other, none = world.ask(who, world.anna[0]), world.ask(who, f"Consent/{UNKNOWN}")
        assert (other.status, none.status) == (403, 403)
        assert other.body == none.body
    token = world.client.token(KEY, world.other)
    assert world.client.ask("POST", f"/fhir/{world.bert}/$revoke", token=token).status == 403
    assert world.client.ask("POST", f"/fhir/{world.elsewhere}/$revoke", token=token).status == 403, "whom it names least of all"
    following = link(world.ask("insurer", "Consent?_count=1"), "next")
    assert world.client.ask("GET", f"/fhir/{following}", token=world.tokens["other"]).status == 400
