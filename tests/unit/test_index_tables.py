"""The schema, row numbers, tokens and index rows."""

import itertools
import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import databases
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import Unavailable
from gateway.index import migrate, secrets, sources
from gateway.index import schema as t
from gateway.index.database import create_index, open_index
from gateway.index.index_row import FORMAT, IndexRow, NotAnIndexRow, index_row, parse_index_row
from gateway.index.resource_types import NAME_OF, NUMBER_OF
from gateway.index.row_numbers import BLOCK, RowNumbers
from gateway.index.rows import insert_rows
from gateway.index.submissions import FAILED, Result, _expand, encoded, find, write
from gateway.index.tokens import BlindTokens, CodeTokens
from gateway.vault.errors import WrongKey
from gateway.vault.keyring import Keyring

pytestmark = pytest.mark.both_databases


@pytest.fixture
def index(tmp_path):
    url = databases.url(tmp_path, "gateway")
    create_index(url)
    index = open_index(url)
    yield index
    index.close()


def test_the_migrations_make_the_tables_that_the_code_uses(index):
    create_index(str(index.engine.url))  # again: nothing to do
    with index.reading() as connection:
        assert compare_metadata(MigrationContext.configure(connection), t.metadata) == []
        assert migrate.is_current(connection)


@pytest.mark.sqlite_only
def test_tables_of_one_key_are_their_index(index):
    with index.reading() as connection:
        without_rowid = {
            name
            for name, sql in connection.exec_driver_sql("SELECT name, sql FROM sqlite_master WHERE type = 'table'")
            if "WITHOUT ROWID" in sql
        }
    assert without_rowid == {name for name, table in t.metadata.tables.items() if table.dialect_options["sqlite"]["with_rowid"] is False}


@pytest.mark.sqlite_only
def test_every_commit_is_on_disk_and_keys_are_checked(index):
    with index.reading() as connection:
        pragmas = {name: connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in ("journal_mode", "synchronous", "foreign_keys")}
    assert pragmas == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1}


@pytest.mark.sqlite_only
def test_a_database_that_is_not_there_is_unavailable(tmp_path):
    index = open_index(f"sqlite:///{tmp_path / 'missing' / 'gateway.db'}")
    with pytest.raises(Unavailable), index.reading():
        pass
    index.close()


@pytest.mark.sqlite_only
def test_a_database_that_was_moved_away_is_unavailable_and_not_made_anew(index, tmp_path):
    file = Path(index.engine.url.database)
    away = file.with_name("away.db")
    with index.reading():
        pass
    file.rename(away)
    for unit in (index.reading, index.atomic):
        with pytest.raises(Unavailable), unit():
            pass
    assert not file.exists()
    away.rename(file)
    with index.atomic() as connection:
        insert_rows(connection, t.secret, [("moved", b"1")])


@pytest.mark.sqlite_only
def test_what_was_put_in_its_place_is_used_from_then_on(index, tmp_path):
    file = Path(index.engine.url.database)
    with index.reading():
        pass
    create_index(f"sqlite:///{tmp_path / 'other.db'}")
    file.rename(tmp_path / "old.db")
    (tmp_path / "other.db").rename(file)
    with index.atomic() as connection:
        insert_rows(connection, t.secret, [("new", b"1")])
    with closing(sqlite3.connect(file)) as other:
        assert other.execute("SELECT name FROM secret").fetchall() == [("new",)]


def test_nothing_of_a_unit_that_fails_is_written(index):
    def unit():
        with index.atomic() as connection:
            insert_rows(connection, t.secret, [("a", b"1")])
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        unit()
    with index.reading() as connection:
        assert connection.execute(t.secret.select()).all() == []


def test_row_numbers_are_given_once_among_threads_and_processes(index):
    first, second = RowNumbers(index), RowNumbers(index)
    taken = []

    def take(numbers):
        taken.extend(numbers.take(count) for count in (1, 7, 500))

    threads = [threading.Thread(target=take, args=(numbers,)) for numbers in (first, second) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    flat = [number for numbers in taken for number in numbers]
    assert len(flat) == len(set(flat)) == 8 * 508
    assert all(numbers == sorted(numbers) for numbers in taken)
    assert min(flat) == 1


def test_no_number_of_a_block_is_lost_and_large_requests_are_served(index):
    numbers = RowNumbers(index)
    assert [*numbers.take(3), *numbers.take(0), *numbers.take(4)] == list(range(1, 8))
    assert len(numbers.take(3 * BLOCK)) == 3 * BLOCK


def test_resource_types_keep_their_numbers():
    assert (NUMBER_OF["Account"], NUMBER_OF["Patient"], NUMBER_OF["VisionPrescription"]) == (1, 103, 146)
    assert len(NAME_OF) == len(NUMBER_OF) == 146


def test_the_gateways_keys_are_made_once_and_need_their_kek(index):
    keyring, fresh = Keyring(bytes(32)), itertools.count(1)
    with index.atomic() as connection:
        with pytest.raises(secrets.SecretMissing):
            secrets.load(connection, keyring)
        secrets.create(connection, keyring, lambda n: bytes([next(fresh)]) * n)
        made = secrets.load(connection, keyring)
        assert {name: len(key) for name, key in made.items()} == secrets.SIZES
        assert len(set(made.values())) == len(made)
        with pytest.raises(WrongKey):
            secrets.load(connection, Keyring(bytes(31) + b"\x01"))
        sealed = dict(connection.execute(t.secret.select()).all())
        assert not any(key in value for key in made.values() for value in sealed.values())
        connection.execute(t.secret.delete().where(t.secret.c.name == "index"))
        with pytest.raises(secrets.SecretMissing, match="index"):
            secrets.load(connection, keyring)


def test_tokens_tell_apart_what_differs_and_only_under_one_key():
    tokens, others = BlindTokens(bytes(32)), BlindTokens(bytes(31) + b"\x01")
    made = [
        *tokens.sources(1, ["a", "b"]),
        *tokens.sources(2, ["a"]),
        tokens.identifier("Patient", "s", "v"),
        tokens.identifier("Patient", None, "v"),
        tokens.identifier("Person", "s", "v"),
        *others.sources(1, ["a"]),
        others.identifier("Patient", "s", "v"),
    ]
    assert len(set(made)) == len(made)
    assert all(len(token) == 16 for token in made)
    assert tokens.sources(1, ["a"]) == [made[0]]
    assert tokens.content(1, b"x") != tokens.content(2, b"x")
    assert tokens.content(1, b"x") == BlindTokens(bytes(32)).content(1, b"x")


def test_codes_leave_the_system_out_and_differ_by_archive():
    tokens = CodeTokens(bytes(32))
    loinc = tokens.of((), [("http://loinc.org", "1-8")])
    assert loinc == tokens.of((), [(None, "1-8"), ("urn:x", "1-8"), ("urn:x", None)])
    assert tokens.of(["1-8"], []) != loinc
    assert CodeTokens(bytes(31) + b"\x01").of((), [(None, "1-8")]) != loinc
    both = tokens.of(["lab"], [(None, "b"), (None, "a")])
    assert list(both) == sorted(both)
    assert len(both) == 3
    assert set(tokens.of(["lab", "x"], [])) == {*tokens.of(["lab"], []), *tokens.of(["x"], [])}


ROW = IndexRow(FORMAT, 7, 3, 1, 0, 2, 1_700_000_000_123, -5, None, b"12345678", (-3, 9), (bytes(16),), (b"k" * 16,))


def test_an_index_row_is_read_back():
    first = ROW._replace(format=1, also_of=None)
    assert (parse_index_row(index_row(ROW)), parse_index_row(index_row(first))) == (ROW, first)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\x80",
        index_row(ROW)[:-1],
        index_row(ROW) + b"\x00",
        index_row(ROW._replace(format=1)),
        index_row(ROW._replace(also_of=None)),
        index_row(ROW._replace(format=3)),
        b"\x8c" + b"\x18\x01" + index_row(ROW)[2:],
        b"\x01",
    ],
)
def test_what_is_no_index_row_is_refused(body):
    with pytest.raises(NotAnIndexRow):
        parse_index_row(body)


@given(
    st.lists(
        st.one_of(
            st.just(FAILED),
            st.just(Result("absent", 0, 0)),
            st.builds(
                Result, st.sampled_from(["created", "updated", "unchanged", "deleted", "absent"]), st.integers(1, 9), st.integers(1, 2)
            ),
        ),
        max_size=12,
    )
)
def test_results_of_a_submission_are_read_back(results):
    assert list(_expand(encoded(results))) == results


def test_a_bundle_that_was_all_new_is_one_run(index):
    with index.atomic() as connection:
        databases.leave_keys_unchecked(connection)
        connection.execute(
            t.party.insert().values(row=1, client_id="a", name="a", role=1, signing="own", jwks="", purposes="", status="", created_at=0)
        )
        results = [Result("created", row, 1) for row in range(100, 1100)]
        write(connection, 1, bytes(32), container=None, written=encoded(results), now=0, instead_of=None)
        assert len(connection.scalar(t.submission.select().with_only_columns(t.submission.c.written))) < 16
        found = find(connection, 1, bytes(32))
        assert found.results == tuple(results)
        assert not found.holds  # none of the rows is there
        assert find(connection, 1, bytes(31) + b"\x01") is None


def test_many_keys_are_looked_up_in_several_statements(index):
    rows = [(number.to_bytes(16, "big"), number % 5, number) for number in range(1, 1303)]
    with index.atomic() as connection:
        insert_rows(connection, t.source_map, rows)
        for count in (0, 1, 2, 20, 21, 500, 501, 1302):
            wanted = [token for token, _, _ in rows[:count]]
            assert sources.rows_by_source(connection, [*wanted, b"absent"]) == {token: {type_: row} for token, type_, row in rows[:count]}
