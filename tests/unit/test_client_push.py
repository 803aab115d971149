"""What is signed of a file, and how the answer to it is counted."""

import json

import pytest

from fhir_adapters.issue import InvalidInput, operation_outcome
from gateway.client.connection import Answer
from gateway.client.credentials import new_credentials
from gateway.client.push import push_file
from gateway.client.submission import parse_submission, signed_headers
from gateway.submission import UNCHANGED
from gateway.vault import primitives, submission

CREDENTIALS = new_credentials("http://127.0.0.1:8080", "hospital-0a1b2c3d")
ENTRIES = [b'{ "resource": {"resourceType":"Patient","id":"%d"} ,"request":{"method":"POST","url":"Patient"} }' % i for i in range(3)]
BUNDLE = b'{"resourceType":"Bundle","type":"transaction","entry":[ ' + b" ,\n".join(ENTRIES) + b"]}"
RESOURCE = b'{"resourceType":"Patient","birthDate":"1970-01-01"}\n'
IDS = [f"{i:032x}" for i in range(3)]


def signing_key():
    return submission.from_base64url(CREDENTIALS.signing_jwk["x"])


@pytest.mark.parametrize(("body", "entries", "path"), [(BUNDLE, ENTRIES, "/fhir"), (RESOURCE, [RESOURCE], "/fhir/Patient")])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_the_signature_is_over_the_exact_bytes_of_each_entry(body, entries, path, mark):
    sent = parse_submission(mark + body)
    assert (sent.path, sent.body) == (path, body)
    headers = signed_headers(sent, CREDENTIALS, 1_790_000_000)
    tree = submission.SubmissionTree(entries, submission.parse_nonce(headers["X-Submission-Nonce"]))
    claims = submission.verify(
        headers["X-Submission-Signature"], public=signing_key(), client_id=CREDENTIALS.client_id, count=len(entries), root=tree.root, now=1_790_000_000
    )  # fmt: skip
    assert claims.iat == 1_790_000_000
    assert len(submission.from_base64url(headers["X-Submission-Nonce"])) == primitives.SALT_BYTES


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{}", b'{"resourceType":7}', b'{"resourceType":"../x"}', b"\xff", b'{"resourceType":"Bundle"}']
)
def test_what_cannot_be_signed_is_refused_with_its_fault(body):
    with pytest.raises(InvalidInput):
        parse_submission(body)


class Gateway:
    """Stands where the connection is and gives one answer."""

    credentials = CREDENTIALS

    def __init__(self, status, told, headers=(), *, retried=False):
        self.answer = Answer(status, dict(headers), json.dumps(told).encode(), retried)
        self.asked = []

    def ask(self, *request):
        self.asked.append(request)
        return self.answer


def pushed(gateway, tmp_path, body=BUNDLE):
    path = tmp_path / "file.json"
    path.write_bytes(body)
    return push_file(gateway, path, now=lambda: 1_790_000_000)


def entry(i, status, **more):
    location = f"http://127.0.0.1:8080/fhir/Patient/{IDS[i]}/_history/1"
    return {"response": {"status": status, "location": location}, "link": [{"relation": "receipt", "url": f"http://x/{i}"}], **more}


def bundle(*entries):
    return {"resourceType": "Bundle", "type": "transaction-response", "entry": list(entries)}


def counts(done):
    return done.resources, done.created, done.unchanged, done.failed


def equal(i):
    """The answer to an entry whose content was there."""
    answered = entry(i, "200 OK")
    answered["response"]["outcome"] = json.loads(operation_outcome([UNCHANGED]))
    return answered


def test_updated_and_unchanged_are_told_apart(tmp_path):
    absent = {"response": {"status": "204 No Content"}}
    for answers, expected in (
        ((entry(0, "201 Created"), entry(1, "200 OK"), equal(2)), (1, 1, 1)),
        ((entry(0, "204 No Content"), absent, equal(2)), (0, 1, 2)),
        ((entry(0, "200 OK"), entry(1, "200 OK"), entry(2, "200 OK")), (0, 3, 0)),
    ):
        done = pushed(Gateway(200, bundle(*answers)), tmp_path)
        assert (done.created, done.updated, done.unchanged) == expected
    replayed = pushed(Gateway(200, bundle(*(entry(i, "200 OK") for i in range(3))), {"Idempotent-Replay": "true"}), tmp_path)
    assert (replayed.updated, replayed.unchanged) == (0, 3)
    told = {"resourceType": "OperationOutcome", "issue": [{"details": {"coding": [{"system": "urn:x", "code": "unchanged"}]}}]}
    other = entry(0, "200 OK")
    other["response"]["outcome"] = told
    assert pushed(Gateway(200, bundle(other, equal(1), equal(2))), tmp_path).updated == 1, "another system's code"


def test_created_and_unchanged_are_counted_and_every_resource_has_its_receipt(tmp_path):
    gateway = Gateway(200, bundle(entry(0, "201 Created"), equal(1), entry(2, "201 Created")))
    done = pushed(gateway, tmp_path)
    assert counts(done) == (3, 2, 1, 0)
    assert done.updated == 0
    assert done.receipts == [{"record": f"Patient/{IDS[i]}", "url": f"http://x/{i}"} for i in range(3)]
    assert gateway.asked[0][:3] == ("POST", "/fhir", BUNDLE)


def test_a_replay_counts_as_unchanged_but_our_own_broken_try_does_not(tmp_path):
    told, replay = bundle(*(entry(i, "201 Created") for i in range(3))), {"Idempotent-Replay": "true"}
    assert counts(pushed(Gateway(200, told, replay), tmp_path)) == (3, 0, 3, 0)
    assert counts(pushed(Gateway(200, told, replay, retried=True), tmp_path)) == (3, 3, 0, 0)


def test_a_single_resource_has_its_receipt_in_a_link(tmp_path):
    headers = {"Location": f"http://g/fhir/Patient/{IDS[0]}/_history/1", "Link": '<http://g/a>; rel="self", <http://g/r>; rel="receipt"'}
    done = pushed(Gateway(201, {}, headers), tmp_path, RESOURCE)
    assert counts(done) == (1, 1, 0, 0)
    assert done.receipts == [{"record": f"Patient/{IDS[0]}", "url": "http://g/r"}]


OUTCOME = {
    "resourceType": "OperationOutcome",
    "issue": [{"severity": "error", "code": "required", "expression": ["Bundle.entry[1]"], "x": 1}],
}


def test_a_refused_submission_refuses_every_resource_and_says_why(tmp_path):
    done = pushed(Gateway(422, OUTCOME), tmp_path)
    assert counts(done) == (3, 0, 0, 3)
    assert done.errors == [
        {"file": str(tmp_path / "file.json"), "status": 422, "severity": "error", "code": "required", "expression": ["Bundle.entry[1]"]}
    ]


def test_a_refused_entry_of_a_batch_is_one(tmp_path):
    refused = {"response": {"status": "422 Unprocessable Entity", "outcome": OUTCOME}}
    done = pushed(Gateway(200, bundle(entry(0, "201 Created"), refused, entry(2, "201 Created"))), tmp_path)
    assert counts(done) == (3, 2, 0, 1)
    assert [error["status"] for error in done.errors] == [422]


@pytest.mark.parametrize(("status", "told"), [(500, None), (502, "<html>"), (301, {}), (200, bundle(entry(0, "201 Created"))), (200, None)])
def test_an_answer_that_makes_no_sense_is_never_a_success(tmp_path, status, told):
    done = pushed(Gateway(status, told), tmp_path)
    assert done.failed == 3 - done.created
    assert done.errors


def test_a_file_that_cannot_be_read_or_signed_is_not_sent(tmp_path):
    gateway = Gateway(200, {})
    done = pushed(gateway, tmp_path, b"{")
    assert counts(done) == (1, 0, 0, 1)
    missing = push_file(gateway, tmp_path / "none.json", now=lambda: 0)
    assert counts(missing) == (1, 0, 0, 1)
    assert gateway.asked == []
