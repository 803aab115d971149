"""Statements by the driver's own cursor: the same rows and the same errors as SQLAlchemy's."""

import databases
import pytest
from sqlalchemy import bindparam, delete, select
from sqlalchemy.exc import DBAPIError, IntegrityError

from gateway.index import schema as t
from gateway.index.database import LostRace, open_index, part_of
from gateway.index.rows import KeyedQuery, StandingRows, Statement, driver_rows, insert_rows

pytestmark = pytest.mark.both_databases
SECRETS = [(f"name {number}", bytes([number])) for number in range(30)]
BY_NAME = KeyedQuery(select(t.secret).where(t.secret.c.sealed != bindparam("but")), t.secret.c.name)
FIRST = Statement(
    select(t.secret.c.name.label("called")).where(t.secret.c.sealed >= bindparam("least")).order_by(t.secret.c.sealed).limit(1)
)
FORGET = Statement(delete(t.secret).where(t.secret.c.sealed < bindparam("least")))


@pytest.fixture
def connection(tmp_path):
    url = databases.new_gateway(tmp_path)
    index = open_index(url)
    with index.atomic() as connection:
        insert_rows(connection, t.secret, SECRETS)
        yield connection
    index.close()


@pytest.mark.parametrize("count", [0, 1, 2, 21, 30])
def test_keys_and_what_else_a_query_asks_for_find_their_rows_by_name(connection, count):
    found = {row.name: row.sealed for row in BY_NAME.among(connection, [name for name, _ in SECRETS[:count]], but=bytes([1]))}
    assert found == {name: sealed for name, sealed in SECRETS[:count] if sealed != bytes([1])}


def test_a_statement_keeps_its_own_values_and_is_given_the_others(connection):
    assert FIRST.first(connection, least=bytes([7])).called == "name 7"
    assert FIRST.first(connection, least=bytes([99])) is None
    assert FORGET.run(connection, least=bytes([7])) == 7
    assert [row.called for row in FIRST.rows(connection, least=b"")] == ["name 7"]
    with pytest.raises(KeyError):
        FIRST.rows(connection)


def test_that_all_of_a_batch_stand_is_said_of_rows_as_they_are(connection):
    size = StandingRows.BATCH
    rows = [(number.to_bytes(16, "big"), number % 7, number) for number in range(size)]
    insert_rows(connection, t.source_map, rows)
    standing = StandingRows(t.source_map.c.token, t.source_map.c.type, t.source_map.c.resource)
    assert standing.are_all(connection, rows)
    assert standing.are_all(connection, rows[:1] * size)
    for at, other in enumerate((bytes(16), 1, 2)):
        altered = (*rows[5][:at], other, *rows[5][at + 1 :])
        assert not standing.are_all(connection, [altered, *rows[1:]])


def test_what_loses_a_race_is_undone_and_the_unit_goes_on(connection):
    for _ in range(2):
        with pytest.raises(LostRace), part_of(connection):
            insert_rows(connection, t.secret, [("another", b"x"), *SECRETS[:1]])
    with part_of(connection):
        insert_rows(connection, t.secret, [("another", b"y")])
    assert [row.sealed for row in BY_NAME.among(connection, ["another"], but=b"")] == [b"y"]


def test_errors_are_those_of_sqlalchemy(connection):
    with pytest.raises(ZeroDivisionError), part_of(connection):
        raise ZeroDivisionError
    with pytest.raises(DBAPIError), part_of(connection):
        driver_rows(connection, "SELECT nothing FROM nowhere", ())
    with pytest.raises(LostRace) as lost, part_of(connection):
        insert_rows(connection, t.secret, SECRETS[:1])
    assert isinstance(lost.value.__cause__, IntegrityError)
