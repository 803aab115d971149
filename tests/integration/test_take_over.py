"""A restored gateway takes over, and the home that it was restored from serves no more: neither started again nor running on."""

import os
import sqlite3
import time
from contextlib import closing
from datetime import UTC, datetime

import pytest
from backup_case import Home, cli, made, restored

from chain.ledger import Ledger
from gateway import tenure
from gateway.bootstrap import keyring_of, open_services, read_genesis
from gateway.index.database import open_index
from gateway.settings import load_settings
from gateway.storage.file_store import FileObjectStore
from gateway.storage.opening import open_object_store
from gateway.tenure import TakenOver
from gateway.vault.tenure_mark import parse_tenure, tenure_body, tenure_name
from gateway.web.app import create_app
from jobs.scheduler import JobsProcess

NOW = int(datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC).timestamp())


@pytest.fixture(scope="module")
def homes(tmp_path_factory):
    """A gateway, and what was restored from its backup."""
    gateway = made(tmp_path_factory.mktemp("take-over") / "gw")
    return gateway, restored(gateway, "--known-height", gateway.told["height"])


@pytest.fixture
def gateway(homes):
    """Nobody has taken anything over."""
    yield homes[0]
    store = turn(homes[0]).store
    for item in list(store.list("tenures/")):
        store.delete(item.name)
    tenure.clear(homes[0].home)


@pytest.fixture
def new(homes):
    return homes[1]


def turn(home, store=None):
    settings = load_settings(home.home, {})
    with closing(open_index(settings.effective_database_url, keyring_of(settings))) as index:
        return tenure.tenure_of(index, keyring_of(settings), store or open_object_store(settings.effective_bucket_url))


def marks(home):
    return [item.name for item in turn(home).store.list("tenures/")]


def test_the_old_home_neither_serves_nor_runs_a_job_once_the_new_one_was_served(gateway, new):
    assert marks(gateway) == [], "a restore leaves the bucket alone"
    turn(gateway).take(NOW)
    cli("--home", gateway.home, "jobs", "run", "sweep-orphans")
    turn(new).take(NOW)
    turn(new).take(NOW + 1)  # the next start
    assert marks(new) == [tenure_name(1)]
    for command in (("serve", "--port", "0"), ("jobs", "run", "sweep-orphans"), ("party", "list")):
        refused = cli("--home", gateway.home, *command, expect=2)
        assert "taken over" in refused.output
        assert "2026-03-04 05:06:07Z" in refused.output
    cli("--home", new.home, "jobs", "run", "sweep-orphans")
    assert new.audit("storage").findings == (), "the mark is no orphan"


def test_a_home_of_an_earlier_version_is_told_to_be_upgraded_before_its_rows_are_read(gateway):
    with closing(sqlite3.connect(gateway.home / "gateway.db")) as database:
        [[version]] = database.execute("SELECT version_num FROM alembic_version")
        database.executescript("UPDATE alembic_version SET version_num = '0001'; ALTER TABLE restore RENAME TO not_yet")
        refused = cli("--home", gateway.home, "serve", "--port", "0", expect=2)
        database.executescript(f"UPDATE alembic_version SET version_num = '{version}'; ALTER TABLE not_yet RENAME TO restore")
    assert "bring it up to date with: fhir-anchor" in refused.output


def test_the_way_back_is_a_backup_of_the_old_home(gateway, new):
    turn(new).take(NOW)
    old = Home(gateway.home)
    old.file = gateway.home.parent / "back.tar"
    cli("--home", gateway.home, "backup", "create", "--out", old.file)
    back = restored(old, "--ledger", gateway.home / "ledger.db", name="back")
    turn(back).take(NOW)
    assert marks(back) == [tenure_name(1), tenure_name(2)]
    for gone in (new, gateway):
        with pytest.raises(TakenOver):
            turn(gone).take(NOW)


def test_of_two_homes_from_one_backup_the_first_that_is_served_is_the_gateway(gateway, new):
    second = restored(gateway, "--known-height", gateway.told["height"], name="second")
    turn(second).take(NOW)
    with pytest.raises(TakenOver):
        turn(new).take(NOW)


class Interrupted(Exception):
    """As kill -9 would end it."""


class Cut(FileObjectStore):
    """Crashes before or after the object is there."""

    after = False

    def put_if_absent(self, name, body):
        if self.after:
            super().put_if_absent(name, body)
        raise Interrupted


@pytest.mark.parametrize("after", [False, True])
def test_a_take_over_that_was_interrupted_is_ended_by_the_next_start(gateway, new, after):
    cut = Cut(gateway.home / "bucket")
    cut.after = after
    with pytest.raises(Interrupted):
        turn(new, cut).take(NOW)
    if after:
        with pytest.raises(TakenOver):
            turn(gateway).verify()
    else:
        turn(gateway).verify()
    turn(new).take(NOW)
    with pytest.raises(TakenOver):
        turn(gateway).verify()


def test_who_can_write_the_bucket_stops_nobody_by_marks_of_theirs(gateway, new):
    own_key, store = turn(gateway).own_key, turn(gateway).store
    store.put_if_absent(tenure_name(7), tenure_body(bytes(32), 7, bytes(16), NOW))
    store.put_if_absent(tenure_name(8), b"{}")
    genuine = tenure_body(own_key, 1, bytes(16), NOW)
    store.put_if_absent(tenure_name(9), genuine)
    turn(gateway).verify()
    assert parse_tenure(own_key, 1, genuine) is not None
    for altered in (genuine.replace(b":1,", b":2,"), genuine.replace(b"00", b"01"), genuine.replace(str(NOW).encode(), b"-1"), b"", b"[]"):
        assert parse_tenure(own_key, 1, altered) is None
    store.put_if_absent(tenure_name(1), b"in the way")
    with pytest.raises(TakenOver, match="remove it"):
        turn(new).take(NOW)
    store.delete(tenure_name(1))
    turn(new).take(NOW)


def test_a_home_s_own_mark_spelled_otherwise_is_none(gateway, new):
    store = turn(new).store
    turn(new).take(NOW)
    own = store.get(tenure_name(1))
    spelled = turn(new).id.hex()
    for other in (spelled.upper(), " ".join([spelled[:2], spelled[2:]])):
        store.delete(tenure_name(1))
        store.put_if_absent(tenure_name(1), own.replace(spelled.encode(), other.encode()))
        turn(new).verify()
    store.delete(tenure_name(1))
    store.put_if_absent(tenure_name(1), b" " * 1024 + own)  # no more is read than a mark can have
    turn(gateway).verify()


class Production:
    """Counts its slots."""

    slots = 0

    def produce(self, _now):
        self.slots += 1


def test_an_old_home_that_still_runs_stops_and_says_why(gateway, new):
    settings = load_settings(gateway.home, {})
    services = open_services(settings)
    with closing(services.index), closing(Ledger.open(settings.effective_ledger_url, read_genesis(settings))) as ledger:
        production, old = Production(), turn(gateway)
        jobs = JobsProcess(settings, read_genesis(settings), services.index, production, turn=old)
        client = create_app(services, ledger).test_client()
        jobs._look_who_serves(old)
        jobs._produce()
        assert (production.slots, client.get("/ledger/head").status_code) == (1, 200)
        turn(new).take(int(time.time()))
        jobs._look_who_serves(old)
        jobs._produce()
        assert production.slots == 1
        for method, path in (("GET", "/ledger/head"), ("POST", "/fhir"), ("POST", "/auth/token"), ("POST", "/ledger/votes")):
            refused = client.open(path, method=method)
            assert refused.status_code == 503, path
            assert "taken over" in refused.json["issue"][0]["diagnostics"]
        assert client.get("/livez").status_code == 200
        ready = client.get("/readyz")
        assert (ready.status_code, ready.json["bucket"]) == (503, False)
        assert "taken over" in ready.json["reasons"]["bucket"]
        tenure.clear(gateway.home)
        os.rename(gateway.home / "bucket", gateway.home / "away")  # noqa: PTH104 - two folders
        jobs._look_who_serves(old)
        assert tenure.told(gateway.home) is None, "what cannot be seen stops nothing that runs"
        os.rename(gateway.home / "away", gateway.home / "bucket")  # noqa: PTH104
    services.ledger.close()


def test_an_old_home_whose_disk_takes_nothing_makes_no_more_blocks(gateway, new):
    settings = load_settings(gateway.home, {})
    in_the_way = gateway.home / "taken-over.new"
    with closing(open_index(settings.effective_database_url, keyring_of(settings))) as index:
        production, old = Production(), turn(gateway)
        jobs = JobsProcess(settings, read_genesis(settings), index, production, turn=old)
        turn(new).take(int(time.time()))
        in_the_way.mkdir()
        with pytest.raises(OSError, match="taken-over"):
            jobs._look_who_serves(old)
        jobs._produce()
        assert production.slots == 0
        in_the_way.rmdir()
        jobs._look_who_serves(old)
        assert tenure.told(gateway.home) is not None, "the workers hear of it once they can"
