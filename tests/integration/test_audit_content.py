"""The content audit on a real home folder: clean as it is, and every change to what is stored named with its place."""

import json
import sqlite3

import pytest
from audit_case import audit, make_home
from click.testing import CliRunner

from gateway.cli import main
from gateway.index.resource_types import NUMBER_OF
from jobs.audit_report import to_json

OBSERVATION, PATIENT = NUMBER_OF["Observation"], NUMBER_OF["Patient"]
CURRENT = f"row = (SELECT max(row) FROM resource WHERE type = {OBSERVATION} AND version = 1)"  # of the second patient
UPDATED = f"row = (SELECT min(row) FROM resource WHERE type = {OBSERVATION} AND version = 2)"
EARLIER = "row = (SELECT max(row) FROM history)"
OTHER = f"(SELECT min(row) FROM resource WHERE type = {OBSERVATION} AND version = 1)"
HIGHEST = "row = (SELECT max(row) FROM bundle)"


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    made = make_home(tmp_path_factory.mktemp("audited"))
    yield made
    made.close()


@pytest.fixture
def tampered(sound, tmp_path):
    """Runs SQL on a copy of the database, no constraint of another table checked, and gives the audit's report."""
    home = sound.copy_to(tmp_path)

    def run(*statements):
        with sqlite3.connect(home / "gateway.db") as database:
            for statement in statements:
                assert database.execute(statement).rowcount > 0, "the statement changed nothing"
        database.close()
        return audit(home)

    return run


def value_of(sound, sql):
    database = sqlite3.connect(sound.home / "gateway.db")
    (value,) = database.execute(sql).fetchone()
    database.close()
    return value


def name_of(sound, table, where):
    """Type/id/_history/version of a row."""
    row, version = (value_of(sound, f"SELECT {column} FROM {table} WHERE {where}") for column in ("row", "version"))
    type_ = value_of(sound, f"SELECT type FROM resource WHERE row = {row}")
    name = next(name for name, number in NUMBER_OF.items() if number == type_)
    return f"{name}/{sound.services.ids.encode((row,))[0]}/_history/{version}"


def found(report):
    return {(finding.code, finding.subject) for finding in report.findings}


def test_a_clean_home_is_clean(sound):
    report = audit(sound.home)
    assert (report.findings, report.could_not_check, report.pending) == ((), (), ())
    assert report.checked["records"] == value_of(sound, "SELECT (SELECT count(*) FROM resource) + (SELECT count(*) FROM history)")
    assert report.checked["opened containers"] == value_of(sound, "SELECT count(*) FROM container")
    assert report.checked["bundles"] == value_of(sound, "SELECT count(*) FROM bundle")
    assert report.checked["source names"] == report.checked["records"] - 1, "one was posted by itself, without a fullUrl"


@pytest.mark.parametrize("place", [CURRENT, UPDATED])
@pytest.mark.parametrize(
    ("column", "value", "code"),
    [
        ("type", str(PATIENT), "index-row-altered"),
        ("version", "version + 1", "index-row-missing"),
        ("version", "0", "index-row-missing"),
        ("deleted", "1", "index-row-altered"),
        ("issuer", "issuer + 1", "index-row-altered"),
        ("archive", "archive - 1", "index-row-altered"),
        ("archive", "NULL", "index-row-altered"),
        ("archive", "'text'", "index-row-altered"),
        ("bundle", "1", "index-row-altered"),
        ("bundle", "999", "index-row-altered"),
        ("bundle", "NULL", "index-row-altered"),
        ("leaf", "leaf + 1", "index-row-altered"),
        ("leaf", "999", "index-row-altered"),
        ("leaf", "NULL", "index-row-altered"),
        ("updated_ms", "updated_ms + 1", "index-row-altered"),
        ("start", "start + 86400", "index-row-altered"),
        ("start", "NULL", "index-row-altered"),
        ("end", '"end" - 1', "index-row-altered"),
        ("content", "x'0011223344556677'", "index-row-altered"),
        ("content", "NULL", "index-row-altered"),
    ],
)
def test_a_changed_column_of_a_current_version(sound, tampered, place, column, value, code):
    name = name_of(sound, "resource", place)
    report = tampered(f'UPDATE resource SET "{column}" = {value} WHERE {place}')
    assert (code, name) in found(report), report.findings
    if code == "index-row-altered":
        assert any(column in finding.detail for finding in report.findings), report.findings


@pytest.mark.parametrize(
    ("column", "value", "code"),
    [
        ("version", "7", "index-row-missing"),
        ("deleted", "1", "index-row-altered"),
        ("issuer", "issuer + 1", "index-row-altered"),
        ("archive", "archive - 1", "index-row-altered"),
        ("bundle", "4", "index-row-altered"),
        ("leaf", "leaf - 1", "index-row-altered"),
        ("updated_ms", "updated_ms + 1", "index-row-altered"),
        ("start", "start + 86400", "index-row-altered"),
        ("end", '"end" - 1', "index-row-altered"),
        ("content", "x'0011223344556677'", "index-row-altered"),
    ],
)
def test_a_changed_column_of_an_earlier_version(sound, tampered, column, value, code):
    name = name_of(sound, "history", EARLIER)
    assert (code, name) in found(tampered(f'UPDATE history SET "{column}" = {value} WHERE {EARLIER}'))


def test_a_removed_row(sound, tampered):
    name = name_of(sound, "resource", CURRENT)
    assert ("index-row-missing", name) in found(tampered(f"DELETE FROM resource WHERE {CURRENT}"))


def test_a_removed_earlier_version(sound, tampered):
    assert found(tampered(f"DELETE FROM history WHERE {EARLIER}")) == {("index-row-missing", name_of(sound, "history", EARLIER))}


def test_a_resource_set_back_to_an_earlier_version(sound, tampered):
    name = name_of(sound, "resource", UPDATED)
    columns = 'version, deleted, issuer, archive, bundle, leaf, updated_ms, start, "end", content'
    restored = f"UPDATE resource SET ({columns}) = (SELECT {columns} FROM history WHERE history.row = resource.row) WHERE {UPDATED}"
    forgotten = "DELETE FROM history WHERE EXISTS (SELECT 1 FROM resource r WHERE r.row = history.row AND r.version = 1)"
    report = tampered(restored, forgotten)
    assert ("index-row-missing", name) in found(report)


def test_two_records_with_swapped_leaves(sound, tampered):
    first, second = (value_of(sound, f"SELECT row FROM resource WHERE {where}") for where in (CURRENT, f"row = {OTHER}"))
    leaf, other = (value_of(sound, f"SELECT leaf FROM resource WHERE row = {row}") for row in (first, second))
    assert value_of(sound, f"SELECT count(DISTINCT bundle) FROM resource WHERE row IN ({first}, {second})") == 1
    report = tampered(f"UPDATE resource SET leaf = {other} WHERE row = {first}", f"UPDATE resource SET leaf = {leaf} WHERE row = {second}")
    names = {name_of(sound, "resource", f"row = {row}") for row in (first, second)}
    assert found(report) == {("index-row-altered", name) for name in names}


def test_an_invented_row_that_points_to_anothers_leaf(tampered):
    invented = f"""INSERT INTO resource SELECT 4242, type, version, deleted, issuer, archive, bundle, leaf, updated_ms, start, "end", content
                   FROM resource WHERE {CURRENT}"""
    report = tampered(invented)
    assert [finding.code for finding in report.findings] == ["index-row-unfounded"]
    assert report.findings[0].subject.startswith("Observation/")


def test_an_invented_row_that_points_past_the_leaves(tampered):
    invented = f"""INSERT INTO resource SELECT 4242, type, version, deleted, issuer, archive, bundle, 999, updated_ms, start, "end", content
                   FROM resource WHERE {CURRENT}"""
    assert [finding.code for finding in tampered(invented).findings] == ["index-row-unfounded"]


def test_an_invented_row_that_points_to_no_bundle(tampered):
    invented = f"""INSERT INTO resource SELECT 4242, type, version, deleted, issuer, archive, 999, leaf, updated_ms, start, "end", content
                   FROM resource WHERE {CURRENT}"""
    assert [finding.code for finding in tampered(invented).findings] == ["index-row-unfounded"]


def test_a_current_version_that_stands_in_the_history_too(sound, tampered):
    columns = 'row, version, deleted, issuer, archive, bundle, leaf, updated_ms, start, "end", content'
    report = tampered(f"INSERT INTO history SELECT {columns} FROM resource WHERE {CURRENT}")
    assert ("index-row-unfounded", name_of(sound, "resource", CURRENT)) in found(report)


def test_a_history_of_what_never_was(tampered):
    report = tampered(f"INSERT INTO history SELECT 4242, 1, 0, issuer, archive, 999, 1, 1, 1, 1, x'00' FROM resource WHERE {CURRENT}")
    assert [finding.code for finding in report.findings] == ["index-row-unfounded"]


def test_a_reserved_row_with_content(tampered):
    report = tampered("INSERT INTO resource VALUES (4242, 1, 0, 0, 1, NULL, NULL, NULL, NULL, NULL, NULL, x'00')")
    assert [finding.code for finding in report.findings] == ["index-row-unfounded"]


@pytest.mark.parametrize(
    ("statement", "code", "subject"),
    [
        (f"UPDATE bundle SET offset = offset + 1 WHERE {HIGHEST}", "index-row-altered", "container bundle 0"),
        (f"UPDATE bundle SET length = length - 1 WHERE {HIGHEST}", "index-row-altered", "container bundle 0"),
        (f"UPDATE bundle SET leaves = leaves + 1 WHERE {HIGHEST}", "index-row-altered", "container bundle 0"),
        (f"UPDATE bundle SET number = number + 1 WHERE {HIGHEST}", "index-row-altered", "container bundle 0"),
        (f"UPDATE bundle SET number = number + 1 WHERE {HIGHEST}", "bundle-number-gap", "archive"),
        (f"UPDATE bundle SET archive = 1, number = 99 WHERE {HIGHEST}", "index-row-altered", "container bundle 0"),
        (f"UPDATE bundle SET archive = 99 WHERE {HIGHEST}", "index-row-altered", "container bundle 0"),
        (f"UPDATE bundle SET archive = 99 WHERE {HIGHEST}", "index-row-unfounded", "bundle row"),
        (f"UPDATE bundle SET ordinal = 7 WHERE {HIGHEST}", "index-row-missing", "container bundle 0"),
        (f"UPDATE bundle SET ordinal = 7 WHERE {HIGHEST}", "index-row-unfounded", "container"),
        (f"UPDATE bundle SET container = 999 WHERE {HIGHEST}", "index-row-unfounded", "bundle row"),
        (f"DELETE FROM bundle WHERE {HIGHEST}", "index-row-missing", "container bundle 0"),
        (f"DELETE FROM bundle WHERE {HIGHEST}", "bundle-number-gap", "archive"),
        (f"DELETE FROM bundle WHERE {HIGHEST}", "index-row-unfounded", "Patient/"),
    ],
)
def test_a_changed_row_of_a_bundle(tampered, statement, code, subject):
    report = tampered(statement)
    assert any(f.code == code and subject in f.subject for f in report.findings), report.findings


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ("sealed_seed = x'00'", "index-row-altered"),
        ("sealed_seed = (SELECT sealed_seed FROM archive WHERE row = 1)", "index-row-altered"),
        ("sealed_secret = (SELECT sealed_secret FROM archive WHERE row = 1)", "index-row-altered"),
        ("suite = 2", "index-row-altered"),
        ("suite = 99", "index-row-altered"),
        ("public_key = zeroblob(length(public_key))", "index-row-altered"),
        ("key_id = x'00112233445566778899aabbccddeeff'", "index-row-altered"),
        ("next_number = next_number + 1", "bundle-number-gap"),
        ("next_number = next_number - 1", "bundle-number-gap"),
    ],
)
def test_a_changed_row_of_an_archive(tampered, change, code):
    assert (code, "archive 2") in found(tampered(f"UPDATE archive SET {change} WHERE row = 2"))


def test_an_archive_that_is_gone(tampered):
    report = tampered("DELETE FROM archive WHERE row = 2")
    assert ("index-row-missing", "archive 2") in found(report)
    assert report.could_not_check, "its bundles cannot be opened"


@pytest.mark.parametrize("taken", ["sealed_seed = NULL", "sealed_seed = NULL, sealed_secret = x''"])
def test_an_archive_whose_key_was_taken_away_is_not_taken_for_erased(sound, tampered, taken):
    report = tampered(f"UPDATE archive SET {taken} WHERE row = 2")
    assert found(report) == {("archive-altered", "archive 2")}
    assert report.checked["bundles not checkable by design"] == value_of(sound, "SELECT count(*) FROM bundle WHERE archive = 2")


@pytest.mark.parametrize(
    "statement",
    [
        f"UPDATE code SET token = token + 1 WHERE resource = (SELECT row FROM resource WHERE {CURRENT})",
        f"INSERT INTO code SELECT archive, 'text', row FROM resource WHERE {CURRENT}",
        f"UPDATE code SET archive = 1 WHERE resource = (SELECT row FROM resource WHERE {CURRENT})",
        f"DELETE FROM code WHERE resource = (SELECT row FROM resource WHERE {CURRENT})",
        f"INSERT INTO code SELECT archive, 5, row FROM resource WHERE {CURRENT}",
    ],
)
def test_changed_codes(sound, tampered, statement):
    report = tampered(statement)
    assert ("index-row-altered", name_of(sound, "resource", CURRENT)) in found(report)
    assert any("codes" in finding.detail for finding in report.findings)


def test_codes_in_an_archive_that_is_not_the_records(tampered):
    report = tampered(f"INSERT INTO code SELECT 1, 5, row FROM resource WHERE {CURRENT}")
    assert [finding.code for finding in report.findings] == ["index-row-unfounded"]


def test_codes_of_what_is_not_there(tampered):
    assert [finding.code for finding in tampered("INSERT INTO code VALUES (1, 5, 4242)").findings] == ["index-row-unfounded"]


LAST_PATIENT = f"(SELECT max(row) FROM resource WHERE type = {PATIENT})"


@pytest.mark.parametrize(
    "statement",
    [
        f"UPDATE identifier SET token = CAST(substr(token, 1, 15) || 'x' AS BLOB) WHERE resource = {LAST_PATIENT}",
        f"DELETE FROM identifier WHERE resource = {LAST_PATIENT}",
        f"INSERT INTO identifier SELECT x'00112233445566778899aabbccddeeff', {LAST_PATIENT}",
        f"INSERT INTO identifier SELECT 'text', {LAST_PATIENT}",
        f"INSERT INTO identifier SELECT token, {LAST_PATIENT} FROM identifier WHERE resource <> {LAST_PATIENT} LIMIT 1",
    ],
)
def test_changed_identifiers(sound, tampered, statement):
    report = tampered(statement)
    assert ("index-row-altered", name_of(sound, "resource", f"row = {LAST_PATIENT}")) in found(report)
    assert any("identifiers" in finding.detail for finding in report.findings)


def test_identifiers_of_what_is_not_there(tampered):
    assert [f.code for f in tampered("INSERT INTO identifier VALUES (x'00', 4242)").findings] == ["index-row-unfounded"]


@pytest.mark.parametrize(
    ("statement", "code"),
    [
        (f"UPDATE source_map SET resource = {OTHER} WHERE resource = (SELECT row FROM resource WHERE {CURRENT})", "index-row-altered"),
        (f"DELETE FROM source_map WHERE resource = (SELECT row FROM resource WHERE {CURRENT})", "index-row-missing"),
        (f"UPDATE source_map SET type = 1 WHERE resource = (SELECT row FROM resource WHERE {CURRENT})", "index-row-missing"),
    ],
)
def test_a_senders_name_that_no_longer_leads_to_its_record(sound, tampered, statement, code):
    name = name_of(sound, "resource", CURRENT).partition("/_history")[0]
    assert (code, name) in found(tampered(statement))


def test_a_senders_name_that_leads_to_another_type(tampered):
    report = tampered(f"INSERT INTO source_map SELECT x'00112233445566778899aabbccddeeff', {PATIENT}, row FROM resource WHERE {CURRENT}")
    assert [finding.code for finding in report.findings] == ["index-row-unfounded"]


def test_an_issuer_renamed_in_the_database(tampered):
    report = tampered("UPDATE party SET client_id = 'another-00000000'")
    assert [finding.code for finding in report.findings] == ["index-row-missing", "party-altered"]
    assert report.findings[0].subject.startswith("party test-hospital-")


def test_an_issuer_with_another_row(tampered):
    report = tampered("UPDATE party SET row = 77")
    assert ("index-row-altered", "party") in {(f.code, f.subject.partition(" ")[0]) for f in report.findings}


def test_a_container_that_the_database_forgot_is_not_checked(tampered):
    report = tampered("DELETE FROM container WHERE row = 2")
    assert any("the database does not know it" in what for what in report.could_not_check)
    assert any(finding.subject.startswith("bundle row") for finding in report.findings)


@pytest.mark.parametrize("damage", [lambda path: path.unlink(), lambda path: path.write_bytes(path.read_bytes()[:-1] + b"x")])
def test_a_container_that_is_missing_or_altered_is_left_to_the_level_storage(sound, tmp_path, damage):
    home = sound.copy_to(tmp_path)
    damage(next((home / "bucket").rglob("*.container")))
    report = audit(home)
    assert report.findings == ()
    assert len(report.could_not_check) == 1
    assert report.could_not_check[0].endswith("see level storage")
    assert report.exit_code == 2


def run(home, *more):
    """Exit code, the report, and what went to stderr, of the command as the operator runs it."""
    done = CliRunner().invoke(main, ["--home", str(home), "audit", "run", "--level", "content", "--json", *more])
    return done.exit_code, json.loads(done.stdout), done.stderr


def test_the_command_says_by_its_exit_code_how_it_went(sound, tmp_path):
    home = sound.copy_to(tmp_path)
    code, report, said = run(home, "--rotating")
    assert (code, report["findings"], report["could_not_check"], said) == (0, [], [], "")
    with sqlite3.connect(home / "gateway.db") as database:
        database.execute(f"UPDATE resource SET content = NULL WHERE {CURRENT}")
    database.close()
    code, report, _ = run(home)
    assert (code, [finding["code"] for finding in report["findings"]]) == (1, ["index-row-altered"])
    assert report["findings"][0]["advice"].endswith("restore the database.")
    (home / "keys" / "kek.json").unlink()
    code, report, _ = run(home)
    assert (code, len(report["could_not_check"])) == (2, 1)
    assert "key-encryption key" in report["could_not_check"][0]


def test_no_report_says_anything_clinical(tampered):
    report = tampered('UPDATE resource SET "start" = 0, content = NULL, updated_ms = 1')
    said = str(to_json(report))
    assert len(report.findings) > 10
    assert not any(word in said for word in ("4548", "doctor", "1980", "mrn", "person-", "laboratory"))
