"""What a client is told of a write whose answer is 200: equal content, or a new version."""

import json

import pytest
import web_gateway
from search_world import FHIR, KEY


@pytest.fixture(scope="module")
def hospital(tmp_path_factory):
    with web_gateway.gateway(tmp_path_factory.mktemp("home"), jwks=[KEY]) as running:
        yield lambda method, path, told, **more: running.client.ask(
            method, path, json.dumps(told).encode(), running.client.token(KEY, running.hospital), Content_Type=FHIR, **more
        )


def patient(name, born):
    return {"resourceType": "Patient", "id": name, "birthDate": born}


def entry(name, born):
    return {"resource": patient(name, born), "request": {"method": "PUT", "url": f"Patient/{name}"}}


def codes(outcome):
    return [issue.get("details", {}).get("coding") for issue in outcome["issue"]]


UNCHANGED = [[{"system": "urn:fhir-anchor:write-outcome", "code": "unchanged"}]]


@pytest.mark.parametrize("kind", ["transaction", "batch"])
def test_an_entry_with_equal_content_says_so_and_no_other_does(hospital, kind):
    def send(*entries):
        answer = hospital("POST", "/fhir", {"resourceType": "Bundle", "type": kind, "entry": entries})
        assert answer.status == 200, answer.body
        return [one["response"] for one in answer.json["entry"]]

    first = send(entry(f"{kind}-a", "1970-01-01"), entry(f"{kind}-b", "1970-01-01"))
    second = send(entry(f"{kind}-a", "1970-01-01"), entry(f"{kind}-b", "1980-01-01"))
    assert [one["status"] for one in (*first, *second)] == ["201 Created", "201 Created", "200 OK", "200 OK"]
    assert ["outcome" in one for one in (*first, *second)] == [False, False, True, False]
    assert codes(second[0]["outcome"]) == UNCHANGED
    assert [one["etag"] for one in second] == ['W/"1"', 'W/"2"']


def test_a_single_one_says_so_to_who_prefers_an_outcome(hospital):
    told = [
        hospital("PUT", "/fhir/Patient/single", patient("single", born), Prefer="return=OperationOutcome")
        for born in ("1970", "1970", "1971")
    ]
    assert [one.status for one in told] == [201, 200, 200]
    assert [codes(one.json) == UNCHANGED for one in told] == [False, True, False]
