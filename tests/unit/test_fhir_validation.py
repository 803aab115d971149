"""Seeded faults: each is refused with its code and its FHIRPath, and no value is repeated."""

import json
from concurrent.futures import ThreadPoolExecutor

import pytest

from fhir_adapters import InvalidInput, Issue, operation_outcome, parse_resource, warm

PATIENT = {"resourceType": "Patient", "gender": "female", "birthDate": "1980-02-29", "name": [{"family": "Secret", "given": ["Ann"]}]}
OBSERVATION = {
    "resourceType": "Observation",
    "status": "final",
    "code": {"coding": [{"system": "http://loinc.org", "code": "8302-2"}]},
    "subject": {"reference": "Patient/1"},
}
DIV = '<div xmlns="http://www.w3.org/1999/xhtml">{}</div>'


def patient(**changed):
    return json.dumps({**PATIENT, **changed}).encode()


def observation(**changed):
    return json.dumps({k: v for k, v in {**OBSERVATION, **changed}.items() if v != "-"}).encode()


def claim(**item):
    """A Claim whose item has `item` in it."""
    return json.dumps(
        {
            "resourceType": "Claim",
            "status": "active",
            "type": {"text": "x"},
            "use": "claim",
            "created": "2020",
            "priority": {"text": "x"},
            "patient": {"reference": "Patient/1"},
            "provider": {"reference": "Organization/1"},
            "insurance": [{"sequence": 1, "focal": True, "coverage": {"reference": "Coverage/1"}}],
            "item": [{"sequence": 1, "productOrService": {"text": "x"}, **item}],
        }
    ).encode()


def narrative(inner: str):
    return patient(text={"status": "generated", "div": DIV.format(inner)})


def issues_of(raw: bytes) -> list[Issue]:
    with pytest.raises(InvalidInput) as refused:
        parse_resource(raw)
    return list(refused.value.issues)


def number(text: str, element: str = "valueQuantity") -> bytes:
    return observation(valueQuantity={"value": "@"}).replace(b'"@"', text.encode())


def test_what_is_right_is_taken():
    assert parse_resource(patient()).type == "Patient"
    assert parse_resource(observation()).type == "Observation"
    assert parse_resource(narrative("fine <b>text</b>")).type == "Patient"


@pytest.mark.parametrize(
    ("raw", "code", "expression"),
    [
        pytest.param(patient(gender="x"), "code-invalid", "Patient.gender", id="code"),
        pytest.param(observation(status="done"), "code-invalid", "Observation.status", id="code of a list that the models cut short"),
        pytest.param(patient(active="true"), "structure", "Patient.active", id="string for a boolean"),
        pytest.param(patient(active=1), "structure", "Patient.active", id="number for a boolean"),
        pytest.param(patient(gender=None), "structure", "Patient.gender", id="null"),
        pytest.param(patient(name=[]), "structure", "Patient.name", id="empty array"),
        pytest.param(patient(name=[None]), "structure", "Patient.name[0]", id="null in an array"),
        pytest.param(patient(name=[{"given": [None]}]), "structure", "Patient.name[0].given[0]", id="null without extension"),
        pytest.param(patient(name=[{}]), "structure", "Patient.name[0]", id="empty object"),
        pytest.param(patient(meta={}), "structure", "Patient.meta", id="empty meta"),
        pytest.param(patient(name={"family": "x"}), "structure", "Patient.name", id="object for an array"),
        pytest.param(patient(maritalStatus="M"), "structure", "Patient.maritalStatus", id="string for an object"),
        pytest.param(patient(gender=["male"]), "structure", "Patient.gender", id="array for a value"),
        pytest.param(patient(id="a" * 65), "value", "Patient.id", id="long id"),
        pytest.param(patient(id="a_b"), "value", "Patient.id", id="id with underscore"),
        pytest.param(patient(id="a\n"), "value", "Patient.id", id="id with newline"),
        pytest.param(patient(birthDate="2020-02-30"), "value", "Patient.birthDate", id="impossible date"),
        pytest.param(patient(birthDate="2019-02-29"), "value", "Patient.birthDate", id="no leap year"),
        pytest.param(patient(birthDate="2020-1-1"), "value", "Patient.birthDate", id="short date"),
        pytest.param(observation(effectiveDateTime="2020-01-01T10:00:00"), "value", "Observation.effectiveDateTime", id="no zone"),
        pytest.param(observation(effectiveDateTime="2020-01-01T10:00Z"), "value", "Observation.effectiveDateTime", id="no seconds"),
        pytest.param(observation(issued="2020-01-01"), "value", "Observation.issued", id="date for an instant"),
        pytest.param(observation(status="-"), "required", "Observation.status", id="no status"),
        pytest.param(observation(code="-"), "required", "Observation.code", id="no code"),
        pytest.param(observation(valueString="a", valueBoolean=True), "structure", "Observation.value", id="two values"),
        pytest.param(observation(colour="red"), "structure", "Observation.colour", id="unknown element"),
        pytest.param(observation(**{"a b <x>": "red"}), "structure", "Observation.?", id="odd element"),
        pytest.param(patient(_name=[{"id": "x"}]), "structure", "Patient._name", id="extension of what is no primitive"),
        pytest.param(observation(resourceType="Observations"), "structure", "resourceType", id="unknown type"),
        pytest.param(b'{"id":"1"}', "required", "resourceType", id="no type"),
        pytest.param(observation(resourceType="MedicinalProduct"), "not-supported", None, id="a type that R4B dropped"),
        pytest.param(observation(subject={"reference": "Encounter/1"}), "structure", "Observation.subject.reference", id="wrong target"),
        pytest.param(
            observation(subject={"reference": "http://a.example/fhir/Encounter/1"}),
            "structure",
            "Observation.subject.reference",
            id="wrong absolute target",
        ),
        pytest.param(
            observation(subject={"reference": "Encounter?identifier=1"}),
            "structure",
            "Observation.subject.reference",
            id="wrong conditional target",
        ),
        pytest.param(observation(subject={"reference": "somebody"}), "value", "Observation.subject.reference", id="no reference"),
        pytest.param(observation(subject={"reference": "#p"}), "invariant", "Observation", id="nothing contained"),
        pytest.param(
            observation(valueQuantity={"value": "1.5"}), "structure", "Observation.valueQuantity.value", id="string for a decimal"
        ),
        pytest.param(number("1e4000"), "value", "Observation.valueQuantity.value", id="huge exponent"),
        pytest.param(number("9" * 70), "value", "Observation.valueQuantity.value", id="huge number"),
        pytest.param(observation(valueInteger=2**31), "value", "Observation.valueInteger", id="33 bits"),
        pytest.param(observation(valueInteger="@").replace(b'"@"', b"-0"), "value", "Observation.valueInteger", id="minus zero"),
        pytest.param(
            observation(valueInteger="@").replace(b'"@"', b"1.0"), "value", "Observation.valueInteger", id="integer with a fraction"
        ),
        pytest.param(observation(valueInteger="@").replace(b'"@"', b"9" * 5000), "value", "Observation.valueInteger", id="5000 digits"),
        pytest.param(
            observation(valueQuantity={"value": 1, "code": "mg"}), "invariant", "Observation.valueQuantity", id="code without system"
        ),
        pytest.param(patient(photo=[{"contentType": "image/png", "data": "a$b="}]), "value", "Patient.photo[0].data", id="bad base64"),
        pytest.param(
            patient(photo=[{"contentType": "image/png", "data": "YQ"}]), "value", "Patient.photo[0].data", id="base64 without padding"
        ),
        pytest.param(patient(photo=[{"data": "YQ=="}]), "invariant", "Patient.photo[0]", id="data without contentType"),
        pytest.param(patient(implicitRules="a b"), "value", "Patient.implicitRules", id="space in a uri"),
        pytest.param(patient(language=" de"), "value", "Patient.language", id="space before a code"),
        pytest.param(patient(name=[{"family": ""}]), "value", "Patient.name[0].family", id="empty string"),
        pytest.param(patient(name=[{"family": "a\x00b"}]), "value", "Patient.name[0].family", id="NUL"),
        pytest.param(patient(name=[{"family": "a\x1bb"}]), "value", "Patient.name[0].family", id="escape character"),
        pytest.param(patient(name=[{"family": "a\bb"}]), "value", "Patient.name[0].family", id="backspace"),
        pytest.param(
            patient(name=[{"period": {"start": "2021", "end": "2020"}}]), "invariant", "Patient.name[0].period", id="period backwards"
        ),
        pytest.param(patient(extension=[{"valueString": "x"}]), "required", "Patient.extension[0].url", id="extension without url"),
        pytest.param(patient(extension=[{"url": "urn:x"}]), "invariant", "Patient.extension[0]", id="extension without value"),
        pytest.param(
            patient(extension=[{"url": "urn:x", "valueString": "x", "extension": [{"url": "y", "valueString": "z"}]}]),
            *("invariant", "Patient.extension[0]"),
            id="extension with both",
        ),
        pytest.param(patient(contained=[{"resourceType": "Organization"}]), "invariant", "Patient", id="contained without id"),
        pytest.param(
            patient(contained=[{"resourceType": "Nothing", "id": "1"}]),
            "structure",
            "Patient.contained[0].resourceType",
            id="contained type",
        ),
        pytest.param(
            patient(contained=[{"resourceType": "Patient", "id": "1", "gender": "x"}]),
            "code-invalid",
            "Patient.contained[0].gender",
            id="contained code",
        ),
        pytest.param(narrative("<script>alert(1)</script>"), "invariant", "Patient.text.div", id="script"),
        pytest.param(narrative('<p onclick="x()">a</p>'), "invariant", "Patient.text.div", id="event handler"),
        pytest.param(narrative('<a href=" java\tscript:x()">a</a>'), "invariant", "Patient.text.div", id="javascript address"),
        pytest.param(narrative("<b>a"), "invariant", "Patient.text.div", id="not well-formed"),
    ],
)
def test_a_seeded_fault(raw, code, expression):
    assert (code, expression) in [(issue.code, issue.expression) for issue in issues_of(raw)]


@pytest.mark.parametrize(
    ("raw", "expression"),
    [
        pytest.param(b'{"resourceType":"Patient","gender":"male","gender":"male"}', "Patient.gender", id="same value"),
        pytest.param(b'{"resourceType":"Patient","name":[{"text":"a","family":"b","text":"c"}]}', "Patient.name[0].text", id="nested"),
        pytest.param(b'{"resourceType":"Patient","active":true,"active":false}', "Patient.active", id="no strings"),
        pytest.param(b'{"resourceType":"Patient","id":"1","id":"1"}', "Patient.id", id="id"),
        pytest.param(b'{"resourceType":"Patient","resourceType":"Patient"}', "Patient.resourceType", id="type"),
        pytest.param(b'{"resourceType":"Patient","meta":{"source":"a"},"meta":{"source":"b"}}', "Patient.meta", id="meta"),
        pytest.param(b'{"resourceType":"Patient","meta":{"source":"a","source":"b"}}', "Patient.meta.source", id="what the gateway sets"),
        pytest.param(b'{"resourceType":"Patient","gender":"male","\\u0067ender":"male"}', "Patient.gender", id="spelled with an escape"),
        pytest.param(
            b'{"resourceType":"Patient","active":true,"active":true,"name":[{"text":"\\u0022\\u0022 and \\" "}]}',
            *("Patient.active",),
            id="quotes lost and found",
        ),
    ],
)
def test_a_key_given_twice_is_found_at_any_level(raw, expression):
    with pytest.raises(InvalidInput) as refused:
        parse_resource(raw)
    assert refused.value.unreadable
    assert expression in [issue.expression for issue in refused.value.issues]


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(patient(name=[{"text": 'says "so"'}]), id="quotes"),
        pytest.param(b'{"resourceType":"Patient","name":[{"text":"\\u0022"}]}', id="quotes written as escapes"),
        pytest.param(patient(name=[{"text": '{} [] null "" \\ \\b'}]), id="text that looks like structure"),
        pytest.param(patient(name=[{"text": "line\nbreak\ttab\r\n"}]), id="allowed control characters"),
        pytest.param(
            patient(name=[{"given": ["a", None], "_given": [None, {"extension": [{"url": "urn:x", "valueCode": "y"}]}]}]), id="null-padded"
        ),
        pytest.param(
            observation(status="-", _status={"extension": [{"url": "urn:x", "valueCode": "y"}]}), id="required by extension alone"
        ),
        pytest.param(patient(_birthDate={"id": "a"}), id="id of a primitive"),
        pytest.param(patient(extension=[{"url": "urn:x", "_valueString": {"id": "a"}}]), id="value by extension alone"),
        pytest.param(patient(birthDate="2000-02-29"), id="leap century"),
        pytest.param(observation(effectiveDateTime="2016-12-31T23:59:60Z"), id="leap second"),
        pytest.param(observation(effectiveDateTime="2020"), id="a year"),
        pytest.param(observation(subject={"reference": "Patient?identifier=urn:s|v"}), id="conditional reference"),
        pytest.param(observation(subject={"reference": "http://a.example/anything"}), id="an address that shows no type"),
        pytest.param(observation(subject={"reference": "#p"}, contained=[{"resourceType": "Patient", "id": "p"}]), id="contained"),
        pytest.param(patient(photo=[{"contentType": "image/png", "data": "YW\nI="}]), id="base64 over two lines"),
        pytest.param(narrative('<img src="data:image/png;base64,AAAA" alt="a"/>&#160;<a href="#x">y</a>'), id="harmless narrative"),
        pytest.param(narrative(""), id="empty narrative"),
        pytest.param(claim(diagnosisSequence=[1, 2]), id="array of numbers"),
        pytest.param(claim(diagnosisSequence=[1, 2], _sequence={"id": "a"}), id="array of numbers beside an extended primitive"),
        pytest.param(claim(diagnosisSequence=[1, None], _diagnosisSequence=[None, {"id": "a"}]), id="null-padded numbers"),
    ],
)
def test_what_looks_odd_and_is_right(raw):
    assert parse_resource(raw).content({}).startswith(b'{"resourceType":"')


def test_all_faults_are_collected():
    raw = patient(gender="x", birthDate="2020-02-30", colour=1, name=[{"use": "x"}, {"family": 1}])
    assert {issue.expression for issue in issues_of(raw)} == {
        *("Patient.gender", "Patient.birthDate", "Patient.colour", "Patient.name[0].use", "Patient.name[1].family")
    }


def test_values_are_not_repeated():
    raw = patient(gender="Secret", birthDate="Secret", **{"Secret\u202e": 1}, name=[{"family": ["Secret"]}], active="Secret")
    with pytest.raises(InvalidInput) as refused:
        parse_resource(raw)
    assert "Secret" not in str(refused.value)
    assert b"Secret" not in operation_outcome(refused.value.issues)
    assert "Secret" not in repr(parse_resource(patient()))


@pytest.mark.parametrize("levels", [60, 200, 2000, 100_000])
def test_levels_without_end_are_a_fault_and_no_crash(levels):
    raw = b'{"resourceType":"Patient","extension":' + b'[{"url":"urn:x","extension":' * levels + b"[]" + b"}]" * levels + b"}"
    assert issues_of(raw)


@pytest.mark.parametrize("raw", [b"", b"null", b"[]", b"{", b'{"resourceType":"Patient"} x', b'{"resourceType":"Patient","id":"\xff"}'])
def test_what_is_no_json_object_is_unreadable(raw):
    with pytest.raises(InvalidInput) as refused:
        parse_resource(raw)
    assert refused.value.unreadable


def test_threads_may_ask_for_the_same_type_at_once():
    with ThreadPoolExecutor(8) as pool:
        kinds = list(
            pool.map(
                lambda _: parse_resource(b'{"resourceType":"Linkage","item":[{"type":"source","resource":{"display":"x"}}]}').type,
                range(32),
            )
        )
    assert kinds == ["Linkage"] * 32


def test_types_can_be_compiled_beforehand():
    warm(["Patient", "Observation"])
    with pytest.raises(ValueError, match="no type that is known"):
        warm(["MedicinalProduct"])
