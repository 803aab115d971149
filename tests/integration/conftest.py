"""A gateway that a test module writes to over HTTP, for those that define none of their own."""

import json

import pytest
import web_gateway
from written import FHIR, KEY


@pytest.fixture(scope="module")
def gateway(tmp_path_factory):
    with web_gateway.gateway(tmp_path_factory.mktemp("home"), jwks=[KEY]) as running:
        yield running


@pytest.fixture(scope="module")
def token(gateway):
    return gateway.client.token(KEY, gateway.hospital)


@pytest.fixture(scope="module")
def other(gateway):
    """The token of another party that may write."""
    name = web_gateway._register(gateway.services, "Other", 1, [KEY])
    return gateway.client.token(KEY, name)


@pytest.fixture(scope="module")
def send(gateway, token):
    def send(method, path, body=None, token=token, **headers):
        sent = json.dumps(body).encode() if isinstance(body, dict) else body
        return gateway.client.ask(method, f"/fhir{path}", sent, token, **({"Content_Type": FHIR} if body is not None else {}) | headers)

    return send
