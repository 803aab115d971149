"""Names read in bulk are those that would be read one by one, or none are; and what is looked up in bulk is named one by one."""

import databases
import pytest

from gateway.index import schema as t
from gateway.index.database import open_index
from gateway.index.resource_types import NAME_OF
from gateway.index.rows import StandingRows, insert_rows
from gateway.index.tokens import BlindTokens
from gateway.vault.record_id import RecordIds
from gateway.vault.segments import EntryRow
from jobs.audit_index_rows import record_name
from jobs.audit_notes import Notes
from jobs.audit_source_names import SourceNames, _name, _posted_names

IDS = RecordIds(bytes(16))
UUID = b"00000000-0000-4000-8000-00000000000%d"
POST = b'"request":{"method":"POST","url":"Observation"}}'


def entry(number, request=POST, url=b"urn:uuid:" + UUID):
    return b'{"fullUrl":"' + (url % number if b"%" in url else url) + b'","resource":{"resourceType":"Observation"},' + request


def test_what_is_posted_is_named_by_its_uuid():
    entries = [entry(number) for number in range(3)]
    assert _posted_names(entries) == [_name(one, IDS) for one in entries] == [(UUID % number).decode() for number in range(3)]


@pytest.mark.parametrize(
    "other",
    [
        entry(2, b'"request":{"method":"PUT","url":"Observation/own-name"}}'),
        entry(2, b'"request":{"method":"POST","url":"Observation","ifNoneExist":"identifier=1"}}'),
        entry(2, url=b"https://source.example.org/Observation/7"),
        entry(2, url=b"urn:uuid:with-an-\\u0065scape"),
        b'{"resource":{"resourceType":"Observation"},' + POST,
    ],
)
@pytest.mark.parametrize("place", [0, 1])
def test_one_that_is_otherwise_has_all_looked_at_singly(other, place):
    entries = [entry(1)]
    entries.insert(place, other)
    assert _posted_names(entries) is None


def test_no_entries_have_no_names():
    assert _posted_names([]) is None


@pytest.mark.both_databases
def test_of_many_names_those_are_found_that_lead_elsewhere_or_nowhere(tmp_path):
    url = databases.new_gateway(tmp_path)
    index, tokens, notes, type_ = open_index(url), BlindTokens(bytes(32)), Notes(), 96
    count = 2 * StandingRows.BATCH + 3
    rows = {token: row for row, token in enumerate(tokens.sources(7, [(UUID % number).decode() for number in range(count)]))}
    elsewhere, nowhere = sorted(rows)[1], sorted(rows)[StandingRows.BATCH + 1]
    with index.atomic() as connection:
        kept = [(token, type_, count if token == elsewhere else row) for token, row in rows.items() if token != nowhere]
        insert_rows(connection, t.source_map, kept)
    names = SourceNames(index, tokens, IDS, notes)
    names.add(7, NAME_OF[type_], range(count), [EntryRow(number, b"", entry(number)) for number in range(count)])
    names.finish()
    index.close()
    report = notes.report()
    assert report.checked == {"source names": count}
    assert {(finding.code, finding.subject) for finding in report.findings} == {
        ("index-row-altered", record_name(rows[elsewhere], type_, None, IDS)),
        ("index-row-missing", record_name(rows[nowhere], type_, None, IDS)),
    }
