"""What a gateway disclosed, logged and anchored without a permit is named by the conduct audit, and nothing else is."""

import os
import time

import pytest
from conduct_case import audit_conduct, disclose, make_conduct

from gateway import joining
from gateway.index import archives, consents
from gateway.index import schema as t
from gateway.registration import register_party
from gateway.stored_consents import sealed_context
from gateway.upgrading import upgrade
from jobs.audit_row_tags import verify_row_tags


@pytest.fixture
def home(tmp_path):
    made = make_conduct(tmp_path)
    yield made
    made.made.close()


def other_agency(home):
    out = home.made.home.parent / "other.json"
    return register_party(home.made.services, "agency", "Other", (), "gateway", "http://h", out, now=int(time.time()), random=os.urandom)


def test_what_no_consent_permitted_is_named(home):
    nothing, further = "no grant in force permits it", "a further patient whom it is about has not granted it"
    bert_revoked = home.grant(home.bert, "Observation", until="2030-05-05")
    expected = {
        disclose(home, "o1", 1): nothing,  # revoked long ago
        disclose(home, "p1", 5, resource_type="Patient"): nothing,  # of a type that is not granted
        disclose(home, "o1", 5): nothing,  # another patient's
        disclose(home, "o4", 5, purpose="TREAT"): nothing,
        disclose(home, "o4", 5, reader=other_agency(home)): nothing,
        disclose(home, "o4", 5, ms=2_000_000_000_000): nothing,  # after its end
        disclose(home, "o4", 5, location={"version": 9}): "it is not in the database",
        disclose(home, "o4", 5, location={"row": 5000}): "it is not in the database",
        disclose(home, "o9", 10): None,  # Bert has granted it, too
    }
    home.revoke(home.bert, bert_revoked)
    with home.made.services.index.reading() as connection:
        [first] = [row.grant.row for row in consents.numbered(connection, range(5, 6))]
    home.revoke(home.bert, home.made.services.ids.encode([first])[0])
    expected[disclose(home, "o9", 10)] = further
    home.close_batch()
    home.block()
    report = audit_conduct(home.made.home)
    assert {finding.code for finding in report.findings} == {"permit-missing"}
    named = {int(finding.subject.removeprefix("access ")): finding.detail.partition(": ")[2] for finding in report.findings}
    assert named == {number: detail for number, detail in expected.items() if detail}
    assert report.could_not_check == ()


def test_a_permit_that_ended_later_was_in_force(home):
    consent = home.grant(home.anna, "Observation", until="2031-01-01")
    assert home.read("o2")
    home.revoke(home.anna, consent)
    home.block()
    assert audit_conduct(home.made.home).findings == ()


def test_a_grant_counts_for_the_archives_that_are_joined_with_its_own_and_only_while_they_are(home):
    """By Bert's grant, of Anna's: before they are joined, while they are, after they were split."""

    def change(what, *archives_):
        with home.made.services.index.atomic() as connection:
            what(connection, *archives_)

    before = disclose(home, "o1", 5)
    change(archives.join, [home.anna.archive], [home.bert.archive])
    disclose(home, "o1", 5)
    change(archives.split, home.bert.archive)
    after = disclose(home, "o1", 5)
    change(archives.join, [home.anna.archive], [home.bert.archive])
    disclose(home, "o1", 5)
    home.close_batch()
    home.block()
    named = [f"access {before}", f"access {after}"]
    assert [finding.subject for finding in audit_conduct(home.made.home).findings] == named
    assert verify_row_tags(home.made.services.index, None).findings == ()
    with home.made.services.index.reading() as connection:
        kept = [row._asdict() for row in connection.execute(t.membership.select())]
    for statement in ("UPDATE membership SET sequence = 0", "UPDATE membership SET archive = root", "DELETE FROM membership WHERE row > 2"):
        with home.made.services.index.atomic() as connection:
            connection.exec_driver_sql(statement)
        assert {finding.code for finding in verify_row_tags(home.made.services.index, None).findings} == {"archive-altered"}, statement
        with home.made.services.index.atomic() as connection:
            connection.execute(t.membership.delete())
            connection.execute(t.membership.insert(), kept)


def test_joins_of_before_they_were_written_down_count_since_ever(home):
    disclose(home, "o1", 5)
    with home.made.services.index.atomic() as connection:
        archives.join(connection, [home.anna.archive], [home.bert.archive])
        connection.exec_driver_sql("DELETE FROM membership")
    assert [one.code for one in verify_row_tags(home.made.services.index, None).findings] == ["archive-altered"]
    (home.made.home / "keys" / "rows-tagged-3").unlink()  # as the version before left it
    assert upgrade(home.made.services.settings, int(time.time()))
    assert verify_row_tags(home.made.services.index, None).findings == ()
    home.close_batch()
    home.block()
    assert audit_conduct(home.made.home).findings == ()


ORDERS = [
    "join access split",
    "join split join access",
    "join access split join",
    "join split join access split",
    "join access split join split",
]


@pytest.mark.parametrize("order", ORDERS)
def test_what_was_read_while_two_were_joined_stays_lawful(home, order):
    """The reader has a grant of Bert's and reads what is Anna's."""
    services, bert = home.made.services, home.records["p1"]
    with services.index.reading() as connection:
        [granted] = [row.grant.row for row in consents.numbered(connection, range(10, 11))]
    home.revoke(home.anna, services.ids.encode([granted])[0])
    for step in order.split():
        with services.index.atomic() as connection:
            if step == "join":
                archives.join(connection, [home.anna.archive], [home.bert.archive])
            elif step == "split":
                joining.split(services, connection, bert, int(time.time()))
        if step == "access":
            assert home.read("o1")
    home.close_batch()
    home.block()
    assert audit_conduct(home.made.home).findings == ()


def test_what_is_not_on_the_chain_yet_is_pending_for_a_time(home):
    services = home.made.services
    home.read("o4")
    given = home.grant(home.bert, "Condition")
    home.read("o4")
    report = audit_conduct(home.made.home)
    assert (report.findings, report.could_not_check) == ((), ())
    assert set(report.pending) == {f"Consent/{given}", "access 13", "access 15", "2 transactions in the outbox"}
    late = audit_conduct(home.made.home, later=1000)
    assert late.pending == ()
    assert {(finding.code, finding.subject) for finding in late.findings} == {
        ("access-unanchored", "access 13"),
        ("access-unanchored", "access 15"),
        ("consent-unanchored", f"Consent/{given}"),
        ("outbox-waiting", "outbox"),
    }
    home.revoke(home.bert, given)
    assert f"Consent/{given}" in audit_conduct(home.made.home).pending, "granted and revoked, neither is anchored"
    home.block()
    assert (audit_conduct(home.made.home, later=1000).findings, audit_conduct(home.made.home).pending) == ((), ())
    assert services.ledger.last_sequence("gateway") == 16


def test_what_was_never_submitted_is_found_once_the_chain_has_passed_it(home):
    home.read("o4")
    home.close_batch()
    given = home.grant(home.bert, "Condition")
    with home.made.services.index.atomic() as connection:
        connection.exec_driver_sql("DELETE FROM outbox")
    home.grant(home.bert, "Patient")
    home.block()
    found = {(finding.code, finding.subject) for finding in audit_conduct(home.made.home).findings}
    assert found == {("access-unanchored", "access 13"), ("consent-unanchored", f"Consent/{given}")}


def test_a_height_that_cannot_be_read_is_not_clean_and_hides_nothing_else(home):
    with home.made.store.engine.begin() as connection:
        connection.exec_driver_sql("DELETE FROM log_entry WHERE log_index = (SELECT log_size - 1 FROM block WHERE height = 2)")
    report = audit_conduct(home.made.home)
    assert report.findings == ()
    assert report.could_not_check == ("height 2 cannot be read; see level ledger",)
    with home.made.services.index.atomic() as connection:
        connection.exec_driver_sql("DELETE FROM access WHERE sequence = 8")
    assert [finding.subject for finding in audit_conduct(home.made.home).findings] == ["access 8"]


def test_a_consent_widened_by_who_holds_the_keys_is_not_what_the_chain_has(home):
    services = home.made.services
    with services.index.atomic() as connection:
        [row] = consents.numbered(connection, range(5, 6))
        id_ = services.ids.encode([row.grant.row])[0]
        content = services.keyring.open(sealed_context(id_), row.sealed).replace(b'"code":"Observation"', b'"code":"Condition"')
        sealed = services.keyring.seal(sealed_context(id_), content, os.urandom)
        token = services.tokens.content(row.grant.archive, content)
        change = "UPDATE consent_grant SET types = 'Condition', sealed = ?, content = ? WHERE sequence = 5"
        connection.exec_driver_sql(change, (sealed, token))
    found = {(finding.code, finding.subject) for finding in audit_conduct(home.made.home).findings}
    assert ("consent-altered", f"Consent/{id_}") in found
