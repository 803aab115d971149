"""A gateway whose databases are PostgreSQL's: made whole or not at all, errors in words without secrets, and back after the server was away."""

import json
import time

import databases
import pytest
from click.testing import CliRunner
from intake_case import add_party, open_services, post
from sqlalchemy import text

from chain import postgresql
from chain.database import LedgerMissing, LedgerUnreachable
from chain.ledger import Ledger
from chain.store import LedgerStore
from chain.tables import state_entry
from gateway.bootstrap import open_services as open_gateway
from gateway.bootstrap import read_genesis
from gateway.cli import main
from gateway.errors import Unavailable
from gateway.index.database import LostRace, open_index
from gateway.index.row_numbers import take
from gateway.settings import load_settings

SECRET = "hunter2-s3cret"


@pytest.fixture
def server(postgresql_server):
    databases.use(postgresql_server)
    yield postgresql_server
    databases.use(None)


@pytest.fixture
def urls(server):
    """Two that are empty."""
    return databases.chosen()


def init(home, database_url=None, ledger_url=None, environ=None):
    flags = [*(["--database-url", database_url] if database_url else []), *(["--ledger-url", ledger_url] if ledger_url else [])]
    return CliRunner().invoke(main, ["--home", str(home), "init", *flags], env=environ or {})


def tables(url):
    engine = postgresql.open_engine(url, patience=2)
    try:
        return not postgresql.is_empty(engine)
    finally:
        engine.dispose()


def test_init_takes_two_addresses_and_the_rest_is_as_ever(tmp_path, urls):
    home = tmp_path / "gw"
    made = init(home, **urls)
    assert made.exit_code == 0, made.output
    assert (home / "settings.json").stat().st_mode & 0o777 == 0o600
    assert not list(home.glob("*.db"))
    settings = load_settings(home, {})
    services = open_gateway(settings)
    hospital = add_party(services)
    assert post(services, hospital, {"resourceType": "Patient"}, "Patient").results[0].status == "created"
    services.index.close()
    services.ledger.close()
    assert "postgresql" not in repr(settings)


def test_addresses_may_stay_in_the_environment(tmp_path, urls):
    environ = {"FHIR_ANCHOR_DATABASE_URL": urls["database_url"], "FHIR_ANCHOR_LEDGER_URL": urls["ledger_url"]}
    assert init(tmp_path / "gw", environ=environ).exit_code == 0
    assert json.loads((tmp_path / "gw" / "settings.json").read_bytes()) == {}
    assert tables(urls["database_url"])
    assert tables(urls["ledger_url"])


def with_password(server, name, password, user="secretive"):
    return f"postgresql+psycopg://{user}:{password}@/{name}?host={server.folder}"


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("wrong password", "refuses the user or the password"),
        ("no such database", "make it first"),
        ("no server", "cannot be reached"),
        ("no rights", "lacks rights"),
        ("not empty", "is not empty"),
        ("the same", "is the same database"),
        ("no address", "must be an address of the form"),
        ("another driver", "must be an address of the form"),
    ],
)
@pytest.mark.parametrize("which", ["database_url", "ledger_url"])
def test_what_hinders_is_said_without_the_secret_and_leaves_nothing(tmp_path, server, urls, fault, said, which):
    other = next(name for name in urls if name != which)
    name = postgresql.parse(urls[which]).database
    if not server.execute("SELECT 1 FROM pg_roles WHERE rolname = 'secretive'"):
        server.execute(f"CREATE ROLE secretive LOGIN PASSWORD '{SECRET}'")
    if fault == "not empty":
        server.execute("CREATE TABLE theirs (a int)", name)
    wrong = {
        "wrong password": with_password(server, name, SECRET + "x"),
        "no such database": with_password(server, "nowhere", SECRET),
        "no server": f"postgresql+psycopg://u:{SECRET}@/x?host={tmp_path}",
        "no rights": with_password(server, name, SECRET),
        "not empty": urls[which],
        "the same": urls[other],
        "no address": f"postgresql+psycopg://u:{SECRET}@host:port/x",
        "another driver": f"postgresql://u:{SECRET}@host/x",
    }[fault]
    made = init(tmp_path / "gw", **(urls | {which: wrong}))
    assert made.exit_code == 2
    assert said in made.output
    assert SECRET not in made.output
    assert not (tmp_path / "gw").exists()
    if fault != "the same":
        assert not tables(urls[other])


def test_a_ledger_is_made_once_and_readers_cannot_write(tmp_path, urls):
    assert init(tmp_path / "gw", **urls).exit_code == 0
    genesis = read_genesis(load_settings(tmp_path / "gw", {}))
    with pytest.raises(LedgerMissing, match="not empty"):
        LedgerStore.create(urls["ledger_url"], genesis)
    with pytest.raises(LedgerMissing, match="no ledger"):
        LedgerStore.open(urls["database_url"], genesis)
    reader = LedgerStore.open(urls["ledger_url"], genesis, read_only=True)
    with pytest.raises(LedgerUnreachable) as caught, reader.engine.begin() as connection:
        connection.execute(state_entry.delete())
    assert "read-only" in str(caught.value.__cause__)
    reader.close()


def test_while_the_server_is_away_it_is_unavailable_and_then_it_goes_on(tmp_path, server):
    services = open_services(tmp_path)
    hospital = add_party(services)
    assert init(tmp_path / "gw", **databases.chosen()).exit_code == 0
    settings = load_settings(tmp_path / "gw", {})
    ledger = Ledger.open(settings.effective_ledger_url, read_genesis(settings))
    assert ledger.height() == 0
    server.stop()
    with pytest.raises(Unavailable) as caught:
        post(services, hospital, {"resourceType": "Patient"}, "Patient")
    assert caught.value.retry_after > 0
    with pytest.raises(LedgerUnreachable, match=r"^the ledger cannot be reached for now$"):
        ledger.height()
    for opening in (lambda: open_gateway(settings), lambda: Ledger.open(settings.effective_ledger_url, ledger.genesis)):
        with pytest.raises((Unavailable, LedgerUnreachable), match=r"PostgreSQL database.*is it running"):
            opening()
    server.start()
    assert post(services, hospital, {"resourceType": "Patient"}, "Patient").results[0].status == "created"
    assert ledger.height() == 0
    ledger.close()
    services.index.close()


def test_a_unit_waits_for_the_lock_only_so_long_and_an_idle_one_is_ended(tmp_path, server):
    services = open_services(tmp_path)
    impatient = open_index(databases.url(tmp_path, "gateway"), busy_seconds=0.1)
    with services.index.atomic():
        began = time.monotonic()
        with pytest.raises(Unavailable), impatient.atomic():
            pass
        assert time.monotonic() - began < 5
        with impatient.reading() as connection:  # readers wait for nobody
            connection.execute(text("SELECT 1"))

    def idle():
        with services.index.atomic() as connection:
            connection.execute(text("SET LOCAL idle_in_transaction_session_timeout = 100"))
            time.sleep(0.5)
            take(connection, "resource", 1)

    with pytest.raises(Unavailable):
        idle()
    with impatient.atomic() as connection:
        assert take(connection, "other", 2) == range(1, 3)
    impatient.close()
    services.index.close()


@pytest.mark.parametrize("state", ["40001", "40P01"])
def test_what_the_server_says_to_try_again_is_a_lost_race(tmp_path, server, state):
    services = open_services(tmp_path)
    with pytest.raises(LostRace), services.index.atomic() as connection:
        connection.exec_driver_sql(f"DO $$ BEGIN RAISE EXCEPTION 'again' USING ERRCODE = '{state}'; END $$")
    services.index.close()


def test_a_reader_sees_one_state_and_cannot_write(tmp_path, server):
    services = open_services(tmp_path)
    with services.index.reading() as connection:
        before = connection.scalar(text("SELECT count(*) FROM party"))
        add_party(services)
        assert connection.scalar(text("SELECT count(*) FROM party")) == before
    with pytest.raises(Unavailable), services.index.reading() as connection:
        take(connection, "resource", 1)
    services.index.close()


def test_nothing_of_an_address_but_its_place_is_said():
    url = f"postgresql+psycopg://admin:{SECRET}@db.example.org:6432/fhir?password={SECRET}"
    assert postgresql.place(url) == "the PostgreSQL database 'fhir' at db.example.org:6432"
    for wrong in (f"postgresql+psycopg://u:{SECRET}@h:x/db", f"postgresql+psycopg://u:{SECRET}@h", f"postgres:{SECRET}"):
        with pytest.raises(postgresql.BadAddress) as caught:
            postgresql.parse(wrong)
        assert SECRET not in str(caught.value)
