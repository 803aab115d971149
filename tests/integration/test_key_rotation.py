"""The key-encryption key is replaced: all of it, through crashes, beside a gateway that serves, and never over what was altered.

In campaigns once more on PostgreSQL, to which the same gateway is moved as a restore moves it.
"""

import json
import shutil
import threading
import time
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import databases
import pytest
from gateway_process import GatewayProcess, served
from sqlalchemy import select, tuple_

from chain.transactions import AuditReportBody
from gateway.backup.placing import move_in
from gateway.bootstrap import open_services
from gateway.index import audit_reports, directory_links, memberships, outbox, parties, persons, restores
from gateway.index import schema as t
from gateway.index.database import open_index
from gateway.index.schema import metadata
from gateway.key_rotation import IN_FLIGHT, SEALED, NotRetired, prepare, retire, rotate
from gateway.settings import load_settings, save_settings
from gateway.vault import primitives
from gateway.vault.errors import RowAltered, WrongKey
from gateway.vault.kek_file import KekFile, KeyFileUnusable, create_kek
from gateway.vault.keyring import version_of, version_of_tag

pytestmark = pytest.mark.both_databases(slow=True)
DEMO = Path(__file__).parents[2] / "gateway/assets/demo-bundle.json"
SHARED = "https://ids.example.org/person"
NOW = 2_000_000_000


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A gateway with a hospital's records, an archive of a patient who granted something, and a person's traits; restored once; stopped.

    There is a row in every table that something is sealed in or tagged.
    """
    folder = tmp_path_factory.mktemp("rotated")
    with served(folder, "--shared-system", SHARED) as gateway:
        hospital, insurer = gateway.party(), gateway.party("agency", "Insurer")
        gateway.json("push", "--as", hospital, DEMO)
        patient = folder / "patient.json"
        gateway.cli("patient", "enrol", "--identifier", f"{SHARED}|DEMO-4471", "--url", gateway.url, "--out", patient)
        to = json.loads(insurer.read_bytes())["client_id"]
        granted = ["--to", to, "--types", "Observation", "--purpose", "HPAYMT", "--until", "2040-01-01"]
        granted += ["--except-codes", "http://loinc.org|75622-1"]
        gateway.cli("consent", "grant", "--as", patient, *granted)
        size = gateway.wait_final()["transactions"]
    with opened(gateway.home) as (_, services), services.index.atomic() as connection:
        last = services.ledger.last_sequence(services.gateway)
        restores.begin(connection, made_at=1, log_size=size, ledger_size=size, last_sequence=last, now=2)
        restores.accept(connection, 3)
        made_at = int(time.time()) + 3600  # so that it counts as on its way, however long a test takes
        outbox.add(connection, AuditReportBody(audit_reports.add(connection, 1, made_at, ("ledger",), 0, b"{}"), made_at, 0), made_at)
        directory_links.add(connection, 1, [(7, directory_links.OWN), (7, 1), (8, 1)])
        persons.open_line(connection, 1, 2, "several-matches", bytes(16), 5)
        memberships.add(connection, 1, 1)
    return gateway


def copied(made, home):
    """The gateway in a home of its own."""
    shutil.copytree(made.home, home)
    if urls := databases.chosen():
        move_in(home, urls, {}, ExitStack(), lambda _what, _reached, _total: None)
        save_settings(home, {"shared_systems": (SHARED,), **urls})
    return home


@pytest.fixture
def home(made, tmp_path):
    return copied(made, tmp_path / "gw")


@contextmanager
def unit(home):
    with closing(open_index(load_settings(home, {}).effective_database_url)) as index, index.atomic() as connection:
        yield connection


@contextmanager
def opened(home):
    services = open_services(load_settings(home, {}))
    try:
        yield KekFile(services.settings.kek_path), services
    finally:
        services.index.close()
        services.ledger.close()


def values(home):
    """(table, column, version) of every sealed value and tag."""
    with unit(home) as connection:
        for sealed in SEALED:
            for name in [*sealed.contexts, *(["tag"] if sealed.tagged else [])]:
                column = sealed.table.c[name]
                for value in connection.scalars(select(column).where(column.is_not(None))):
                    yield sealed.table.name, name, (version_of_tag if name == "tag" else version_of)(value)


def change(home, column, make, *where):
    """What `make` makes of the value of one row."""
    with unit(home) as connection:
        value = connection.scalars(select(column).where(*where)).one()
        assert connection.execute(column.table.update().where(*where).values({column: make(value)})).rowcount == 1


def audit(made, home, expect=0):
    kept, made.home = made.home, home
    try:
        return made.json("audit", "run", expect=expect)
    finally:
        made.home = kept


def states(home):
    return [(key.version, key.state) for key in KekFile(home / "keys/kek.json").read()]


@pytest.mark.sqlite_only
def test_every_sealed_column_of_the_schema_is_rotated():
    known = {(sealed.table.name, name) for sealed in SEALED for name in sealed.contexts}
    named = {(table.name, c.name) for table in metadata.sorted_tables for c in table.columns if "sealed" in c.name}
    assert named == known
    assert {t.name for t in metadata.sorted_tables if "tag" in t.columns} == {sealed.table.name for sealed in SEALED if sealed.tagged}


def test_after_a_rotation_the_old_key_opens_nothing_and_is_not_missed(made, home):
    before = list(values(home))
    assert {table for table, _, _ in before} == {sealed.table.name for sealed in SEALED}
    with opened(home) as (file, services):
        rotation = rotate(file, services, NOW)
        assert (rotation.version, rotation.is_done, rotation.resealed) == (2, True, sum(column != "tag" for _, column, _ in before))
        assert {version for _, _, version in values(home)} == {2}
        assert states(home) == [(1, "retired"), (2, "current")]
        with pytest.raises(NotRetired, match="for 10 minutes; try again in"):
            retire(file, services, NOW + IN_FLIGHT - 1)
        assert retire(file, services, NOW + IN_FLIGHT) == [1]
    assert states(home) == [(2, "current")]
    report = audit(made, home)
    assert (report["findings"], report["could_not_check"]) == ([], [])
    with opened(home) as (file, services):
        assert rotate(file, services, NOW).version == 3


@pytest.mark.parametrize("at", [sealed.table.name for sealed in SEALED])
def test_a_crash_in_the_middle_leaves_all_of_it_open_and_the_next_call_goes_on(made, home, at):
    def crash(table, _rows):
        if table == at:
            raise KeyboardInterrupt

    with opened(home) as (file, services), pytest.raises(KeyboardInterrupt):
        rotate(file, services, NOW, crash)
    assert states(home) == [(1, "replaced"), (2, "current")]
    assert {version for table, _, version in values(home) if table == "secret"} == {2}
    with opened(home) as (file, services):
        with services.index.reading() as connection:
            assert len(parties.all_parties(connection)) == 3
        assert retire(file, services, NOW + IN_FLIGHT) == [], "nothing is retired yet"
        assert rotate(file, services, NOW).version == 2, "no third key"
    assert {version for _, _, version in values(home)} == {2}
    assert states(home) == [(1, "retired"), (2, "current")]


def test_what_does_not_open_is_named_and_keeps_the_old_key(made, home):
    change(home, t.consent_grant.c.sealed, lambda sealed: sealed + b"\0")
    change(home, t.party.c.name, lambda _: "Other", t.party.c.name == "Insurer")
    with opened(home) as (file, services):
        rotation = rotate(file, services, NOW)
        assert [row.split()[0] for row in rotation.unopened] == ["party", "consent_grant"]
        with services.index.reading() as connection, pytest.raises(RowAltered):
            parties.all_parties(connection)
    assert states(home) == [(1, "replaced"), (2, "current")]
    assert "party-altered" in {finding["code"] for finding in audit(made, home, expect=1)["findings"]}


def test_what_came_in_under_the_old_key_at_the_end_is_sealed_anew_before_that_is_dropped(made, home):
    with unit(home) as connection:
        older = connection.scalar(select(t.archive.c.sealed_secret).where(t.archive.c.row == 1))
    with opened(home) as (file, services):
        rotate(file, services, NOW)
        change(home, t.archive.c.sealed_secret, lambda _: older, t.archive.c.row == 1)
        assert retire(file, services, NOW + IN_FLIGHT) == [1]
    assert {version for _, _, version in values(home)} == {2}
    assert audit(made, home)["findings"] == []


def test_no_key_is_dropped_while_something_does_not_open(home):
    with opened(home) as (file, services):
        rotate(file, services, NOW)
        change(home, t.archive.c.sealed_secret, lambda sealed: sealed + b"\0", t.archive.c.row == 1)
        with pytest.raises(NotRetired, match="archive 1 does not open"):
            retire(file, services, NOW + IN_FLIGHT)
    assert states(home) == [(1, "retired"), (2, "current")]


def test_another_gateways_key_opens_nothing_here(home):
    (home / "keys/kek.json").unlink()
    create_kek(home / "keys/kek.json", lambda n: b"x" * n)
    with pytest.raises(WrongKey), opened(home):
        pass


def test_what_was_sealed_before_versions_were_told_opens_and_is_rotated(made, home):
    """Format 1: an item without a mark, a tag of 16 bytes."""
    with opened(home) as (file, services), services.index.atomic() as connection:
        kek = file.read()[0].kek
        for sealed in SEALED:
            for row in connection.execute(sealed.table.select()).all():
                old = {
                    name: primitives.seal_item(
                        kek, context(services, row).encode(), services.keyring.open(context(services, row), value), services.random
                    )
                    for name, context in sealed.contexts.items()
                    if (value := getattr(row, name)) is not None
                }
                if sealed.tagged:
                    old["tag"] = row.tag[2:]
                connection.execute(sealed.table.update().where(tuple_(*sealed.keys) == sealed.key_of(row)).values(**old))
    assert audit(made, home)["findings"] == []
    with opened(home) as (file, services):
        assert rotate(file, services, NOW).is_done
    assert {version for _, _, version in values(home)} == {2}
    assert audit(made, home)["findings"] == []


def test_a_prepared_key_seals_nothing_until_it_is_rotated_to(home):
    with opened(home) as (file, services):
        assert prepare(file, services, NOW).version == prepare(file, services, NOW).version == 2
        assert states(home) == [(1, "current"), (2, "next")]
        assert services.keyring.version == 1
        assert rotate(file, services, NOW).version == 2
        assert states(home) == [(1, "retired"), (2, "current")]


def test_of_two_that_rotate_at_once_one_is_refused_and_no_key_is_lost(home):
    """Each would put a second version of its own into the file, and everything is sealed under the one that was written over."""
    refused = []

    def other(_table, _rows):
        for change_it in (rotate, prepare, retire):
            with opened(home) as (file, services), pytest.raises(KeyFileUnusable, match="another command"):
                change_it(file, services, NOW)
            refused.append(change_it)

    with opened(home) as (file, services):
        rotate(file, services, NOW, other)
        assert len(refused) > 3
        assert rotate(file, services, NOW).version == 3
    with opened(home):
        assert {version for _, _, version in values(home)} == {3}


def test_a_file_from_before_checks_is_read_and_gets_them(home):
    path = home / "keys/kek.json"
    held = json.loads(path.read_bytes())
    del held["keys"][0]["check"]
    path.write_text(json.dumps(held))
    with opened(home) as (file, services):
        prepare(file, services, NOW)
    held = json.loads(path.read_bytes())
    held["keys"][0]["check"] = "0" * 16
    path.write_text(json.dumps(held))
    with pytest.raises(KeyFileUnusable, match="not the one that was written"), opened(home):
        pass


def test_a_file_that_breaks_while_it_is_used_stops_nobody(home):
    with opened(home) as (_, services):
        (home / "keys/kek.json").write_bytes(b"{}")
        sealed = services.keyring.seal("context", b"secret", services.random)
        (home / "keys/kek.json").unlink()
        assert services.keyring.open("context", sealed) == b"secret"


def test_a_gateway_serves_through_rotations(made, tmp_path):
    gateway = GatewayProcess.__new__(GatewayProcess)
    gateway.__dict__.update(vars(made))
    gateway.folder, gateway.home, gateway.log = tmp_path, copied(made, tmp_path / "gw"), tmp_path / "serve.log"
    gateway.start()
    answers, stop = [], threading.Event()

    def work(hospital, number):
        connection = gateway.connect(hospital)
        while not stop.is_set():
            body = b'{"resourceType":"Patient","identifier":[{"system":"urn:x","value":"%d-%d"}]}' % (number, len(answers))
            made_it = connection.ask("POST", "/fhir/Patient", body, {"Content-Type": "application/fhir+json"})
            read = connection.ask("GET", "/fhir/Patient/" + made_it.headers["Location"].split("/")[-3])
            answers.append((made_it.status, read.status))
        connection.close()

    try:
        hospital = gateway.party(name="Second Hospital")
        threads = [threading.Thread(target=work, args=(hospital, number)) for number in range(3)]
        for thread in threads:
            thread.start()
        for version in (2, 3):
            assert gateway.json("keys", "rotate-kek")["version"] == version
            time.sleep(0.3)
        stop.set()
        for thread in threads:
            thread.join()
        assert set(answers) == {(201, 200)}
        assert len(answers) > 5
        gateway.wait_final()
        assert gateway.json("audit", "run")["findings"] == []
    finally:
        stop.set()
        gateway.stop()
    with opened(gateway.home) as (file, services):  # a request that ran when a rotation ended may have left something
        assert retire(file, services, int(time.time()) + IN_FLIGHT) == [1, 2]
    assert {version for _, _, version in values(gateway.home)} == {3}
