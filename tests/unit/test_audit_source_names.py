"""Names read in bulk are those that would be read one by one, or none are."""

import pytest

from gateway.vault.record_id import RecordIds
from jobs.audit_source_names import _name, _posted_names

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
