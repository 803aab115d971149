"""What a request or an entry of a Bundle asks for."""

import pytest

from fhir_adapters import InvalidInput
from gateway.errors import NotSupported
from gateway.identity.condition import Condition
from gateway.identity.draft import names_of_update
from gateway.identity.interaction import ANY_VERSION, Interaction, parse_interaction
from gateway.submission import deletion_entry

ONE = Condition("Patient", "urn:x", "1")


@pytest.mark.parametrize(
    ("given", "asked"),
    [
        (("POST", "Patient"), Interaction("POST", "Patient")),
        (("POST", "Patient", "identifier=urn:x|1"), Interaction("POST", "Patient", condition=ONE)),
        (("PUT", "Patient/a.b-1"), Interaction("PUT", "Patient", "a.b-1")),
        (("PUT", "Patient/1", None, 'W/"12"'), Interaction("PUT", "Patient", "1", if_match=12)),
        (("PUT", "Patient/1", None, '"12"'), Interaction("PUT", "Patient", "1", if_match=12)),
        (("DELETE", "Patient/1", None, " * "), Interaction("DELETE", "Patient", "1", if_match=ANY_VERSION)),
        (("PUT", "Patient?identifier=urn:x%7C1"), Interaction("PUT", "Patient", condition=ONE)),
        (("DELETE", "Patient?identifier=urn:x|1"), Interaction("DELETE", "Patient", condition=ONE)),
    ],
)
def test_what_is_asked(given, asked):
    assert parse_interaction(*given) == asked


@pytest.mark.parametrize(
    "given",
    [
        ("POST", "Patient/1"),
        ("POST", "Patient?identifier=urn:x|1"),
        ("POST", "Patient", None, 'W/"1"'),
        ("PUT", "Patient"),
        ("DELETE", "Patient"),
        ("PUT", "Patient/1", "identifier=urn:x|1"),
        ("PUT", "Patient/1/_history/1"),
        ("PUT", "Patient/" + "1" * 65),
        ("PUT", "Patient/a b"),
        ("PUT", "/Patient/1"),
        ("PUT", "http://h.example/fhir/Patient/1"),
        ("PUT", "Nothing/1"),
        ("PUT", ""),
        *(("PUT", "Patient/1", None, etag) for etag in ("1", 'W/"0"', 'W/"x"', 'W/"1", W/"2"', "", 'W/"٣"')),
    ],
)
def test_what_nobody_could_do_is_invalid(given):
    with pytest.raises(InvalidInput):
        parse_interaction(*given)


@pytest.mark.parametrize(
    "given", [("GET", "Patient/1"), ("PATCH", "Patient/1"), ("PUT", "Patient?name=x"), ("DELETE", "Patient?identifier=1")]
)
def test_what_this_server_does_not_do(given):
    with pytest.raises(NotSupported):
        parse_interaction(*given)


@pytest.mark.parametrize(
    ("target", "full_url", "source_id", "names", "aliases"),
    [
        ("7", None, "7", ("7",), ()),
        ("7", "http://h.example/Patient/7", "7", ("7",), ("http://h.example/Patient/7",)),
        ("7", "urn:uuid:a", "7", ("7",), ("a",)),
        (None, "urn:uuid:a", "7", (), ("a", "7")),
        (None, None, None, (), ()),
    ],
)
def test_only_the_address_of_an_update_identifies(target, full_url, source_id, names, aliases):
    assert names_of_update(target, full_url, source_id) == (names, aliases)


def test_a_deletion_is_signed_as_the_entry_that_asks_for_it():
    assert deletion_entry("Patient/1", None) == b'{"request":{"method":"DELETE","url":"Patient/1"}}'
    with_version = b'{"request":{"method":"DELETE","url":"Patient?identifier=urn:x|1","ifMatch":"W/\\"1\\""}}'
    assert deletion_entry("Patient?identifier=urn:x|1", 'W/"1"') == with_version
