"""Following next links against a server that is not always a good one."""

import pytest
from scripted_server import Server

from gateway.client.connection import Connection, Unreachable
from gateway.client.credentials import new_credentials
from gateway.client.fetch import FetchRefused, fetch_pages
from gateway.consent.purpose import HEADER


@pytest.fixture
def server():
    made = Server()
    yield made
    made.close()


@pytest.fixture
def connection(server):
    made = Connection(new_credentials(server.url, "insurer-0a1b2c3d"), sleep=lambda _: None)
    yield made
    made.close()


def page(*resources, following=None):
    link = [{"relation": "self", "url": "x"}] + ([{"relation": "next", "url": following}] if following else [])
    entries = b",".join(b'{"fullUrl":"x","resource":' + resource + b',"search":{"mode":"match"}}' for resource in resources)
    return b'{"resourceType":"Bundle","type":"searchset","link":' + str(link).replace("'", '"').encode() + b',"entry":[' + entries + b"]}"


def fetched(connection, query="Observation?patient=1", purpose="HPAYMT"):
    return [page.resources for page in fetch_pages(connection, query, purpose=purpose)]


def test_bytes_are_handed_on_as_they_were(server, connection):
    odd = b'{"resourceType":"Observation","valueQuantity":{"value":1.50e2},"b":1,"a":"\\u00e4"}'
    server.script["GET", "/fhir/Observation?patient=1"] = [(200, {}, page(odd, odd))]
    assert fetched(connection) == [[odd, odd]]
    assert [seen[2].get(HEADER) for seen in server.seen if seen[0] == "GET"] == ["HPAYMT"]


def test_links_are_followed_whatever_the_gateway_calls_itself(server, connection):
    server.script["GET", "/fhir/Observation?patient=1"] = [
        (200, {}, page(b"{}", following="https://public.example.org/base/fhir/Observation?_cursor=a"))
    ]
    server.script["GET", "/fhir/Observation?_cursor=a"] = [(200, {}, page(following=f"{server.url}/fhir/Observation?_cursor=b"))]
    server.script["GET", "/fhir/Observation?_cursor=b"] = [(200, {}, page(b"{}"))]
    for query in ("Observation?patient=1", "/Observation?patient=1", "/fhir/Observation?patient=1"):
        assert fetched(connection, query) == [[b"{}"], [], [b"{}"]]


def test_a_refusal_on_a_later_page_is_one(server, connection):
    outcome = {"resourceType": "OperationOutcome", "issue": [{"diagnostics": "no permission"}]}
    server.script["GET", "/fhir/Observation?patient=1"] = [(200, {}, page(b"{}", following=f"{server.url}/fhir/Observation?_cursor=a"))]
    server.script["GET", "/fhir/Observation?_cursor=a"] = [(403, {}, outcome)]
    with pytest.raises(FetchRefused, match=r"no permission \(HTTP status 403\)"):
        fetched(connection)


@pytest.mark.parametrize(
    "answer",
    [
        (500, {}, {}),
        (503, {"Retry-After": "0"}, {}),
        (200, {}, b"<html>"),
        (200, {}, b'{"a":1}'),
        (200, {}, page(following="https://x.example.org/fhir/Observation?patient=1")),
    ],
    ids=["broken", "overloaded", "a web page", "no resource", "a circle"],
)
def test_a_server_that_fails_did_not_refuse(server, connection, answer):
    server.script["GET", "/fhir/Observation?patient=1"] = [answer]
    with pytest.raises(Unreachable):
        fetched(connection)
