import sqlite3
from contextlib import closing

import pytest
from sqlalchemy import inspect

from chain import database
from chain.database import LedgerDamaged, LedgerMissing, LedgerUnreachable, connect
from chain.tables import metadata


@pytest.fixture
def url(tmp_path):
    connect(f"sqlite:///{tmp_path}/ledger.db", create=True).dispose()
    return f"sqlite:///{tmp_path}/ledger.db"


def pragma(engine, name):
    with engine.connect() as connection:
        return connection.exec_driver_sql(f"PRAGMA {name}").scalar()


@pytest.mark.parametrize("read_only", [False, True])
def test_a_commit_is_on_disk_when_it_returns(url, read_only):
    engine = connect(url, read_only=read_only)
    assert (pragma(engine, "journal_mode"), pragma(engine, "synchronous"), pragma(engine, "query_only")) == ("wal", 2, read_only)
    engine.dispose()


def test_the_tables_are_what_the_migrations_make(url):
    engine = connect(url)
    found = inspect(engine)
    assert set(found.get_table_names()) == set(metadata.tables)
    for name, table in metadata.tables.items():
        columns = {column["name"]: column["nullable"] for column in found.get_columns(name)}
        assert columns == {column.name: column.nullable for column in table.columns}, name
        assert found.get_pk_constraint(name)["constrained_columns"] == [column.name for column in table.primary_key], name
    engine.dispose()


def test_opening_again_changes_nothing(url):
    engine = connect(url)
    assert pragma(engine, "user_version") == 6
    engine.dispose()


def test_a_ledger_of_newer_software_is_left_alone(url, tmp_path):
    with sqlite3.connect(tmp_path / "ledger.db") as connection:
        connection.execute("PRAGMA user_version=99")
    connection.close()
    with pytest.raises(LedgerMissing, match="newer"):
        connect(url)


def test_a_migration_that_fails_leaves_the_layout_before_it(tmp_path, monkeypatch):
    class Broken:
        name = "0001_ledger.sql"

        def read_text(self):
            return "CREATE TABLE chain (a); CREATE TABLE chain (a);"

    monkeypatch.setattr(database, "_migrations", lambda: [Broken()])
    with pytest.raises(sqlite3.OperationalError):
        connect(f"sqlite:///{tmp_path}/ledger.db", create=True)
    connection = sqlite3.connect(tmp_path / "ledger.db")
    assert connection.execute("SELECT count(*) FROM sqlite_master").fetchone() == (0,)
    assert connection.execute("PRAGMA user_version").fetchone() == (0,)
    connection.close()


def test_a_ledger_that_is_gone_or_locked_is_unreachable_for_now(tmp_path):
    file = tmp_path / "ledger.db"
    engine = connect(f"sqlite:///{file}", create=True)
    engine.dispose()
    engine = connect(f"sqlite:///{file}", read_only=True)
    file.rename(tmp_path / "away.db")
    with pytest.raises(LedgerUnreachable), engine.connect():
        pass
    assert not file.exists()
    (tmp_path / "away.db").rename(file)
    with engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA query_only=OFF")
        connection.exec_driver_sql("PRAGMA busy_timeout=1")
        other = sqlite3.connect(file, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(LedgerUnreachable):
            connection.exec_driver_sql("DELETE FROM pool")
        other.close()
    engine.dispose()


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ("CREATE TRIGGER quiet AFTER INSERT ON block BEGIN DELETE FROM rejected; END", "quiet"),
        ("CREATE VIEW blocks AS SELECT * FROM block", "blocks"),
        ("DROP INDEX block_log_size", "block_log_size"),
        ("ALTER TABLE pool RENAME COLUMN source TO sauce", "pool"),
    ],
)
@pytest.mark.parametrize("read_only", [False, True])
def test_a_layout_that_the_migrations_did_not_make_is_not_opened(url, tmp_path, change, name, read_only):
    with closing(sqlite3.connect(tmp_path / "ledger.db")) as connection, connection:
        connection.execute(change)
    with pytest.raises(LedgerDamaged, match=f"'{name}' in its layout"):
        connect(url, read_only=read_only)


def test_what_sqlite_adds_by_itself_is_no_damage(url, tmp_path):
    with closing(sqlite3.connect(tmp_path / "ledger.db")) as connection, connection:
        connection.execute("ANALYZE")
    engine = connect(url)
    assert inspect(engine).has_table("sqlite_stat1")
    engine.dispose()


def test_a_file_that_is_no_database_is_damaged(url, tmp_path):
    (tmp_path / "ledger.db").write_bytes(b"junk" * 1000)
    with pytest.raises(LedgerDamaged, match=r"ledger\.db is damaged: file is not a database"):
        connect(url)
