import pytest
from werkzeug.datastructures import MIMEAccept
from werkzeug.http import parse_accept_header

from gateway.errors import UnsupportedMedia
from gateway.web.media_type import NotAcceptable, check_accept, check_content_type
from gateway.web.request_id import request_id_from


def is_read(header):
    try:
        check_content_type(header)
    except UnsupportedMedia:
        return False
    return True


@pytest.mark.parametrize(
    "header",
    ["application/fhir+json", "application/json", "Application/FHIR+JSON; charset=UTF-8", "application/fhir+json; fhirVersion=4.0"],
)
def test_json_of_r4_is_read(header):
    assert is_read(header)


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "text/plain",
        "application/fhir+xml",
        "application/x-www-form-urlencoded",
        "application/fhir+json; charset=latin-1",
        "application/fhir+json; fhirVersion=3.0",
        "application/fhir+json; fhirVersion=5.0",
        "application/xml",
        "multipart/form-data; boundary=x",
    ],
)
def test_anything_else_is_unsupported(header):
    assert not is_read(header)


def is_given_json(header, chosen=None):
    try:
        check_accept(parse_accept_header(header, MIMEAccept), chosen)
    except NotAcceptable:
        return False
    return True


@pytest.mark.parametrize(
    "header",
    [
        "",
        "*/*",
        "application/fhir+json",
        "application/json",
        "text/html,application/xhtml+xml,*/*;q=0.8",
        "application/*",
        "application/fhir+json; fhirVersion=4.0",
        "application/fhir+xml;q=0.9, application/fhir+json;q=0.1",
    ],
)
def test_who_takes_json_gets_it(header):
    assert is_given_json(header)


@pytest.mark.parametrize(
    "header", ["application/fhir+xml", "text/html", "application/fhir+json;q=0", "application/fhir+json; fhirVersion=3.0"]
)
def test_who_takes_none_is_told_so(header):
    assert not is_given_json(header)


def test_the_format_parameter_wins():
    assert is_given_json("application/fhir+xml", "json")
    assert is_given_json("application/fhir+xml", "application/fhir json")
    assert not is_given_json("application/fhir+json", "xml")


def test_a_clients_request_id_is_kept_if_it_is_one():
    assert request_id_from("abcd-1234", bytes) == "abcd-1234"


@pytest.mark.parametrize("header", [None, "", "short", "x" * 65, "with blank 1", "new\nline-1234", '"quoted-1234"', "ключ-12345678"])
def test_else_a_new_one_is_made(header):
    assert request_id_from(header, bytes) == "00" * 12
