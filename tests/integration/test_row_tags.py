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

from gateway import joining
from gateway.cli import main
from gateway.index import archives, erasures, outbox, parties, persons
from gateway.index.schema import metadata
from gateway.party_check import verify_standing
from gateway.upgrading import mark_tagged, upgrade
from gateway.vault.errors import RowAltered
from jobs.audit import Audit, run_audit
from jobs.audit_row_tags import verify_row_tags
from jobs.registry import jobs_of, opened_for

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


@pytest.fixture(scope="module")
def audited(tmp_path_factory):
    """A home whose nightly audit has seen two joined archives split, another pair kept apart, a suspended hospital and patient."""
    home = AuditedHome.make(tmp_path_factory.mktemp("lasting"))
    hospital, gone, now = home.party(), home.party("Other"), int(time.time())
    for number in range(4):
        post(home.services, hospital, PATIENT | {"id": f"p{number}"}, "Patient")
    home.block()
    with home.services.index.atomic() as connection:
        parties.enrol_patient(connection, client_id="patient-1", archive=1, jwks={"keys": []}, signing_key=bytes(32), now=1)
        archives.join(connection, [1], [2])
        persons.open_line(connection, 3, 4, "several-matches", bytes(16), now)
    before = rows_of(home)
    with home.services.index.atomic() as connection:
        archives.split(connection, 2)
        persons.part(connection, 1, 2, bytes(16), now)
        joining.decide(connection, 1, "keep-apart", now)
        parties.suspend(connection, "patient-1", now)
        parties.suspend(connection, gone.client_id, now)
    nightly(home)
    yield home, gone.client_id, before
    home.close()


TABLES = ("party", "archive", "membership", "review", "audit_report")


def rows_of(home):
    with home.services.index.reading() as connection:
        return {name: connection.execute(metadata.tables[name].select()).all() for name in TABLES}


def put_back(home, older, *names):
    """The rows of some tables as they were, each with the tag that it had then: what is newer goes."""
    with home.services.index.atomic() as connection:
        if connection.dialect.name == "sqlite":
            connection.exec_driver_sql("PRAGMA defer_foreign_keys = ON")
        for name in names:
            connection.execute(metadata.tables[name].delete())
            for row in older[name]:
                connection.execute(metadata.tables[name].insert().values(row._asdict()))


def nightly(home):
    with opened_for(home.services.settings) as opened:
        job = next(job for job in jobs_of(home.services.settings) if job.name == "audit")
        counts = job.run(opened).counts
    assert (counts["findings"], counts["could_not_check"]) == (0, 0)
    home.block()


@pytest.mark.parametrize(
    ("tables", "found"),
    [
        (["archive"], {("archive-altered", "archive 2")}),
        (["archive", "membership"], {("archive-altered", "memberships")}),
        (["review"], {("review-altered", "review line 1"), ("review-altered", "review line 2")}),
        (["party"], {("party-altered", "party patient-1"), ("party-altered", "party GONE")}),
        (["audit_report"], {("report-altered", "transaction LAST")}),
    ],
)
def test_older_rows_with_their_own_tags_are_named_by_the_next_audit(audited, tables, found):
    home, gone, before = audited
    now, settings = rows_of(home), home.services.settings
    put_back(home, before, *tables)
    names = {"GONE": gone, "LAST": str(home.ledger().log_size() - 1)}
    wanted = {(code, " ".join(names.get(word, word) for word in subject.split())) for code, subject in found}
    report = run_audit(Audit(settings, int(time.time())), ("content", "conduct"))
    assert {(one.code, one.subject) for one in report.findings} == wanted
    put_back(home, now, *tables)
    assert run_audit(Audit(settings, int(time.time())), ("content", "conduct")).findings == ()


def test_lines_of_the_queue_go_with_an_erasure_and_come_with_new_decisions(audited):
    home, _, _ = audited
    now = rows_of(home)
    with home.services.index.atomic() as connection:
        persons.decide_line(connection, 1, "join", 9)
        erasures.destroy(connection, 2)
        archives.join(connection, [1], [3])
    report = verify_row_tags(home.services.index, home.ledger())
    assert report.findings == ()
    assert report.checked["rows that lasted since the last audit"] == 6
    put_back(home, now, "archive", "membership", "review")


def test_a_line_s_number_that_is_given_again_after_an_erasure_is_no_older_line(audited):
    home, _, _ = audited
    now = rows_of(home)
    with home.services.index.atomic() as connection:
        erasures.destroy(connection, 2)
        persons.open_line(connection, 3, 4, "same-name", bytes([1] * 16), 9)
    with home.services.index.reading() as connection:
        assert persons.line(connection, 2).archive == 3, "the database gave the number of the line that went"
    assert verify_row_tags(home.services.index, home.ledger()).findings == ()
    put_back(home, now, "archive", "membership", "review")


def test_who_is_suspended_on_the_ledger_gets_no_token_by_an_older_row(audited):
    home, gone, before = audited
    now, services = rows_of(home), home.services
    put_back(home, before, "party")
    party = services.parties.by_client_id(gone)
    assert party.active
    with pytest.raises(RowAltered, match="suspended on the ledger"):
        verify_standing(services, party)
    put_back(home, now, "party")
