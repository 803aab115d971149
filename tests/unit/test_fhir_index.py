"""What is indexed of a resource, and whose compartment it is in."""

import json
from datetime import UTC, datetime

import pytest

from fhir_adapters import parse_resource
from fhir_adapters.compartment import PATIENT_COMPARTMENT
from fhir_adapters.definitions import RESOURCE_TYPES, structure
from fhir_adapters.period import seconds_covered


def at(*parts: int) -> int:
    return int(datetime(*parts, tzinfo=UTC).timestamp())


def parsed(resource_type: str, **elements):
    return parse_resource(json.dumps({"resourceType": resource_type, **elements}).encode())


def observation(**elements):
    return parsed(
        "Observation", status="final", code={"coding": [{"system": "http://loinc.org", "code": "1-8"}, {"code": "x"}]}, **elements
    )


@pytest.mark.parametrize(
    ("value", "first", "last"),
    [
        ("2020", at(2020, 1, 1), at(2021, 1, 1) - 1),
        ("2020-02", at(2020, 2, 1), at(2020, 3, 1) - 1),
        ("2020-12", at(2020, 12, 1), at(2021, 1, 1) - 1),
        ("2020-02-29", at(2020, 2, 29), at(2020, 3, 1) - 1),
        ("1969-12-31T23:59:59Z", -1, -1),
        ("1969-12-31T23:59:59.5Z", -1, -1),
        ("1970-01-01T01:00:00.1234567+01:00", 0, 0),
        ("2016-12-31T23:59:60Z", at(2017, 1, 1), at(2017, 1, 1)),
        ("9999", at(9999, 1, 1), at(9999, 12, 31, 23, 59, 59)),
        ("0001-01-01T00:00:00+14:00", at(1, 1, 1) - 14 * 3600, at(1, 1, 1) - 14 * 3600),
    ],
)
def test_seconds_covered(value, first, last):
    assert seconds_covered(value) == (first, last)


@pytest.mark.parametrize(
    ("elements", "expected"),
    [
        ({"effectiveDateTime": "2020-01-01"}, (at(2020, 1, 1), at(2020, 1, 2) - 1)),
        ({"effectiveInstant": "2020-01-01T00:00:00Z"}, (at(2020, 1, 1), at(2020, 1, 1))),
        ({"effectivePeriod": {"start": "2020-01", "end": "2020-02"}}, (at(2020, 1, 1), at(2020, 3, 1) - 1)),
        ({"effectivePeriod": {"start": "2020"}}, (at(2020, 1, 1), None)),
        ({"effectiveTiming": {"event": ["2021", "2020"]}}, (at(2020, 1, 1), at(2022, 1, 1) - 1)),
        ({"effectiveTiming": {"repeat": {"boundsPeriod": {"end": "2020"}}}}, (None, at(2021, 1, 1) - 1)),
        ({"issued": "2020-01-01T00:00:00Z"}, (at(2020, 1, 1), at(2020, 1, 1))),
        ({}, (None, None)),
    ],
)
def test_the_effective_period_of_an_observation(elements, expected):
    index = observation(**elements).index
    assert (index.start, index.end) == expected


def test_other_effective_periods():
    coded = {"code": {"text": "x"}, "subject": {"reference": "Patient/1"}}
    ended = parsed("Condition", onsetDateTime="2019", abatementDateTime="2020", recordedDate="2021", **coded).index
    assert (ended.start, ended.end) == (at(2019, 1, 1), at(2021, 1, 1) - 1)
    assert parsed("Condition", recordedDate="2021", **coded).index.start == at(2021, 1, 1)
    appointment = parsed(
        *("Appointment",),
        status="booked",
        start="2020-01-01T00:00:00Z",
        end="2020-01-01T01:00:00Z",
        participant=[{"status": "accepted", "actor": {"reference": "Patient/1"}}],
    )
    assert (appointment.index.start, appointment.index.end) == (at(2020, 1, 1), at(2020, 1, 1, 1))
    assert appointment.patients == ("Patient/1",)


def test_codes_category_and_identifiers():
    found = observation(
        category=[{"coding": [{"system": "urn:c", "code": "laboratory"}]}], identifier=[{"system": "urn:s", "value": "1"}]
    ).index
    assert found.codes == (("http://loinc.org", "1-8"), (None, "x"))
    assert (found.category, found.categories) == ("laboratory", ("laboratory",))
    several = [{"coding": [{"code": "a"}, {"system": "urn:c", "code": "b"}]}, {"text": "none"}, {"coding": [{"code": "c"}, {"code": "a"}]}]
    assert parsed("Observation", status="final", code={"text": "x"}, category=several).index.categories == ("a", "b", "c")
    assert found.identifiers == (("urn:s", "1"),)
    assert parsed("AllergyIntolerance", patient={"reference": "Patient/1"}, category=["food"]).index.category == "food"
    medication = parsed(
        *("MedicationRequest",),
        status="active",
        intent="order",
        subject={"reference": "Patient/1"},
        medicationCodeableConcept={"coding": [{"code": "m"}]},
    )
    assert medication.index.codes == ((None, "m"),)


def test_a_patients_demographics():
    found = parsed("Patient", birthDate="1980-05", gender="other", name=[{"family": "B", "given": ["A", "C"]}, {"text": "D"}])
    assert (found.index.birth_date, found.index.gender, found.index.names) == ("1980-05", "other", ("B", "A", "C", "D"))
    assert found.patients == ()


def test_a_null_padded_name_is_read():
    extension = {"extension": [{"url": "urn:x", "valueCode": "y"}]}
    assert parsed("Patient", name=[{"given": [None, "A"], "_given": [extension, None]}]).index.names == ("A",)


def test_the_compartment_lists_the_subject_first_and_each_once():
    found = observation(subject={"reference": "Patient/2"}, performer=[{"reference": "Patient/1"}, {"reference": "Patient/2"}])
    assert found.patients == ("Patient/2", "Patient/1")


@pytest.mark.parametrize(
    ("reference", "is_candidate"),
    [
        ({"reference": "Patient/1"}, True),
        ({"reference": "Patient?identifier=a|b"}, True),
        ({"reference": "urn:uuid:1"}, True),
        ({"reference": "urn:uuid:1", "type": "Patient"}, True),
        ({"reference": "urn:uuid:1", "type": "Group"}, False),
        ({"reference": "http://a.example/fhir/Patient/1"}, True),
        ({"reference": "http://a.example/fhir/Patient/1/_history/2"}, True),
        ({"reference": "http://a.example/fhir/Group/1"}, False),
        ({"reference": "http://a.example"}, True),
        ({"reference": "Group/1"}, False),
        ({"display": "somebody"}, False),
    ],
)
def test_who_may_be_the_patient(reference, is_candidate):
    assert bool(observation(subject=reference).patients) is is_candidate


def test_every_element_of_the_compartment_is_a_reference():
    assert PATIENT_COMPARTMENT.keys() <= RESOURCE_TYPES
    for resource_type, paths in PATIENT_COMPARTMENT.items():
        for path in paths:
            element = None
            for name in path.split("."):
                element = structure(element.type if element else resource_type).elements[name]
            assert element.type == "Reference", (resource_type, path)
            assert not element.targets or "Patient" in element.targets, (resource_type, path)
