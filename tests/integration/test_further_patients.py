"""A record about two patients needs both, whatever the database says of the second: who they are is sealed with the record."""

import pytest
from audit_case import audit
from conduct_case import ConductHome
from resealing import Resealing
from sqlalchemy import text

from gateway import disclosure
from gateway.errors import Forbidden
from gateway.index import records
from gateway.index.index_row import FIRST, index_row, parse_index_row
from gateway.search import page, parse
from gateway.vault.errors import SealBroken


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """Anna granted, Bert did not; o1 is Anna's, o9 is about both."""
    made = ConductHome.make(tmp_path_factory.mktemp("shared"))
    made.grant(made.anna, "Observation")
    made.block()
    yield made
    made.made.close()


@pytest.fixture
def tampered(home):
    """Statements that are taken back; the database is hostile, not the gateway."""
    services, kept = home.made.services, []

    def run(statement, **values):
        with services.index.atomic() as connection:
            connection.execute(text(statement), values)

    with services.index.reading() as connection:
        kept = [row._asdict() for row in connection.execute(text("SELECT * FROM co_archive"))]
    assert len(kept) == 1
    yield run
    run("DELETE FROM co_archive")
    for row in kept:
        run("INSERT INTO co_archive (archive, resource, version) VALUES (:archive, :resource, :version)", **row)


def found(home):
    """The findings of the level content, by code and what they are about."""
    return {(finding.code, finding.subject.split("/")[1], finding.detail) for finding in audit(home.made.home).findings}


def row_of(home, name):
    return home.made.services.ids.decode(home.records[name])


ALTERED = "differs from what was sealed in: also_of"


def test_a_row_taken_away_opens_nothing_and_is_named(home, tampered):
    with pytest.raises(Forbidden):
        home.read("o9")
    tampered("DELETE FROM co_archive")
    with pytest.raises(SealBroken, match="other patients"):
        home.read("o9")
    search = parse.parse_search("Observation", [])
    with pytest.raises(SealBroken, match="other patients"):
        page.find_page(home.made.services, home.insurer, "HPAYMT", search)
    with pytest.raises(SealBroken, match="other patients"):
        disclosure.read(home.made.services, home.anna, "Observation", home.records["o9"])
    assert found(home) == {("index-row-altered", home.records["o9"], ALTERED)}


def test_a_row_that_names_another_opens_nothing_and_is_named(home, tampered):
    tampered("UPDATE co_archive SET archive = (SELECT archive FROM resource WHERE row = :row)", row=row_of(home, "o9"))
    with pytest.raises(SealBroken, match="other patients"):
        home.read("o9")
    assert found(home) == {("index-row-altered", home.records["o9"], ALTERED)}


def test_rows_added_are_named(home, tampered):
    archive = "INSERT INTO co_archive (archive, resource, version) SELECT archive, :to, :version FROM co_archive WHERE resource = :row"
    tampered(archive, to=row_of(home, "o1"), version=1, row=row_of(home, "o9"))
    tampered(archive, to=row_of(home, "o2"), version=7, row=row_of(home, "o9"))
    with pytest.raises(Forbidden):
        home.read("o1")
    nowhere = "another patient's permission is asked for a version that is not there (co_archive)"
    assert found(home) == {("index-row-altered", home.records["o1"], ALTERED), ("index-row-unfounded", home.records["o2"], nowhere)}


def test_what_an_earlier_version_sealed_is_read_as_the_database_says(home, tmp_path):
    """Rows of format 1 name nobody: they are opened and audited as before, and the audit counts them."""
    resealing = Resealing(home.made.copy_to(tmp_path))
    services = resealing.services
    for bundle, parts in enumerate(resealing.parts):
        for number, record in enumerate(parts.records):
            row = parse_index_row(record.index_row)._replace(format=FIRST, also_of=None)
            assert parse_index_row(index_row(row)) == row
            resealing.change(bundle, number, index_row=index_row(row))
    assert resealing.audit() == ()
    assert resealing.checked["records whose further patients no sealed row names"] == 7
    with services.index.reading() as connection:
        at = records.find(connection, "Observation", row_of(home, "o9"))
    assert len(at.also_of) == 1
    services.anchored.record(at)
