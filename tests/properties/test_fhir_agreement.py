"""The fast path and the explaining one judge alike, whatever is done to a resource that was right."""

import copy
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_adapters import InvalidInput, parse_resource
from fhir_adapters.canonical import canonical, is_doubtful
from fhir_adapters.document import read_document
from fhir_adapters.explain import faults
from fhir_adapters.resource import _STRICT

NARRATIVE = {"status": "generated", "div": '<div xmlns="http://www.w3.org/1999/xhtml"><p class="a">b</p></div>'}
RESOURCES = [
    {
        "resourceType": "Patient",
        "id": "a",
        "meta": {"profile": ["http://p.example"], "versionId": "1"},
        "text": NARRATIVE,
        "extension": [{"url": "urn:x", "extension": [{"url": "y", "valueCoding": {"system": "urn:s", "code": "c"}}]}],
        "identifier": [{"use": "usual", "system": "urn:s", "value": "1", "period": {"start": "2020", "end": "2021-01-01T00:00:00Z"}}],
        "active": True,
        "name": [{"family": "A", "given": ["B", "C"], "_family": {"id": "f"}}],
        "telecom": [{"system": "phone", "value": "1", "rank": 1}],
        "birthDate": "1980-01-01",
        "deceasedBoolean": False,
        "multipleBirthInteger": 2,
        "photo": [{"contentType": "image/png", "data": "YQ==", "size": 1}],
        "contact": [{"name": {"text": "x"}}],
        "contained": [{"resourceType": "Organization", "id": "o", "name": "O"}],
        "managingOrganization": {"reference": "#o"},
        "communication": [{"language": {"text": "de"}, "preferred": True}],
        "link": [{"other": {"reference": "Patient/2"}, "type": "seealso"}],
    },
    {
        "resourceType": "Observation",
        "status": "final",
        "category": [{"coding": [{"system": "urn:s", "code": "laboratory", "userSelected": False}]}],
        "code": {"coding": [{"system": "http://loinc.org", "code": "1-8"}], "text": "x"},
        "subject": {"reference": "Patient/1", "type": "Patient", "identifier": {"value": "1"}},
        "effectivePeriod": {"start": "2020-01-01T00:00:00+01:00"},
        "issued": "2020-01-01T00:00:00.5Z",
        "performer": [{"reference": "urn:uuid:1"}],
        "valueQuantity": {"value": 1.5, "unit": "mg", "system": "urn:u", "code": "mg", "comparator": "<"},
        "referenceRange": [{"low": {"value": 1}, "appliesTo": [{"text": "x"}]}],
        "component": [
            {"code": {"text": "y"}, "valueString": "z"},
            {"code": {"text": "y"}, "valueSampledData": {"origin": {"value": 0}, "period": 1.0, "dimensions": 1, "data": "E"}},
        ],
    },
    {
        "resourceType": "Claim",
        "status": "active",
        "type": {"text": "x"},
        "use": "claim",
        "patient": {"reference": "Patient/1"},
        "created": "2020",
        "provider": {"reference": "Organization/1"},
        "priority": {"text": "x"},
        "insurance": [{"sequence": 1, "focal": True, "coverage": {"reference": "Coverage/1"}}],
        "item": [
            {
                "sequence": 1,
                "productOrService": {"text": "x"},
                "net": {"value": 1.50, "currency": "EUR"},
                "encounter": [{"reference": "Encounter/1"}],
                "servicedDate": "2020",
            }
        ],
    },
    {
        "resourceType": "Parameters",
        "parameter": [{"name": "a", "valueDecimal": 1.0}, {"name": "b", "resource": {"resourceType": "Basic", "code": {"text": "x"}}}],
    },
]
VALUES = st.sampled_from(
    [
        *(None, True, False, 0, 1, -1, 2**31, 1.5, 1e300, "", "x", "a b", " x", "\x00", "\b", "YQ", "null {} [] \\u0000 \\\\b"),
        *("2020-02-30", "2020", "2020-01-01T00:00:00", "Group/1", "Patient/1", "#x", "#o", "urn:uuid:1"),
        *([], {}, [None], [{}], ["x", None], [[]], {"id": "x"}, {"reference": "#q"}, {"coding": [{"code": "1-8"}]}),
        {"extension": [{"url": "urn:x", "valueString": "y"}]},
        "<div xmlns='http://www.w3.org/1999/xhtml'><script/></div>",
    ]
)
KEYS = st.sampled_from(
    [
        *("gender", "status", "colour", "_status", "_gender", "_given", "given", "valueString", "_valueString", "valueBoolean"),
        *("extension", "id", "meta", "reference", "resourceType", "contained", "system", "value", "text", "end", "dataAbsentReason"),
        *("url", "code", "deceasedDateTime", "language"),
    ]
)


def places(value, found):
    if isinstance(value, dict | list):
        found.append(value)
        for child in value.values() if isinstance(value, dict) else value:
            places(child, found)
    return found


@st.composite
def damaged(draw):
    document = copy.deepcopy(draw(st.sampled_from(RESOURCES)))
    for _ in range(draw(st.integers(0, 3))):
        place = draw(st.sampled_from(places(document, [])))
        deed = draw(st.sampled_from(["set", "drop", "add", "wrap"]))
        if isinstance(place, dict):
            key = draw(KEYS if deed == "add" or not place else st.sampled_from(sorted(place)))
        else:
            key = draw(st.integers(0, max(0, len(place) - 1)))
        if deed == "add" and isinstance(place, list):
            place.append(copy.deepcopy(draw(VALUES)))
        elif deed == "drop" and place:
            del place[key]
        elif isinstance(place, dict) or place:
            place[key] = [place[key]] if deed == "wrap" and (isinstance(place, list) or key in place) else copy.deepcopy(draw(VALUES))
    return json.dumps(document).encode()


def is_taken_fast(raw: bytes) -> bool:
    try:
        struct = _STRICT.decode(raw)
    except (ValueError, RecursionError):
        return False
    return not is_doubtful(raw, canonical(struct, type(struct).__name__))


@given(damaged())
def test_what_the_fast_path_takes_has_no_fault(raw):
    if is_taken_fast(raw):
        found = [issue for issue in faults(read_document(raw)) if not issue.diagnostics.startswith("ref-1")]
        assert not found, found


@given(damaged())
def test_a_resource_is_taken_exactly_if_it_has_no_fault(raw):
    found = faults(read_document(raw))
    if found:
        with pytest.raises(InvalidInput) as refused:
            parse_resource(raw)
        assert list(refused.value.issues) == found
    else:
        content = parse_resource(raw).content({})
        assert json.loads(content)["resourceType"] == json.loads(raw)["resourceType"]


@pytest.mark.parametrize("resource", RESOURCES, ids=lambda r: r["resourceType"])
def test_the_undamaged_ones_take_the_fast_path(resource):
    assert is_taken_fast(json.dumps(resource).encode())
