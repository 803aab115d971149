"""Canonical bytes, the head the gateway gives them, and references rewritten in them."""

import json

from fhir_adapters import parse_resource, standard_bytes

GIVEN = ("0" * 32, 3, "2020-01-02T03:04:05.678Z", 'urn:"x"')
HEAD = b'"id":"' + b"0" * 32 + b'","meta":{"versionId":"3","lastUpdated":"2020-01-02T03:04:05.678Z","source":"urn:\\"x\\""'


def standard(raw: bytes, rewrites: dict[str, str] | None = None) -> bytes:
    resource = parse_resource(raw)
    return standard_bytes(resource, resource.content(rewrites or {}), *GIVEN)


def test_keys_are_sorted_and_white_space_goes():
    raw = b'{ "gender" : "male" ,\n"name":[{"use":"usual" , "family":"B","_family":{"id":"x"}}], "resourceType":"Patient" , "active":true }'
    assert parse_resource(raw).content({}) == (
        b'{"resourceType":"Patient","meta":{},"active":true,"gender":"male","name":[{"_family":{"id":"x"},"family":"B","use":"usual"}]}'
    )


def test_the_head_is_the_gateways():
    raw = b'{"resourceType":"Patient","id":"mine","meta":{"versionId":"9","lastUpdated":"2019-01-01T00:00:00Z","source":"urn:y"},"active":true}'
    assert parse_resource(raw).source_id == "mine"
    assert standard(raw) == b'{"resourceType":"Patient",' + HEAD + b'},"active":true}'


def test_claimed_meta_stays():
    raw = (
        b'{"resourceType":"Patient","meta":{"tag":[{"code":"t"}],"versionId":"9","profile":["http://p.example"],"security":[{"code":"R"}]}}'
    )
    claims = b'"profile":["http://p.example"],"security":[{"code":"R"}],"tag":[{"code":"t"}]}'
    assert parse_resource(raw).content({}) == b'{"resourceType":"Patient","meta":{' + claims + b"}"
    assert standard(raw) == b'{"resourceType":"Patient",' + HEAD + b"," + claims + b"}"


def test_content_does_not_depend_on_id_version_time_source_or_layout():
    one = b'{"resourceType":"Patient","id":"a","meta":{"versionId":"1"},"active":true,"gender":"male"}'
    two = b'{"gender":"male","active":true , "id":"b","resourceType":"Patient"}'
    assert parse_resource(one).content({}) == parse_resource(two).content({})


def test_an_empty_resource():
    assert parse_resource(b'{"resourceType":"Patient"}').content({}) == b'{"resourceType":"Patient","meta":{}}'
    assert json.loads(standard(b'{"resourceType":"Patient"}'))["meta"]["versionId"] == "3"


def test_numbers_stay_as_they_were_spelled():
    for spelled in (b"1.50", b"1e2", b"-0.0", b"0.000", b"1E+2", b"100000000000000000000.10"):
        raw = b'{"resourceType":"Observation","status":"final","code":{"text":"x"},"valueQuantity":{"value": ' + spelled + b" }}"
        assert b'"value":' + spelled + b"}" in parse_resource(raw).content({})


def test_strings_take_their_shortest_escapes():
    raw = b'{"resourceType":"Patient","name":[{"text":"\\u00e9\\/\\u0022\\u000a\\ud83d\\ude00\\u007f"}]}'
    assert '"text":"é/\\"\\n\U0001f600\x7f"'.encode() in parse_resource(raw).content({})


def test_contained_resources_are_canonical_too():
    raw = b'{"resourceType":"Patient","contained":[{"gender":"male","id":"1","resourceType":"Patient"}]}'
    assert b'"contained":[{"resourceType":"Patient","gender":"male","id":"1"}]' in parse_resource(raw).content({})


def provenance(*targets: str) -> bytes:
    return json.dumps(
        {
            "resourceType": "Provenance",
            "contained": [{"resourceType": "Patient", "id": "p"}],
            "target": [{"reference": target} for target in targets],
            "recorded": "2020-01-01T00:00:00Z",
            "agent": [{"who": {"reference": "#p", "display": 'says "reference":"A/1" and \\'}}],
        }
    ).encode()


def rewritten(resource, rewrites: dict[str, str]) -> list[str]:
    return [target["reference"] for target in json.loads(resource.content(rewrites))["target"]]


def test_references_are_listed_once_in_document_order():
    resource = parse_resource(provenance("Patient/1", "urn:uuid:1", "Patient/1", "Practitioner?identifier=urn:s|v"))
    assert resource.references == ("#p", "Patient/1", "urn:uuid:1", "Practitioner?identifier=urn:s|v")


def test_rewriting_touches_references_alone_and_all_at_once():
    resource = parse_resource(provenance("Patient/1", "Patient/2", "Patient/11", "Patient/1"))
    swapped = resource.content({"Patient/1": "Patient/2", "Patient/2": "Patient/1", "#p": "Patient/3", "A/1": "B/1"})
    assert [t["reference"] for t in json.loads(swapped)["target"]] == ["Patient/2", "Patient/1", "Patient/11", "Patient/2"]
    assert json.loads(swapped)["agent"] == json.loads(resource.content({}))["agent"]


def test_references_with_escapes():
    odd = 'urn:a"b\\c"'
    resource = parse_resource(provenance(odd, "urn:x\\"))
    assert resource.references[1:] == (odd, "urn:x\\")
    assert rewritten(resource, {odd: 'urn:"'}) == ['urn:"', "urn:x\\"]


def test_a_uri_called_reference_is_no_reference():
    raw = (
        b'{"resourceType":"Immunization","status":"completed","vaccineCode":{"text":"x"},"patient":{"reference":"Patient/1"},'
        b'"occurrenceString":"x","education":[{"reference":"Patient/1"}],'
        b'"extension":[{"url":"urn:x","valueExpression":{"language":"text/cql","reference":"Patient/1"}}]}'
    )
    resource = parse_resource(raw)
    assert resource.references == ("Patient/1",)
    found = json.loads(resource.content({"Patient/1": "Patient/2"}))
    assert found["patient"] == {"reference": "Patient/2"}
    assert found["education"] == [{"reference": "Patient/1"}]
    assert found["extension"][0]["valueExpression"]["reference"] == "Patient/1"
    assert b'": ' not in resource.content({})


def test_an_element_of_type_reference_called_reference():
    raw = (
        b'{"resourceType":"Consent","status":"active","scope":{"text":"x"},"category":[{"text":"x"}],'
        b'"provision":{"data":[{"meaning":"instance","reference":{"reference":"Observation/1"}}]}}'
    )
    assert b'"reference":{"reference":"Observation/2"}' in parse_resource(raw).content({"Observation/1": "Observation/2"})


def test_a_bundle_that_is_kept_whole_keeps_its_references():
    raw = (
        b'{"resourceType":"Bundle","type":"collection","entry":[{"fullUrl":"urn:uuid:1","resource":{"resourceType":"Basic",'
        b'"code":{"text":"x"},"subject":{"reference":"urn:uuid:1"}}}]}'
    )
    resource = parse_resource(raw)
    assert resource.references == ()
    assert b'"urn:uuid:1"}' in resource.content({"urn:uuid:1": "Patient/1"})
