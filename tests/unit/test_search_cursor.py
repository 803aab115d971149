"""Next links: whoever alters one, takes another's or comes late gets nothing by it."""

import base64
import os

import pytest

from fhir_adapters.issue import InvalidInput
from gateway.errors import Gone
from gateway.search.cursor import LIFETIME, Cursor, open_cursor, seal_cursor

KEY = bytes(range(32))
CURSOR = Cursor("Observation", (("patient", "p\u00e4\u0001"), ("_count", "5")), 2**40)


def sealed(key=KEY):
    return seal_cursor(CURSOR, key=key, client_id="anna", now=1000, random=os.urandom)


def opened(text, target="Observation", client_id="anna", now=1000):
    return open_cursor(text, target=target, key=KEY, client_id=client_id, now=now)


def test_it_comes_back_as_it_went():
    assert opened(sealed(), now=1000 + LIFETIME - 1) == CURSOR


def test_it_says_nothing():
    assert b"Observation" not in base64.urlsafe_b64decode(sealed() + "==")


def test_every_bit_counts():
    body = base64.urlsafe_b64decode((text := sealed()) + "=" * (-len(text) % 4))
    for at in range(len(body)):
        altered = body[:at] + bytes([body[at] ^ 1]) + body[at + 1 :]
        with pytest.raises(InvalidInput):
            opened(base64.urlsafe_b64encode(altered).rstrip(b"=").decode())


@pytest.mark.parametrize("text", ["", "x", "=", "\u00e9", "a" * 100, "-" * 5000])
def test_what_is_none_is_refused(text):
    with pytest.raises(InvalidInput):
        opened(text)


def test_it_is_for_one_party_one_search_and_one_gateway():
    for arguments in ({"client_id": "bert"}, {"target": "Condition"}):
        with pytest.raises(InvalidInput):
            opened(sealed(), **arguments)
    with pytest.raises(InvalidInput):
        opened(sealed(key=bytes(32)))


def test_it_expires():
    with pytest.raises(Gone):
        opened(sealed(), now=1000 + LIFETIME)
