"""Whoever edits the database: a party or an archive that this gateway did not write is refused, and an old gateway's rows are vouched for once."""

import os
import shutil
import time
from pathlib import Path

import pytest
from audit_case import AuditedHome
from click.testing import CliRunner
from intake_case import add_party, open_services, post
from sqlalchemy import text

from gateway.cli import main
from gateway.index import archives, outbox, parties, persons
from gateway.upgrading import mark_tagged, upgrade
from gateway.vault.errors import RowAltered
from jobs.audit_row_tags import verify_row_tags

PATIENT = {"resourceType": "Patient", "id": "p"}
SWAPS = (
    "UPDATE party SET status = 'active'",
    "UPDATE party SET jwks = '{\"keys\":[]} '",
    "UPDATE party SET role = 2",
    "UPDATE party SET signing_key = zeroblob(32)",
    "UPDATE party SET purposes = 'BTG'",
    "UPDATE party SET archive = 1",
    "UPDATE party SET tag = NULL",
    "UPDATE party SET tag = (SELECT tag FROM archive LIMIT 1)",
)


@pytest.fixture
def services(tmp_path):
    services = open_services(tmp_path)
    yield services
    services.index.close()


def tamper(services, statement):
    with services.index.atomic() as connection:
        connection.exec_driver_sql("PRAGMA defer_foreign_keys = ON")
        assert connection.execute(text(statement.replace(":", "\\:"))).rowcount


@pytest.mark.parametrize("swap", SWAPS)
def test_a_party_that_the_gateway_did_not_write_is_refused(services, swap):
    hospital = add_party(services)
    post(services, hospital, PATIENT, "Patient")
    with services.index.atomic() as connection:
        assert parties.suspend(connection, hospital.client_id, 1)
    assert not services.parties.by_client_id(hospital.client_id).active
    tamper(services, swap)
    with pytest.raises(RowAltered):
        services.parties.by_client_id(hospital.client_id)
    found = verify_row_tags(services.index, None).findings
    assert [(one.code, one.subject) for one in found] == [("party-altered", f"party {hospital.client_id}")]


def test_no_party_stands_for_another(services):
    first, second = (add_party(services, f"hospital-0000000{n}", seed=bytes(31) + bytes([n])) for n in (1, 2))
    tamper(services, f"UPDATE party SET row = row + 10 WHERE row = {first.row}")
    with pytest.raises(RowAltered):
        services.parties.by_client_id(first.client_id)
    assert services.parties.by_client_id(second.client_id) == second


@pytest.mark.parametrize("swap", ["joined_to = 2", "public_key = zeroblob(1216)", "directory_of = 1", "tag = NULL"])
def test_an_archive_that_the_gateway_did_not_write_is_refused(services, swap):
    hospital = add_party(services)
    for number in (1, 2):
        post(services, hospital, PATIENT | {"id": f"p{number}"}, "Patient")
    assert verify_row_tags(services.index, None).findings == ()
    tamper(services, f"UPDATE archive SET {swap} WHERE row = 1")
    with services.index.reading() as connection:
        with pytest.raises(RowAltered):
            archives.by_rows(connection, [1])
        assert set(archives.by_rows(connection, [2])) == {2}
    assert [(one.code, one.subject) for one in verify_row_tags(services.index, None).findings] == [("archive-altered", "archive 1")]


def test_an_older_row_of_a_suspended_party_is_seen_by_the_ledger(tmp_path):
    home = AuditedHome.make(tmp_path)
    party = home.party()
    home.block()
    with home.services.index.reading() as connection:
        [tag] = connection.execute(text("SELECT tag FROM party")).scalars()
    with home.services.index.atomic() as connection:
        parties.suspend(connection, party.client_id, int(time.time()))
    home.block()
    assert verify_row_tags(home.services.index, home.ledger()).findings == ()
    with home.services.index.atomic() as connection:
        connection.execute(text("UPDATE party SET status = 'active', tag = :tag"), {"tag": tag})
    [finding] = verify_row_tags(home.services.index, home.ledger()).findings
    assert (finding.code, finding.detail) == ("party-altered", "it is suspended on the ledger and active here")
    home.close()


def test_commands_say_in_a_sentence_that_a_row_was_altered(tmp_path):
    home = AuditedHome.make(tmp_path)
    party = home.party()
    made = post(home.services, party, PATIENT, "Patient").results[0].reference
    tamper(home.services, "UPDATE archive SET public_key = zeroblob(1216)")
    tamper(home.services, "UPDATE party SET status = 'active ', tag = NULL")
    for command in (
        ("party", "list"),
        ("party", "suspend", party.client_id),
        ("patient", "split", made),
        ("patient", "enrol", "--identifier", "urn:x|1", "--out", str(tmp_path / "out.json")),
    ):
        run = CliRunner().invoke(main, ["--home", str(home.home), *command])
        assert run.exit_code == (1 if command[1] == "enrol" else 2), run.output
        assert isinstance(run.exception, SystemExit), "no traceback"
        if command[1] != "enrol":
            assert "gateway.db was altered" in run.output
            assert "fhir-anchor upgrade" in run.output
    home.close()


def test_the_mark_is_durable_before_upgrade_ends(tmp_path, monkeypatch):
    synced = []
    monkeypatch.setattr(os, "fsync", lambda handle: synced.append(Path(f"/proc/self/fd/{handle}").readlink()))
    settings = open_services(tmp_path).settings
    settings.keys_path.mkdir(exist_ok=True)
    mark_tagged(settings)
    assert [path.name for path in synced[-4:]] == ["rows-tagged", "rows-tagged-2", "rows-tagged-3", settings.keys_path.name]


def test_rows_of_an_earlier_version_are_vouched_for_once(tmp_path):
    home = AuditedHome.make(tmp_path)
    party = home.party()
    settings = home.services.settings
    tamper(home.services, "UPDATE outbox SET tag = NULL")
    assert not upgrade(settings, int(time.time()))
    assert [one.code for one in verify_row_tags(home.services.index, None).findings] == ["outbox-altered"]
    (settings.keys_path / "rows-tagged-2").unlink()  # as the version before left it
    assert upgrade(settings, int(time.time()))
    assert verify_row_tags(home.services.index, None).findings == ()
    home.block()
    with home.services.index.reading() as connection:
        assert (outbox.size(connection), outbox.dead_letters(connection)) == (0, []), "what waited is on the ledger"
    (settings.keys_path / "rows-tagged").unlink()  # as a version before that left it
    tamper(home.services, "UPDATE party SET tag = NULL")
    with pytest.raises(RowAltered):
        home.services.parties.by_client_id(party.client_id)
    run = CliRunner().invoke(main, ["--home", str(home.home), "upgrade", "--json"])
    assert (run.exit_code, '"vouched":true' in run.output) == (0, True), run.output
    assert home.services.parties.by_client_id(party.client_id) == party
    tamper(home.services, "UPDATE party SET tag = NULL")
    assert not upgrade(settings, int(time.time()))  # never again, whatever the database says of itself
    with pytest.raises(RowAltered):
        home.services.parties.by_client_id(party.client_id)
    home.close()
    shutil.rmtree(home.home)


@pytest.mark.parametrize(
    "swap", ["decision = 'join'", "other = 3", "reason = 'same'", "decided_number = 9", "parted_at = NULL", "tag = NULL"]
)
def test_a_line_of_the_queue_that_the_gateway_did_not_write_is_refused(services, swap):
    hospital = add_party(services)
    for number in (1, 2, 3):
        post(services, hospital, PATIENT | {"id": f"p{number}"}, "Patient")
    with services.index.atomic() as connection:
        persons.open_line(connection, 2, 1, "other-birth-date", bytes(16), 5)
        persons.part(connection, 1, 2, bytes(16), 6)
        assert persons.kept_apart(connection, [1, 2]) == {frozenset({1, 2})}
        [line] = persons.lines(connection, decided_too=True)
    assert (line.archive, line.other, line.reason, line.decision) == (1, 2, "other-birth-date", "keep-apart")
    assert verify_row_tags(services.index, None).findings == ()
    tamper(services, f"UPDATE review SET {swap}")
    with services.index.reading() as connection:
        for ask in (
            lambda: persons.kept_apart(connection, [1, 2, 3]),
            lambda: persons.line(connection, line.row),
            lambda: persons.lines(connection, decided_too=True),
        ):
            with pytest.raises(RowAltered):
                ask()
    assert [(one.code, one.subject) for one in verify_row_tags(services.index, None).findings] == [("review-altered", "review line 1")]
