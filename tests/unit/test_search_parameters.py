"""What a search asks for, and what is refused."""

import pytest

from fhir_adapters.issue import InvalidInput
from gateway.search.parse import MOST, DateBound, Token, parse_everything, parse_search

DAY = 86_400


def parsed(*given, kind="Observation", strict=False):
    return parse_search(kind, given, strict=strict)


def refusal(*given, kind="Observation", strict=False):
    with pytest.raises(InvalidInput) as caught:
        parsed(*given, kind=kind, strict=strict)
    assert caught.value.unreadable
    return caught.value.issues[0].code


def test_every_parameter_that_is_known():
    found = parsed(
        ("_id", "a,b"), ("patient", "Patient/1"), ("subject:Patient", "2"), ("identifier", "urn:x|1,|2"), ("code", "http://loinc.org|8302-2,x"),
        ("category", "laboratory"), ("date", "ge1970-01-02"), ("_count", "7"),
    )  # fmt: skip
    assert (found.ids, found.patients) == ((("a", "b"),), (("Patient/1",), ("2",)))
    assert found.identifiers == ((Token("urn:x", "1"), Token("", "2")),)
    assert found.codes == ((Token("http://loinc.org", "8302-2"), Token(None, "x")),)
    assert (found.categories, found.dates) == (((Token(None, "laboratory"),),), ((DateBound("ge", DAY, 2 * DAY - 1),),))
    assert (found.count, len(found.used)) == (7, 8)


@pytest.mark.parametrize(
    ("text", "bound"),
    [
        ("1970", DateBound("eq", 0, 365 * DAY - 1)),
        ("gt1970-01", DateBound("gt", 0, 31 * DAY - 1)),
        ("lt1970-01-01T01:00:00+01:00", DateBound("lt", 0, 0)),
        ("le1970-01-01T01:00:00 01:00", DateBound("le", 0, 0)),
    ],
)
def test_dates_cover_what_they_say(text, bound):
    assert parsed(("date", text)).dates == ((bound,),)


@pytest.mark.parametrize(
    "text", ["", "yesterday", "ne2020", "ap2020", "2020-02-30", "2020-13", "2020-01-01T10:00", "20200101", "ge", "٢٠٢٠"]
)
def test_other_dates_are_refused(text):
    assert refusal(("date", text)) == "value"


@pytest.mark.parametrize(
    ("name", "value", "code"),
    [
        ("identifier", "4711", "not-supported"),
        ("identifier", "urn:x|", "value"),
        ("identifier", "a|b|c", "value"),
        ("code", "|", "value"),
        ("code", "a,,b", "value"),
        ("patient", "", "value"),
        ("code:text", "sugar", "not-supported"),
        ("code:missing", "true", "not-supported"),
        ("patient.name", "x", "not-supported"),
        ("foo:bar", "x", "not-supported"),
        ("_sort", "date", "not-supported"),
        ("_count", "0", "value"),
        ("_count", "-1", "value"),
        ("_count", "1e3", "value"),
        ("_count", "٣", "value"),
    ],
)
def test_what_cannot_be_answered_is_refused_though_not_strict(name, value, code):
    assert refusal((name, value)) == code


def test_a_page_has_a_largest_size():
    assert parsed(("_count", "9" * 18)).count == MOST


def test_what_is_unknown_is_left_out_and_not_said_to_be_used():
    found = parsed(("colour", "red"), ("_include", "Observation:subject"), ("code", "x"))
    assert found.used == (("code", "x"),)
    assert refusal(("colour", "red"), strict=True) == "not-supported"


def test_separators_can_be_escaped():
    assert parsed(("code", r"a\,b\|c\\")).codes == ((Token(None, "a,b|c\\"),),)


def test_a_patient_has_a_birth_date():
    assert parsed(("birthdate", "1970"), ("date", "1970"), kind="Patient").used == (("birthdate", "1970"),)


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ([("x", "")] * 101, "too-costly"),
        ([("code", "a," * 200 + "a")], "too-costly"),
        ([("code", "a" * 2001)], "too-long"),
    ],
)
def test_what_nobody_asks_is_too_much(given, code):
    assert refusal(*given) == code


def test_everything_has_types_and_a_time():
    found = parse_everything(
        "p", ["Observation", "Condition"], [("_type", "Condition,Observation"), ("start", "1970-01-02"), ("end", "1970-01-03")]
    )
    assert found.types == ("Condition", "Observation")
    assert found.dates == ((DateBound("ge", DAY, 2 * DAY - 1),), (DateBound("le", 2 * DAY, 3 * DAY - 1),))
    assert found.undated_too
    for wrong in (("_type", "Observation,Foo"), ("start", "ge2020"), ("end", "eq2020"), ("_count", "0")):
        with pytest.raises(InvalidInput):
            parse_everything("p", ["Observation"], [wrong])
