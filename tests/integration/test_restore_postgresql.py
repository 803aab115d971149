"""Backups of gateways whose databases are PostgreSQL's: the same file, restored into files or into PostgreSQL, whatever it was made of."""

import json
import sqlite3
import tracemalloc
from contextlib import closing, contextmanager

import databases
import pytest
from backup_case import cli, made, restored
from ledger_layout import set_back
from sqlalchemy import text

from chain import postgresql, tables
from chain.database import connect
from chain.lease import Lease
from chain.store import LedgerStore
from chain.watermark import DoubleSign, Duty, read_marks
from gateway.backup import rows
from gateway.backup.moment import one_moment, open_snapshot
from gateway.bootstrap import read_genesis
from gateway.index import outbox, schema
from gateway.index.database import create_index, open_index
from gateway.settings import load_settings

URLS = {"database_url": "--database-url", "ledger_url": "--ledger-url"}


@pytest.fixture
def server(postgresql_server):
    databases.use(postgresql_server)
    yield postgresql_server
    databases.use(None)


@pytest.fixture(scope="module")
def in_files(tmp_path_factory):
    """A gateway of files, with a backup, and something in its outbox since."""
    gateway = made(tmp_path_factory.mktemp("files") / "gw")
    gateway.push(2, final=False)
    return gateway


def flags(urls):
    return [part for name, flag in URLS.items() for part in (flag, urls[name])]


def dumped(path):
    """Every row of a file of SQLite, by table."""
    with closing(sqlite3.connect(path)) as file:
        names = [name for (name,) in file.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return {name: sorted(map(repr, file.execute(f'SELECT * FROM "{name}"'))) for name in names}


def is_empty(url):
    engine = postgresql.open_engine(url, patience=5)
    try:
        return postgresql.is_empty(engine)
    finally:
        engine.dispose()


def quiet(_what, _reached, _total):
    """No progress is shown."""


def test_from_postgresql_into_files_and_into_postgresql(tmp_path, server):
    urls = databases.chosen()
    gateway = made(tmp_path / "gw", **urls)
    height = gateway.told["height"]
    assert json.loads(cli("backup", "verify", gateway.file, "--json").stdout)["height"] == height > 0
    assert urls["ledger_url"].encode() not in gateway.file.read_bytes(), "an address may hold a password"
    gateway.push(2)

    refused = restored(gateway, "--known-height", height, *flags(urls), expect=2)
    assert "not empty" in refused
    new = databases.chosen()
    with produced(gateway.home, urls["ledger_url"]):
        assert "on every host" in restored(gateway, "--ledger", urls["ledger_url"], expect=1)
    again = restored(gateway, "--ledger", urls["ledger_url"], *flags(new))
    assert not list(again.home.glob("*.db"))
    assert again.told["databases"]["index"] == postgresql.place(new["database_url"])
    assert again.told["written_later"] == 1
    higher = again.told["goes_on_after_height"]
    assert higher > height
    check_marks(again.home, new["ledger_url"], higher)
    assert not set(again.push(3)) & set(gateway.names)
    cli("--home", again.home, "backup", "accept-loss", "--yes")
    assert (again.audit().findings, again.audit().could_not_check) == ((), ())

    again.file = tmp_path / "second.tar"
    cli("--home", again.home, "backup", "create", "--out", again.file)
    files = restored(again, "--ledger", new["ledger_url"], name="files")
    assert {path.name for path in files.home.glob("*.db")} == {"gateway.db", "ledger.db"}
    assert files.push(4)
    cli("--home", files.home, "backup", "accept-loss", "--yes")
    assert (files.audit().findings, files.audit().could_not_check) == ((), ())


@contextmanager
def produced(home, url):
    """Some host writes this ledger inside the block."""
    store = LedgerStore.open(url, read_genesis(load_settings(home, {})))
    lease = Lease(store.engine, 60)
    assert lease.take(lambda: None)
    yield
    lease.close()
    store.close()


def check_marks(home, url, height):
    """No host signs at or below what is final, whether or not it has the restored file beside its key."""
    genesis = read_genesis(load_settings(home, {}))
    key = genesis.delegates[0].key
    marks = read_marks(home / "keys" / "delegate-1.watermark", genesis.chain_id, key)
    store = LedgerStore.open(url, genesis)
    try:
        with store.engine.connect() as connection:
            shared = {Duty(row.duty): (row.height, row.block_hash) for row in connection.execute(tables.watermark.select())}
        assert shared == marks
        for duty in Duty:
            assert marks[duty][0] == height
            store.put_mark(key, duty, *marks[duty])  # the same again
            for at in (height, height - 1):
                with pytest.raises(DoubleSign):
                    store.put_mark(key, duty, at, bytes(32))
    finally:
        store.close()


def test_rows_are_the_same_there_and_back_and_numbers_go_on(tmp_path, server, in_files):
    url = databases.chosen()["database_url"]
    create_index(url)
    with (
        closing(open_index(url)) as index,
        index.atomic() as connection,
        closing(sqlite3.connect(in_files.home / "gateway.db")) as file,
    ):
        rows.to_postgresql(file, connection, schema.metadata.sorted_tables, lambda _: None)
    with open_snapshot(url) as snapshot:
        snapshot.begin()
        assert snapshot.size() > 100_000
        with closing(open_index(url)) as index, index.atomic() as connection:
            connection.exec_driver_sql("INSERT INTO sequence VALUES ('after the snapshot', 1)")
            connection.execute(text("DELETE FROM outbox"))
        snapshot.copy(tmp_path / "back.db", "", quiet)
    assert dumped(tmp_path / "back.db") == dumped(in_files.home / "gateway.db")
    with closing(sqlite3.connect(in_files.home / "gateway.db")) as file:
        last = file.execute("SELECT seq FROM sqlite_sequence WHERE name = 'outbox'").fetchone()[0]
    with closing(open_index(url)) as index, index.atomic() as connection:
        outbox.add_signed(connection, b"transaction", 1)
        assert [row.id for row in outbox.pending(connection, from_outside=True)] == [last + 1]


@pytest.mark.campaign
def test_nothing_is_committed_between_the_two_snapshots(tmp_path, server):
    gateway = made(tmp_path / "gw", **databases.chosen())
    settings = load_settings(gateway.home, {})
    with one_moment(settings) as (database, ledger):
        gateway.push(2)
        database.copy(tmp_path / "gateway.db", "", quiet)
        ledger.copy(tmp_path / "ledger.db", "", quiet)
    with closing(sqlite3.connect(tmp_path / "gateway.db")) as copied, closing(sqlite3.connect(tmp_path / "ledger.db")) as chain:
        assert copied.execute("SELECT count(*) FROM container").fetchone() == (1,)
        assert chain.execute("SELECT max(height) FROM block").fetchone() == (gateway.told["height"],)
        assert chain.execute("SELECT count(*) FROM watermark").fetchone() == (0,)


def test_a_restore_that_fails_leaves_both_databases_empty(tmp_path, server, in_files):
    urls = databases.chosen()
    name = postgresql.parse(urls["database_url"]).database
    server.execute("CREATE FUNCTION refuse() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION ''no''; END'", name)
    server.execute("CREATE EVENT TRIGGER refuse ON ddl_command_end WHEN TAG IN ('CREATE TABLE') EXECUTE FUNCTION refuse()", name)
    restored(in_files, "--known-height", in_files.told["height"], *flags(urls), expect=2)
    assert all(map(is_empty, urls.values()))
    server.execute("DROP EVENT TRIGGER refuse", name)
    restored(in_files, "--known-height", in_files.told["height"], *flags(urls))
    assert "into files below" in restored(in_files, "--database-url", f"sqlite:///{tmp_path}/x.db", name="other", expect=1)


def test_a_copy_has_the_layout_of_the_version_that_it_was_made_of(tmp_path, server):
    urls = databases.chosen()
    create_index(urls["database_url"], "0011")
    with open_snapshot(urls["database_url"]) as snapshot:
        snapshot.begin()
        snapshot.copy(tmp_path / "gateway.db", "", quiet)
    with closing(sqlite3.connect(tmp_path / "gateway.db")) as file:
        assert file.execute("SELECT version_num FROM alembic_version").fetchone() == ("0011",)
    connect(urls["ledger_url"], create=True).dispose()
    set_back(urls["ledger_url"], 1)
    with open_snapshot(urls["ledger_url"]) as snapshot:
        snapshot.begin()
        snapshot.copy(tmp_path / "ledger.db", "", quiet)
    with closing(sqlite3.connect(tmp_path / "ledger.db")) as file:
        assert file.execute("PRAGMA user_version").fetchone() == (1,)


@pytest.mark.campaign
def test_rows_are_moved_in_constant_memory(tmp_path, server):
    source, target = databases.chosen().values()
    for url in (source, target):
        create_index(url)
    server.execute("INSERT INTO code SELECT 1, g, g FROM generate_series(1, 200000) g", postgresql.parse(source).database)
    tracemalloc.start()
    try:
        with open_snapshot(source) as snapshot:
            snapshot.begin()
            snapshot.copy(tmp_path / "gateway.db", "", quiet)
        with (
            closing(open_index(target)) as index,
            index.atomic() as connection,
            closing(sqlite3.connect(tmp_path / "gateway.db")) as file,
        ):
            rows.to_postgresql(file, connection, schema.metadata.sorted_tables, lambda _: None)
        assert tracemalloc.get_traced_memory()[1] < 20_000_000
    finally:
        tracemalloc.stop()
    assert server.execute("SELECT count(*) FROM code", postgresql.parse(target).database) == [(200_000,)]
