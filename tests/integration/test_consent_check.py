"""Whoever edits the rows of grants: nothing leaves by a grant that is not as its patient gave it."""

import json

import pytest
from conduct_case import ConductHome
from consent_case import changed, optin
from sqlalchemy import text

from gateway import granting
from gateway.errors import Forbidden
from gateway.vault.errors import RowAltered

EDITS = {
    "types": "types = 'Observation Patient'",
    "purposes": "purposes = 'BTG HPAYMT'",
    "archive": "archive = {bert}",
    "grantee": "grantee = {other}",
    "end": "ends_at = ends_at + 1",
    "id": "grant_id = zeroblob(32)",
}


@pytest.fixture
def home(tmp_path):
    made = ConductHome.make(tmp_path)
    yield made
    made.made.close()


def edit(home, values):
    with home.made.services.index.atomic() as connection:
        assert connection.execute(text(f"UPDATE consent_grant SET {values}")).rowcount == 1


@pytest.mark.parametrize("is_final", [True, False])
@pytest.mark.parametrize("what", EDITS)
def test_nothing_leaves_by_a_grant_that_was_edited(home, what, is_final):
    home.grant(home.anna, "Observation", "Immunization")
    if is_final:
        home.block()
    assert home.read("o1")
    reader = home.made.party("Another Hospital") if what == "grantee" else home.insurer
    edit(home, EDITS[what].format(bert=home.bert.archive, other=reader.row))
    with pytest.raises(RowAltered, match="consent_grant row"):
        home.read("o4" if what == "archive" else "o1", reader=reader)


def test_exceptions_that_were_taken_away_let_nothing_out(home):
    withheld = [{"type": "deny", "code": [{"coding": [{"system": "http://loinc.org", "code": "4548-1"}]}]}]
    consent = changed(optin(home.insurer.client_id), ("provision", "provision"), withheld)
    granting.grant(home.made.services, home.anna, json.dumps(consent).encode())
    home.block()
    assert home.read("o2")
    with pytest.raises(Forbidden):
        home.read("o1")
    edit(home, "exceptions_sealed = NULL")
    with pytest.raises(RowAltered):
        home.read("o1")


def test_a_grant_under_another_number_permits_nothing(home):
    home.grant(home.anna)
    home.block()
    edit(home, "sequence = sequence + 1000")
    with pytest.raises(RowAltered, match="commitment"):
        home.read("o1")


def test_a_revoked_grant_that_stands_again_in_the_database_permits_nothing(home):
    home.revoke(home.anna, home.grant(home.anna))
    home.block()
    with pytest.raises(Forbidden):
        home.read("o1")
    edit(home, "revoked_at_sequence = NULL, revoked_ms = NULL")
    with pytest.raises(RowAltered, match="revoked on the ledger"):
        home.read("o1")


def test_a_grant_whose_number_the_ledger_has_passed_permits_nothing(home):
    home.grant(home.anna)
    with home.made.services.index.atomic() as connection:
        connection.execute(text("DELETE FROM outbox"))
    assert home.read("o1"), "not recorded yet"
    home.revoke(home.bert, home.grant(home.bert))
    home.block()
    with pytest.raises(RowAltered, match="went past its number"):
        home.read("o1")
