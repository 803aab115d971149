"""After an erasure the sealed keys are in no file of the database, and where that cannot be reached the operator is told, and finishes it."""

import json
import subprocess
import sys
from contextlib import contextmanager

import databases
import pytest
from audit_case import PERSON, AuditedHome, patient
from click.testing import CliRunner
from intake_case import add_party, open_services, post, put
from sqlalchemy import func, select

from gateway import erasure
from gateway.cli import main
from gateway.index import archives, traces
from gateway.index import schema as t
from gateway.index.traces import TracesRemain
from gateway.registration import NotOnePatient
from jobs.audit_row_tags import verify_keyless

_READER = """
import sqlite3, sys
database = sqlite3.connect(sys.argv[1], isolation_level=None)
database.execute("BEGIN")
database.execute("SELECT count(*) FROM archive").fetchone()
print("reads", flush=True)
sys.stdin.read()
"""


@contextmanager
def open_reader(home):
    """Another process in the middle of reading the database."""
    with subprocess.Popen([sys.executable, "-c", _READER, home / "gateway.db"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"reads\n"
        yield
        process.stdin.close()
        assert process.wait(10) == 0


def holding(home, sealed):
    """The files that hold any of these bytes; read elsewhere, as closing a file here would take this process's locks on it away."""
    files = sorted(home.glob("gateway.db*"))
    found = [(file, subprocess.run(["cat", file], capture_output=True, check=True).stdout) for file in files]
    return [file.name for file, body in found if any(bytes_ in body for bytes_ in sealed)]


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """Patients 0 to 3, each in an archive whose row was written again and again; 2 and 3 are joined."""
    made = AuditedHome.make(tmp_path_factory.mktemp("traces"))
    hospital = made.party()
    for turn in range(3):
        for number in range(4):
            put(made.services, hospital, f"Patient/p{number}", patient(number, birthDate=f"198{number}-02-03", active=turn == 1))
    yield made
    made.close()


def rows_of(home, number):
    with home.services.index.reading() as connection:
        return erasure.archives_of(home.services, connection, "urn:mrn", f"mrn-{number}")


def sealed_of(home, rows):
    with home.services.index.reading() as connection:
        found = archives.by_rows(connection, rows).values()
    return [sealed for archive in found for sealed in (archive.keys.sealed_seed, archive.keys.sealed_secret)]


def run(home, number, *more):
    command = ("patient", "erase", "--identifier", f"urn:mrn|mrn-{number}", "--yes", *more)
    return CliRunner().invoke(main, ["--home", str(home.home), *command])


def test_with_a_reader_it_says_what_remains_and_the_same_command_finishes_it(home):
    sealed = sealed_of(home, rows_of(home, 0))
    with home.services.index.engine.connect() as connection:
        for statement in ("PRAGMA secure_delete=OFF", "CREATE TABLE moved AS SELECT * FROM archive", "DROP TABLE moved"):
            connection.exec_driver_sql(statement)  # as pages that the database once moved rows from
        connection.commit()
    assert holding(home.home, sealed)
    with open_reader(home.home):
        done = run(home, 0, "--wait", "0.2")
        assert (done.exit_code, isinstance(done.exception, SystemExit)) == (2, True), done.output
        assert "the patient is erased" in done.output
        assert "Run the same command again" in done.output
        assert holding(home.home, sealed), "else this test shows nothing"
        [finding] = verify_keyless(home.services).findings
        assert (finding.code, "1 erased patients" in finding.detail) == ("erasure-unfinished", True)
        assert run(home, 0, "--wait", "0").exit_code == 2
    done = run(home, 0, "--wait", "5", "--json")
    assert (done.exit_code, json.loads(done.stdout)["archives"]) == (0, 1), done.output
    assert holding(home.home, sealed) == []
    assert verify_keyless(home.services).findings == ()
    assert run(home, 0).exit_code == 1, "nobody has this identifier any more"


def test_a_writer_is_in_the_way_too(home):
    sealed = sealed_of(home, rows_of(home, 1))
    with home.services.index.atomic(), pytest.raises(TracesRemain):
        traces.forget(home.services.index, 0)
    assert run(home, 1).exit_code == 0
    assert holding(home.home, sealed) == []


def test_a_joined_group_goes_only_if_that_was_looked_at(home):
    first, second = rows_of(home, 2), rows_of(home, 3)
    with home.services.index.atomic() as connection:
        archives.join(connection, first, second)
    refused = run(home, 2)
    assert (refused.exit_code, "2 archives are joined" in refused.output, "--joined" in refused.output) == (1, True, True), refused.output
    sealed = sealed_of(home, (*first, *second))
    assert None not in sealed, "nothing was erased"
    done = run(home, 2, "--joined", "--json")
    assert (done.exit_code, json.loads(done.stdout)["archives"]) == (0, 2), done.output
    assert holding(home.home, sealed) == []


@pytest.mark.both_databases(slow=True)
def test_erased_and_cleaned_on_either_database(tmp_path):
    services = open_services(tmp_path)
    post(services, add_party(services), patient(1), "Patient")
    erased = erasure.erase(services, PERSON, "person-1", patience=5)
    assert (erased.archives, erased.records) == (1, 1)
    with services.index.reading() as connection:
        assert connection.scalar(select(func.count()).select_from(t.uncleaned)) == 0
    if databases.url(tmp_path, "gateway").startswith("postgresql"):
        held = services.index.engine.connect()
        held.exec_driver_sql("SELECT count(*) FROM archive")
        post(services, add_party(services, "hospital-00000002"), patient(2), "Patient")
        with pytest.raises(TracesRemain):
            erasure.erase(services, PERSON, "person-2", patience=0.1)
        held.close()
        assert erasure.erase(services, PERSON, "person-2", patience=5).records == 1
    with pytest.raises(NotOnePatient):
        erasure.erase(services, PERSON, "person-1")
    services.index.close()
