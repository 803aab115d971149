"""Creating, submitting and reading over HTTP: statuses, headers, bodies."""

import gzip
import json
import time
from email.utils import parsedate_to_datetime

import pytest
from fhir.resources.R4B.bundle import Bundle
from written import FHIR, KEY

PATIENT = {"resourceType": "Patient", "identifier": [{"system": "urn:x", "value": "1"}], "gender": "female", "birthDate": "1970-01-01"}


@pytest.fixture(scope="module")
def post(gateway, token):
    def post(path, body, **headers):
        sent = body if isinstance(body, bytes) else json.dumps(body).encode()
        return gateway.client.ask("POST", path, sent, token, **({"Content_Type": FHIR} | headers))

    return post


@pytest.fixture(scope="module")
def get(gateway, token):
    return lambda path, method="GET", **headers: gateway.client.ask(method, path, None, token, **headers)


@pytest.fixture(scope="module")
def patient(post):
    """The path of a patient that is there."""
    return post("/fhir/Patient", PATIENT).headers["location"].split("/fhir/")[1].partition("/_history/")[0]


def bundle(kind="transaction", *resources):
    def entry(resource):
        return {"resource": resource} | (
            {"request": {"method": "POST", "url": resource["resourceType"]}} if kind in ("transaction", "batch") else {}
        )

    return {"resourceType": "Bundle", "type": kind, "entry": [entry(resource) for resource in resources]}


def containers(gateway):
    return [stored.name for stored in gateway.services.store.list()]


# --- create


def test_create_says_where_when_and_which_version(gateway, post):
    answer = post("/fhir/Patient", PATIENT)
    assert answer.status == 201
    assert answer.body == b""
    location = answer.headers["location"]
    assert location.startswith(f"{gateway.client.url}/fhir/Patient/")
    assert location.endswith("/_history/1")
    assert answer.headers["etag"] == 'W/"1"'
    assert abs(parsedate_to_datetime(answer.headers["last-modified"]).timestamp() - time.time()) < 10
    receipt = location.replace("/fhir/", "/ledger/receipts/")
    assert answer.headers["link"] == f'<{receipt}>; rel="receipt"'


def test_the_preferred_body_is_given(post, get):
    answer = post("/fhir/Patient", PATIENT, Prefer="handling=strict, return=representation")
    assert answer.status == 201
    assert answer.json["gender"] == "female"
    assert answer.body == get("/fhir/" + answer.headers["location"].split("/fhir/")[1]).body
    assert post("/fhir/Patient", PATIENT, Prefer="return=OperationOutcome").outcome[0]["severity"] == "information"
    assert post("/fhir/Patient", PATIENT, Prefer="return=minimal").body == b""
    assert post("/fhir/Patient", PATIENT, Prefer="return=nonsense").body == b""


def test_a_condition_that_meets_one_creates_none(post):
    person = PATIENT | {"identifier": [{"system": "urn:x", "value": "conditional"}]}
    first = post("/fhir/Patient", person, If_None_Exist="identifier=urn:x|conditional")
    again = post("/fhir/Patient", person, If_None_Exist="identifier=urn:x|conditional")
    assert (first.status, again.status) == (201, 200)
    assert first.headers["location"] == again.headers["location"]


def test_gzip_is_read(post):
    answer = post("/fhir/Patient", gzip.compress(json.dumps(PATIENT).encode()), Content_Encoding="gzip")
    assert answer.status == 201


@pytest.mark.parametrize(
    ("path", "body", "headers", "status", "code"),
    [
        ("/fhir/Patient", b'{"resourceType":', {}, 400, None),
        ("/fhir/Patient", b"", {}, 400, None),
        ("/fhir/Patient", b"null", {}, 400, None),
        ("/fhir/Patient", b"[]", {}, 400, None),
        ("/fhir/Patient", b'{"resourceType":"Patient","gender":"x"}', {}, 422, None),
        ("/fhir/Patient", b'{"resourceType":"Patient","gender":null}', {}, None, None),
        ("/fhir/Patient", b'{"resourceType":"Patient","gender":"male","gender":"female"}', {}, None, None),
        ("/fhir/Patient", b'{"resourceType":"Patient","birthDate":"2020-02-30"}', {}, 422, None),
        ("/fhir/Patient", b'{"resourceType":"Patient","x":' + b"[" * 2000 + b"]" * 2000 + b"}", {}, 400, None),
        ("/fhir/Patient", b'{"resourceType":"Patient","id":"\xff"}', {}, 400, None),
        ("/fhir/Patient", b'{"resourceType":"Observation"}', {}, 400, "invalid"),
        ("/fhir/Patient", b'{"gender":"male"}', {}, None, None),
        ("/fhir/Patient", b'{"resourceType":["Patient"]}', {}, None, None),
        ("/fhir/Foo", b'{"resourceType":"Foo"}', {}, 404, "not-supported"),
        ("/fhir/EffectEvidenceSynthesis", b"{}", {}, 404, "not-supported"),
        ("/fhir/patient", b"{}", {}, 404, "not-supported"),
        ("/fhir", b'{"resourceType":"Patient"}', {}, None, None),
        ("/fhir", b'{"resourceType":"Bundle","type":"history"}', {}, None, None),
        ("/fhir/Patient", b"{}", {"Content_Type": "text/plain"}, 415, "not-supported"),
        ("/fhir/Patient", b"{}", {"Content_Type": ""}, 415, "not-supported"),
        ("/fhir/Patient", b"<Patient/>", {"Content_Type": "application/fhir+xml"}, 415, "not-supported"),
        ("/fhir/Patient", b"{}", {"Content_Type": FHIR + "; fhirVersion=3.0"}, 415, "not-supported"),
        ("/fhir/Patient", b"{}", {"Content_Encoding": "br"}, 415, "not-supported"),
        ("/fhir/Patient", b"{}", {"Content_Encoding": "gzip"}, 400, "structure"),
        ("/fhir/Patient", gzip.compress(b" " * (33 << 20)), {"Content_Encoding": "gzip"}, 413, "too-long"),
        ("/fhir/Patient", b"{}", {"Accept": "application/fhir+xml"}, 406, "not-supported"),
        ("/fhir/Patient", b"{}", {"X_Submission_Nonce": "short"}, 400, "value"),
        ("/fhir/Patient", json.dumps(PATIENT).encode(), {"X_Submission_Nonce": "A" * 43, "X_Submission_Signature": "a.b.c"}, None, None),
    ],
)
def test_what_cannot_be_taken_is_answered_with_an_outcome_and_writes_nothing(gateway, post, path, body, headers, status, code):
    before = containers(gateway)
    answer = post(path, body, **headers)
    assert answer.status == status if status else answer.status in (400, 422), answer.body
    assert code in (None, answer.outcome[0]["code"])
    assert b"Traceback" not in answer.body
    assert containers(gateway) == before


def test_every_fault_of_a_resource_is_named(post):
    issues = post("/fhir/Patient", {"resourceType": "Patient", "gender": "x", "birthDate": "never", "colour": "red"}).outcome
    assert {"Patient.gender", "Patient.birthDate", "Patient.colour"} <= {issue["expression"][0] for issue in issues}


def test_an_agency_may_not_write(gateway):
    token = gateway.client.token(KEY, gateway.agency)
    answer = gateway.client.ask("POST", "/fhir/Patient", b"{}", token, Content_Type=FHIR)
    assert answer.status == 403


def test_a_scope_for_one_type_creates_that_one_and_no_bundle(gateway):
    token = gateway.client.token(KEY, gateway.hospital, "system/Patient.c")
    send = lambda path, body: gateway.client.ask("POST", path, json.dumps(body).encode(), token, Content_Type=FHIR).status  # noqa: E731
    assert send("/fhir/Patient", PATIENT) == 201
    assert send("/fhir/Organization", {"resourceType": "Organization", "name": "x"}) == 403
    assert send("/fhir", bundle("transaction", PATIENT)) == 403


# --- bundles


@pytest.mark.parametrize(
    ("kind", "answered"), [("transaction", "transaction-response"), ("batch", "batch-response"), ("collection", "transaction-response")]
)
def test_a_bundle_is_answered_entry_by_entry(gateway, post, get, kind, answered):
    sent = bundle(kind, PATIENT | {"language": f"x-{kind}"}, {"resourceType": "Organization", "name": kind})
    answer = post("/fhir", sent)
    assert answer.status == 200, answer.body
    told = answer.json
    Bundle.model_validate(told)
    assert told["type"] == answered
    assert "idempotent-replay" not in answer.headers
    for entry, resource in zip(told["entry"], sent["entry"], strict=True):
        response = entry["response"]
        assert response["status"] == "201 Created"
        assert response["etag"] == 'W/"1"'
        assert response["lastModified"]
        assert response["location"].startswith(resource["resource"]["resourceType"] + "/")
        assert entry["link"] == [{"relation": "receipt", "url": f"{gateway.client.url}/ledger/receipts/{response['location']}"}]
        assert get("/fhir/" + response["location"]).status == 200


def test_a_repeated_bundle_is_replayed(post):
    sent = bundle("transaction", PATIENT | {"language": "x-replay"})
    first, again = post("/fhir", sent), post("/fhir", sent)
    assert again.headers["idempotent-replay"] == "true"
    assert [e["response"]["location"] for e in again.json["entry"]] == [e["response"]["location"] for e in first.json["entry"]]


def test_a_transaction_with_a_fault_writes_nothing_and_names_each(gateway, post):
    before = containers(gateway)
    bad = PATIENT | {"gender": "x"}
    answer = post("/fhir", bundle("transaction", PATIENT | {"language": "x-fault"}, bad, PATIENT, bad))
    assert answer.status == 422
    assert [issue["expression"] for issue in answer.outcome] == [["Bundle.entry[1].resource.gender"], ["Bundle.entry[3].resource.gender"]]
    assert containers(gateway) == before


def test_a_batch_with_a_fault_takes_the_rest(post):
    told = post("/fhir", bundle("batch", PATIENT | {"gender": "x"}, PATIENT | {"language": "x-batch"})).json
    Bundle.model_validate(told)
    failed, taken = told["entry"]
    assert failed["response"]["status"] == "422 Unprocessable Entity"
    assert failed["response"]["outcome"]["issue"][0]["expression"] == ["Bundle.entry[0].resource.gender"]
    assert taken["response"]["status"] == "201 Created"


def test_an_empty_transaction_is_an_empty_answer(post):
    assert post("/fhir", {"resourceType": "Bundle", "type": "transaction"}).json == {
        "resourceType": "Bundle",
        "type": "transaction-response",
    }


# --- read


def test_a_read_gives_the_committed_bytes(get, patient):
    answer = get("/fhir/" + patient)
    assert answer.status == 200
    assert answer.headers["content-type"] == FHIR
    assert answer.body.startswith(b'{"resourceType":"Patient","id":"')
    assert answer.headers["etag"] == 'W/"1"'
    assert answer.headers["cache-control"] == "private, no-cache"
    assert answer.headers["link"].endswith(f'/ledger/receipts/{patient}/_history/1>; rel="receipt"')
    assert parsedate_to_datetime(answer.headers["last-modified"])
    assert get(f"/fhir/{patient}/_history/1").body == answer.body


def test_head_is_a_read_without_its_body(get, patient):
    whole, head = get("/fhir/" + patient), get("/fhir/" + patient, "HEAD")
    assert (head.status, head.body) == (200, b"")
    assert head.headers["content-length"] == str(len(whole.body))
    assert head.headers["etag"] == whole.headers["etag"]


@pytest.mark.parametrize("known", ['W/"1"', '"1"', 'W/"7", W/"1"', "*"])
def test_what_the_client_has_is_not_sent_again(get, patient, known):
    answer = get("/fhir/" + patient, If_None_Match=known)
    assert (answer.status, answer.body) == (304, b"")
    assert answer.headers["etag"] == 'W/"1"'


def test_another_version_is_sent(get, patient):
    assert get("/fhir/" + patient, If_None_Match='W/"2"').status == 200


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("{}/_history/2", 404),
        ("{}/_history/0", 404),
        ("{}/_history/x", 404),
        ("{}/_history/" + "9" * 30, 404),
        ("Patient/" + "0" * 32, 403),
        ("Patient/x", 403),
        ("Patient/%F0%9F%92%A9", 403),
        ("Patient/%2e%2e", 403),
        ("Nothing/x", 404),
    ],
)
def test_what_is_not_there_is_said_in_an_outcome(get, patient, path, status):
    for prefix in ("/fhir/", "/ledger/receipts/"):
        answer = get(prefix + path.format(patient))
        assert answer.status == status
        assert answer.outcome


def test_a_record_of_another_type_is_not_there(get, patient):
    assert get("/fhir/" + patient.replace("Patient", "Observation")).status == 403


def test_another_party_sees_no_difference_between_hidden_and_missing(gateway, patient):
    token = gateway.client.token(KEY, gateway.agency)
    hidden, missing = (gateway.client.ask("GET", f"/fhir/{name}", None, token) for name in (patient, "Patient/" + "0" * 32))
    assert (hidden.status, hidden.body) == (missing.status, missing.body)
    assert hidden.status == 403
    assert gateway.client.ask("GET", f"/ledger/receipts/{patient}", None, token).status == 403


def test_what_is_not_offered_is_405(gateway, token, patient):
    answer = gateway.client.ask("PATCH", f"/fhir/{patient}", b"{}", token, Content_Type=FHIR)
    assert answer.status == 405
    assert answer.headers["allow"] == "DELETE, GET, HEAD, PUT"
    assert answer.outcome[0]["code"] == "not-supported"


def test_a_read_in_another_format_is_not_acceptable(get, patient):
    assert get(f"/fhir/{patient}", Accept="application/fhir+xml").status == 406
    assert get(f"/fhir/{patient}?_format=xml").status == 406


def test_until_its_anchor_is_final_a_receipt_is_on_its_way(get, patient):
    answer = get(f"/ledger/receipts/{patient}")
    assert answer.status == 202
    assert answer.headers["retry-after"] == "1"
    assert answer.outcome[0]["severity"] == "information"


def test_a_damaged_or_missing_container_says_nothing_of_what_it_held(gateway, post, get):
    location = post("/fhir/Patient", PATIENT | {"language": "x-damaged"}).headers["location"].split("/fhir/")[1]
    newest = max((gateway.services.settings.home / "bucket").rglob("*.container"), key=lambda path: path.stat().st_mtime_ns)
    good = newest.read_bytes()
    newest.write_bytes(good[:300] + bytes([good[300] ^ 1]) + good[301:])
    damaged = get("/fhir/" + location)
    newest.unlink()
    missing = get("/fhir/" + location)
    newest.write_bytes(good)
    assert (damaged.status, missing.status) == (500, 503)
    assert missing.headers["retry-after"]
    assert all(answer.outcome[0]["code"] in ("exception", "transient") for answer in (damaged, missing))
    assert get("/fhir/" + location).status == 200


def test_the_request_id_is_in_the_answer_and_in_the_record(post, get):
    answer = post("/fhir/Patient", PATIENT | {"language": "x-id"}, X_Request_Id="ward-7.request-1")
    assert answer.headers["x-request-id"] == "ward-7.request-1"
    record = get("/fhir/" + answer.headers["location"].split("/fhir/")[1]).json
    assert record["meta"]["source"].endswith("#ward-7.request-1")
