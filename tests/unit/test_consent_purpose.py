"""Stating what for: registered purposes, the default, emergencies."""

from types import SimpleNamespace

import pytest

from gateway.consent.purpose import CODES, GRANTABLE, purpose_of
from gateway.errors import Forbidden

INSURER = SimpleNamespace(purposes=("HPAYMT", "COVAUTH"))
ANYONE = SimpleNamespace(purposes=())


@pytest.mark.parametrize(
    ("party", "header", "purpose"),
    [
        (INSURER, None, "HPAYMT"),
        (INSURER, "", "HPAYMT"),
        (INSURER, "COVAUTH", "COVAUTH"),
        (INSURER, " HPAYMT ", "HPAYMT"),
        (ANYONE, "TREAT", "TREAT"),
        (ANYONE, "HRESCH", "HRESCH"),
    ],
)
def test_a_registered_purpose_is_taken_and_the_first_is_the_default(party, header, purpose):
    assert purpose_of(party, header) == purpose


@pytest.mark.parametrize(
    ("party", "header"),
    [
        (INSURER, "TREAT"),
        (INSURER, "BTG"),
        (ANYONE, None),
        (ANYONE, "BTG"),
        (ANYONE, "ETREAT"),
        (ANYONE, "treat"),
        (ANYONE, "XYZ"),
        (ANYONE, "HPAYMT,TREAT"),
        (SimpleNamespace(purposes=("BTG",)), None),
        (SimpleNamespace(purposes=("BTG",)), "BTG"),
    ],
)
def test_any_other_is_forbidden(party, header):
    with pytest.raises(Forbidden):
        purpose_of(party, header)


def test_emergencies_cannot_be_granted_ahead():
    assert GRANTABLE | {"BTG", "ETREAT"} == CODES
    assert not GRANTABLE & {"BTG", "ETREAT"}
