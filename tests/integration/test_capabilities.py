"""Every interaction, parameter and operation that the CapabilityStatement claims is there."""

import json

import pytest
import web_gateway
from fhir.resources.R4B.capabilitystatement import CapabilityStatement
from fhir.resources.R4B.operationdefinition import OperationDefinition
from search_world import FHIR, KEY, UNKNOWN, World

VALUES = {"token": "urn:x|y", "reference": UNKNOWN, "date": "ge2020-01-01"}
MISSING = {404, 405, 500, 501}


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    with web_gateway.gateway(tmp_path_factory.mktemp("home"), jwks=[KEY]) as running:
        yield World(running)


@pytest.fixture(scope="module")
def rest(world):
    statement = world.ask("hospital", "metadata").json
    CapabilityStatement.model_validate(statement)
    return statement["rest"][0]


def kinds(rest):
    """One type for each set of claims, and a few that must be looked at."""
    found = {json.dumps({**one, "type": None}): one for one in rest["resource"]}
    chosen = {one["type"]: one for one in found.values()}
    return chosen | {one["type"]: one for one in rest["resource"] if one["type"] in ("Observation", "Patient", "Consent", "AuditEvent")}


def called(world, kind, code):
    """The answers to one interaction, by an institution."""
    body, at = json.dumps({"resourceType": kind}).encode(), f"{kind}/{UNKNOWN}"
    ways = {
        "create": [("POST", kind, body)],
        "read": [("GET", at, None)],
        "vread": [("GET", f"{at}/_history/1", None)],
        "update": [("PUT", at, body)],
        "delete": [("DELETE", at, None)],
        "history-instance": [("GET", f"{at}/_history", None)],
        "search-type": [("GET", f"{kind}?_id={UNKNOWN}", None), ("POST", f"{kind}/_search", None)],
    }
    return [world.ask("hospital", path, method, sent, Content_Type=FHIR if sent else web_gateway.FORM) for method, path, sent in ways[code]]


def test_every_interaction_that_is_claimed_is_there(world, rest):
    for kind, claims in kinds(rest).items():
        for code in [one["code"] for one in claims["interaction"]]:
            for answer in called(world, kind, code):
                gone = answer.status == 404 and code == "delete"
                assert gone or answer.status not in MISSING, (kind, code, answer.status, answer.body)
    for bundle in (one["code"] for one in rest["interaction"]):
        sent = json.dumps({"resourceType": "Bundle", "type": bundle}).encode()
        assert world.client.ask("POST", "/fhir", sent, world.tokens["hospital"], Content_Type=FHIR).status == 200


def test_every_parameter_that_is_claimed_is_known_and_no_other(world, rest):
    for kind, claims in kinds(rest).items():
        patient = "&patient=" + world.patients["anna"]
        for parameter in claims["searchParam"]:
            query = f"{kind}?{parameter['name']}={VALUES[parameter['type']]}{patient}"
            for who in ("hospital", "anna") if kind in ("AuditEvent", "Consent") else ("hospital",):
                answer = world.ask(who, query, Prefer="handling=strict")
                assert answer.status in (200, 403), (query, answer.body)
        assert world.ask("hospital", f"{kind}?made-up=x", Prefer="handling=strict").status == 400


def test_every_operation_that_is_claimed_is_there(world, rest):
    claimed = {
        (one["type"], operation["name"]): operation["definition"] for one in rest["resource"] for operation in one.get("operation", ())
    }
    assert set(claimed) == {("Patient", "everything"), ("Consent", "revoke")}
    assert world.ask("hospital", f"{world.patients['anna']}/$everything").status == 200
    assert world.ask("anna", f"{world.grant('anna')}/$revoke", "POST").json["status"] == "inactive"
    path = claimed["Consent", "revoke"].partition("/fhir/")[2]
    definition = world.client.ask("GET", f"/fhir/{path}").json
    OperationDefinition.model_validate(definition)
    assert (definition["code"], definition["resource"], definition["instance"]) == ("revoke", ["Consent"], True)


def test_what_is_not_claimed_is_not_there(world):
    for method, path in (
        ("PATCH", f"Observation/{UNKNOWN}"),
        ("POST", f"Patient/{UNKNOWN}/$merge"),
        ("GET", "_history"),
        ("GET", "Observation/_history"),
    ):
        answer = world.ask("hospital", path, method, b"{}" if method != "GET" else None, Content_Type=FHIR)
        assert answer.status in (403, 404, 405, 501), (method, path)
