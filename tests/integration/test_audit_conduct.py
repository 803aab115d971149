"""The conduct audit on a real home folder: clean as it is, and every change to what is stored named with its place."""

import sqlite3

import pytest
from audit_case import observation
from conduct_case import ConductHome, audit_conduct, make_conduct
from intake_case import post, transaction


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    home = make_conduct(tmp_path_factory.mktemp("conduct"))
    yield home
    home.made.close()


def test_a_clean_home_is_clean(sound):
    report = audit_conduct(sound.made.home)
    assert (report.findings, report.could_not_check, report.pending) == ((), (), ())
    assert report.checked == {"consents": 3, "revokes": 1, "accesses": 8, "disclosed records": 9, "access batches": 3}


def test_shards_and_processes_make_no_difference(sound):
    whole = audit_conduct(sound.made.home)
    assert audit_conduct(sound.made.home, numbers=1) == whole
    assert audit_conduct(sound.made.home, processes=2, numbers=3) == whole


@pytest.fixture
def tampered(sound, tmp_path):
    """Runs SQL on a copy of the database, no constraint of another table checked, and gives the audit's report."""
    home = sound.made.copy_to(tmp_path)

    def run(*statements):
        with sqlite3.connect(home / "gateway.db") as database:
            for statement in statements:
                assert database.execute(statement).rowcount > 0, "the statement changed nothing"
        database.close()
        return audit_conduct(home)

    return run


def consent(sound, number):
    """The name of the Consent that was granted under a number."""
    with sound.made.services.index.reading() as connection:
        row = connection.exec_driver_sql("SELECT row FROM consent_grant WHERE sequence = ?", (number,)).scalar_one()
    return f"Consent/{sound.made.services.ids.encode([row])[0]}"


def found(report):
    return sorted((finding.code, finding.subject) for finding in report.findings)


COPY = "INSERT INTO access SELECT {}, party, purpose, consent, accessed_ms, leaf, records, batch FROM access WHERE sequence = 12"
NEXT = "UPDATE sequence SET next = {} WHERE name = 'commit'"


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ("leaf = zeroblob(32)", "sequence = 3"),
        ("purpose = 'TREAT'", "sequence = 8"),
        ("party = party - 1", "sequence = 8"),
        ("party = 99", "sequence = 8"),
        ("accessed_ms = accessed_ms + 1", "sequence = 6"),
        ("consent = (SELECT row FROM consent_grant WHERE sequence = 10)", "sequence = 8"),
        ("records = (SELECT records FROM access WHERE sequence = 2)", "sequence = 3"),
        ("records = x'820103'", "sequence = 8"),
        ("records = x'83010203'", "sequence = 8"),
        ("records = x'00'", "sequence = 8"),
        ("batch = NULL", "sequence = 3"),
        ("batch = 3", "sequence = 3"),
    ],
)
def test_an_altered_access_is_named(tampered, change, where):
    report = tampered(f"UPDATE access SET {change} WHERE {where}")
    assert found(report) == [("access-altered", "access " + where.rpartition(" ")[2])]


@pytest.mark.parametrize(
    ("statements", "expected"),
    [
        (["DELETE FROM access WHERE sequence = 3"], [("access-missing", "access 3")]),
        (["DELETE FROM access WHERE sequence BETWEEN 6 AND 8"], [("access-missing", "accesses 6 to 8")]),
        (["DELETE FROM access WHERE sequence = 12", NEXT.format(12)], [("access-missing", "access 12"), ("sequence-gap", "number 12")]),
        ([NEXT.format(17)], [("sequence-gap", "numbers 13 to 16")]),
        ([COPY.format(13)], [("sequence-gap", "number 13")]),
        ([COPY.format(13), NEXT.format(14)], [("access-altered", "access 13")]),
        ([COPY.format(15), NEXT.format(16)], [("access-altered", "access 15"), ("sequence-gap", "numbers 13 to 14")]),
        ([COPY.format(9)], [("access-altered", "access 9"), ("access-unanchored", "access 9")]),
        (
            [COPY.format(10**15), NEXT.format(10**16)],
            [
                ("access-altered", f"access {10**15}"),
                ("sequence-gap", f"numbers {10**15 + 1} to {10**16 - 1}"),
                ("sequence-gap", f"numbers 13 to {10**15 - 1}"),
            ],
        ),
        (
            ["UPDATE access SET sequence = 13 WHERE sequence = 3", NEXT.format(14)],
            [("access-altered", "access 13"), ("access-missing", "access 3")],
        ),
    ],
)
def test_a_missing_added_or_renumbered_access_is_named(tampered, statements, expected):
    assert found(tampered(*statements)) == expected


@pytest.mark.parametrize(
    ("change", "codes"),
    [
        ("types = 'Condition Observation'", ["consent-altered"]),
        ("types = 'Condition'", ["consent-altered"]),
        ("purposes = 'HPAYMT TREAT'", ["consent-altered"]),
        ("rights = 'read write'", ["consent-altered"]),
        ("starts_at = starts_at - 1", ["consent-altered"]),
        ("ends_at = ends_at + 1", ["consent-altered"]),
        ("grantee = grantee - 1", ["consent-altered"]),
        ("grant_id = zeroblob(32)", ["consent-altered"]),
        ("content = zeroblob(8)", ["consent-altered"]),
        ("sealed = zeroblob(80)", ["consent-altered"]),
        ("sealed = (SELECT sealed FROM consent_grant WHERE sequence = 10)", ["consent-altered"]),
        ("revoked_ms = 1", ["consent-altered"]),
        ("granted_ms = granted_ms + 5000", ["consent-altered"]),
        ("revoked_at_sequence = 11, revoked_ms = 1", ["consent-unanchored"]),
        ("revoked_at_sequence = 11", ["consent-altered", "consent-unanchored"]),
        ("sequence = 13", ["consent-altered", "sequence-gap"]),
    ],
)
def test_an_altered_consent_is_named_and_its_accesses_are_judged_by_what_it_was(tampered, sound, change, codes):
    name = consent(sound, 5)
    report = tampered(f"UPDATE consent_grant SET {change} WHERE sequence = 5")
    assert sorted({finding.code for finding in report.findings}) == codes
    assert {finding.subject for finding in report.findings} - {"number 13"} == {name}
    assert report.could_not_check == ()


@pytest.mark.parametrize("change", ["revoked_at_sequence = NULL, revoked_ms = NULL", "revoked_at_sequence = 8", "revoked_ms = NULL"])
def test_a_revoke_taken_back_or_moved_is_named(tampered, sound, change):
    report = tampered(f"UPDATE consent_grant SET {change} WHERE sequence = 1")
    assert set(found(report)) == {("consent-altered", consent(sound, 1))}


def test_whose_consent_it_is_cannot_be_changed(tampered, sound):
    name = consent(sound, 5)
    report = tampered("UPDATE consent_grant SET archive = (SELECT archive FROM consent_grant WHERE sequence = 1) WHERE sequence = 5")
    assert ("consent-altered", name) in found(report)
    assert "access-altered" not in {finding.code for finding in report.findings}
    assert [name in line for line in report.could_not_check] == [True], "what is read by it cannot be opened"


def test_a_lost_consent_is_named_and_what_was_read_by_it(tampered):
    report = tampered("DELETE FROM consent_grant WHERE sequence = 10")
    assert {finding.code for finding in report.findings} == {"consent-missing", "permit-missing"}


def test_what_a_disclosed_record_refers_to_needs_the_link(tmp_path):
    home = ConductHome.make(tmp_path)
    services = home.made.services
    urls = [f"https://source.example.org/{name}" for name in ("Practitioner/d", "Observation/o7")]
    entries = [(urls[0], {"resourceType": "Practitioner", "id": "d"})]
    named = observation(7, 1.5, "https://source.example.org/Patient/p0") | {"performer": [{"reference": urls[0]}]}
    results = post(services, home.hospital, transaction(*entries, (urls[1], named), bundle_type="collection")).results
    home.records |= {name: result.reference.split("/")[1] for name, result in zip(("d", "o7"), results, strict=True)}
    home.grant(home.anna)
    assert [home.read("o7"), home.read("d", "Practitioner")] == [[2], [3]]
    home.close_batch()
    home.block()
    assert audit_conduct(home.made.home).findings == ()
    with services.index.atomic() as connection:
        connection.exec_driver_sql("DELETE FROM directory_link")
    assert found(audit_conduct(home.made.home)) == [("permit-missing", "access 3")]
    home.made.close()
