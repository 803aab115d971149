"""Literals, conditions, and the names by which a sender knows its resources."""

import pytest

from gateway.errors import NotSupported
from gateway.identity.condition import Condition, parse_condition
from gateway.identity.draft import names_of
from gateway.identity.literal import Literal, parse_literal

UUID = "0f2074a0-4173-1a32-988f-5316d7f1cbbe"


@pytest.mark.parametrize(
    ("text", "literal"),
    [
        (f"urn:uuid:{UUID}", Literal("urn", None, UUID)),
        ("urn:oid:1.2.3", Literal("urn", None, "urn:oid:1.2.3")),
        ("Patient/123", Literal("relative", "Patient", "123")),
        ("Patient/123/_history/4", Literal("relative", "Patient", "123", "4")),
        ("http://h.example/fhir/Patient/123", Literal("absolute", "Patient", "123", None, "http://h.example/fhir")),
        ("https://h.example/a/b/Patient/1/_history/2", Literal("absolute", "Patient", "1", "2", "https://h.example/a/b")),
        ("Practitioner?identifier=urn:x|1", Literal("conditional", "Practitioner", "identifier=urn:x|1")),
        ("http://h.example/other", Literal("opaque", None, "http://h.example/other")),
        ("Patient/", Literal("opaque", None, "Patient/")),
        ("Patient/a b", Literal("opaque", None, "Patient/a b")),
        ("#p1", Literal("opaque", None, "#p1")),
        ("", Literal("opaque", None, "")),
    ],
)
def test_literals(text, literal):
    assert parse_literal(text) == literal


@pytest.mark.parametrize(
    ("query", "condition"),
    [
        ("identifier=http://hl7.org/fhir/sid/us-npi|9999999989", ("http://hl7.org/fhir/sid/us-npi", "9999999989")),
        ("identifier=http%3A%2F%2Fh.example%7C1", ("http://h.example", "1")),
        ("?identifier=|1", (None, "1")),
        ("identifier=urn:x|a|b", ("urn:x", "a|b")),
    ],
)
def test_conditions(query, condition):
    assert parse_condition("Patient", query) == Condition("Patient", *condition)


@pytest.mark.parametrize(
    "query",
    [
        "",
        "identifier=1",
        "identifier=urn:x|",
        "identifier=urn:x|1,urn:x|2",
        "name=x",
        "identifier=urn:x|1&active=true",
        "identifier:of-type=a|b",
    ],
)
def test_other_conditions_are_not_supported(query):
    with pytest.raises(NotSupported):
        parse_condition("Patient", query)


@pytest.mark.parametrize(
    ("full_url", "source_id", "keeps_ids", "names", "aliases"),
    [
        (f"urn:uuid:{UUID}", UUID, False, (UUID,), ()),
        (f"urn:uuid:{UUID}", "7", False, (UUID,), ("7",)),
        (f"urn:uuid:{UUID}", "7", True, (UUID, "7"), ()),
        (None, "7", False, (), ("7",)),
        (None, "7", True, ("7",), ()),
        (None, None, True, (), ()),
        ("http://h.example/Patient/7", "7", False, ("7",), ("http://h.example/Patient/7",)),
        ("http://h.example/x", None, False, ("http://h.example/x",), ()),
    ],
)
def test_names(full_url, source_id, keeps_ids, names, aliases):
    assert names_of(full_url, source_id, keeps_ids=keeps_ids) == (names, aliases)
