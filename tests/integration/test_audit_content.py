"""The content audit on a real home folder: clean as it is, and every change to what is stored named with its place."""

import sqlite3

import pytest
from audit_case import audit, make_home

FIRST_OBSERVATION = "row = (SELECT min(row) FROM resource WHERE type = (SELECT type FROM resource GROUP BY type ORDER BY count(*) DESC LIMIT 1) AND version = 1)"


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    made = make_home(tmp_path_factory.mktemp("audited"))
    yield made
    made.close()


@pytest.fixture
def tampered(sound, tmp_path):
    """Runs SQL on a copy of the database, foreign keys and all checks off, and gives the audit's report."""
    home = sound.copy_to(tmp_path)

    def run(*statements):
        with sqlite3.connect(home / "gateway.db") as database:
            for statement in statements:
                sql, *values = statement if isinstance(statement, tuple) else (statement,)
                assert database.execute(sql, values).rowcount > 0, "the statement changed nothing"
        database.close()
        return audit(home)

    return run


def test_a_clean_home_is_clean(sound):
    report = audit(sound.home)
    assert (report.findings, report.could_not_check, report.pending) == ((), (), ())
    print(report.checked)
