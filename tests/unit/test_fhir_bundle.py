"""Bundles are cut into exact slices; every fault of the envelope is named."""

import json

import pytest

from fhir_adapters import InvalidInput, split_bundle

PATIENT = b'{ "resourceType" : "Patient", "x": "not looked at" }'


def bundle(*entries: bytes, kind: str = "transaction", more: bytes = b"") -> bytes:
    return b'{"resourceType":"Bundle",' + more + b'"type":"' + kind.encode() + b'", "entry" : [ ' + b" , ".join(entries) + b" ] }"


def entry(resource: bytes = PATIENT, request: bytes = b'{"method":"POST","url":"Patient"}', more: bytes = b"") -> bytes:
    return b'{"fullUrl":"urn:uuid:1", "resource": ' + resource + b' , "request":' + request + more + b"}"


def issues_of(body: bytes) -> dict[str | None, str]:
    with pytest.raises(InvalidInput) as refused:
        split_bundle(body)
    return {issue.expression: issue.code for issue in refused.value.issues}


def test_slices_are_the_exact_bytes():
    first, second = entry(), entry('{"resourceType":"Patient","id":"\\u0022 é"}'.encode())
    found = split_bundle(bundle(first, second))
    assert [e.raw for e in found.entries] == [first, second]
    assert found.entries[0].resource == PATIENT
    assert [(e.index, e.full_url, e.method, e.url) for e in found.entries] == [(i, "urn:uuid:1", "POST", "Patient") for i in (0, 1)]


def test_conditions_are_read():
    request = b'{"method":"POST","url":"Patient","ifNoneExist":"identifier=a|b","ifMatch":"W/\\"1\\""}'
    only = split_bundle(bundle(entry(request=request))).entries[0]
    assert (only.if_none_exist, only.if_match) == ("identifier=a|b", 'W/"1"')


def test_an_entry_with_rare_elements_is_taken():
    more = b',"search":{"mode":"match"},"extension":[{"url":"http://a.example","valueString":"x"}]'
    assert split_bundle(bundle(entry(more=more))).entries[0].resource == PATIENT


@pytest.mark.parametrize("kind", ["collection", "batch"])
def test_other_submissions(kind):
    assert split_bundle(bundle(entry(), kind=kind)).type == kind


def test_a_bundle_without_entries():
    assert split_bundle(b'{"resourceType":"Bundle","type":"batch"}').entries == ()


def test_the_identifier():
    body = bundle(entry(), more=b'"identifier":{"system":"urn:s","value":"v"},')
    assert split_bundle(body).identifier == ("urn:s", "v")


@pytest.mark.parametrize("kind", ["searchset", "history", "transaction-response", "batch-response"])
def test_answers_are_not_taken(kind):
    assert issues_of(bundle(entry(), kind=kind)) == {"Bundle.type": "value"}


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        pytest.param(b'{"resourceType":"Patient"}', {"resourceType": "structure"}, id="no Bundle"),
        pytest.param(b'{"resourceType":"Bundle"}', {"Bundle.type": "required"}, id="no type"),
        pytest.param(bundle(kind="x"), {"Bundle.entry": "structure"}, id="empty array"),
        pytest.param(bundle(b"1"), {"Bundle.entry[0]": "structure", "Bundle.entry[0].request": "required"}, id="entry is a number"),
        pytest.param(bundle(entry(), more=b'"colour":1,'), {"Bundle.colour": "structure"}, id="unknown element"),
        pytest.param(
            bundle(entry(), entry(more=b',"colour":1')), {"Bundle.entry[1].colour": "structure"}, id="unknown element in an entry"
        ),
        pytest.param(bundle(entry(request=b'{"url":"x"}')), {"Bundle.entry[0].request.method": "required"}, id="no method"),
        pytest.param(bundle(entry(request=b'{"method":"POST"}')), {"Bundle.entry[0].request.url": "required"}, id="no url"),
        pytest.param(bundle(entry(request=b'{"method":"GRAB","url":"x"}')), {"Bundle.entry[0].request.method": "code-invalid"}, id="verb"),
        pytest.param(bundle(b'{"fullUrl":"urn:uuid:1"}'), {"Bundle.entry[0].request": "required"}, id="no request"),
        pytest.param(bundle(b'{"request":{"method":"PUT","url":"P/1"}}'), {"Bundle.entry[0].resource": "required"}, id="nothing to write"),
        pytest.param(bundle(b'{"fullUrl":"urn:uuid:1"}', kind="collection"), {"Bundle.entry[0].resource": "required"}, id="empty release"),
        pytest.param(
            bundle(b'{"fullUrl":"a b"}', kind="collection").replace(b'"a b"', b'"a b","resource":{}'),
            {"Bundle.entry[0].fullUrl": "value"},
            id="fullUrl",
        ),
    ],
)
def test_faults_of_the_envelope(body, expected):
    assert issues_of(body) == expected


def test_all_faults_are_collected():
    found = issues_of(bundle(entry(request=b'{"method":"GRAB"}'), entry(), entry(request=b'{"url":"x"}')))
    assert set(found) == {"Bundle.entry[0].request.method", "Bundle.entry[0].request.url", "Bundle.entry[2].request.method"}


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b'{"resourceType":"Bundle","type":"batch","type":"batch"}', id="type"),
        pytest.param(bundle(entry())[:-1] + b',"entry":[' + entry() + b"]}", id="entry after"),
        pytest.param(b'{"entry":[' + entry(b'{"resourceType":"Group"}') + b"]," + bundle(entry())[1:], id="entry before"),
        pytest.param(bundle(entry(more=b',"fullUrl":"urn:uuid:2"')), id="fullUrl"),
        pytest.param(bundle(entry(more=b',"resource":{"resourceType":"Patient"}')), id="resource"),
        pytest.param(bundle(entry(request=b'{"method":"POST","url":"x","url":"x"}')), id="url"),
        pytest.param(bundle(entry(request=b'{"method":"POST","url":"\\u0022","url":"\\u0022\\u0022"}')), id="url with escaped quotes"),
        pytest.param(bundle(entry(more=b',"request":{"method":"POST","url":"x"}')), id="request"),
    ],
)
def test_a_key_given_twice_makes_it_unreadable(body):
    assert len(json.loads(body)) > 0
    with pytest.raises(InvalidInput) as refused:
        split_bundle(body)
    assert refused.value.unreadable


def test_a_document_begins_with_its_composition():
    more = b'"identifier":{"value":"1"},"timestamp":"2020-01-01T00:00:00Z",'
    plain = b'{"resource":' + PATIENT + b"}"
    assert issues_of(bundle(plain, kind="document", more=more)) == {"Bundle.entry[0]": "invariant"}
    composition = b'{"resource":{"resourceType":"Composition"}}'
    assert split_bundle(bundle(composition, plain, kind="document", more=more)).type == "document"
    assert issues_of(bundle(composition, kind="document")) == {"Bundle": "invariant"}


@pytest.mark.parametrize("body", [b"", b"{", b'{"entry":[', b'{"resourceType":"Bundle","entry":' + b"[" * 5000])
def test_what_is_no_json_is_unreadable(body):
    with pytest.raises(InvalidInput) as refused:
        split_bundle(body)
    assert refused.value.unreadable
