"""Submissions at the same time: each outcome is one that some order of them would have had."""

from collections import Counter

import pytest
from intake_case import add_party, open_services, post, transaction
from races_case import THREADS, at_once, check
from sqlalchemy import func, select

from gateway.index import schema as t

pytestmark = pytest.mark.both_databases

URN = "urn:uuid:00000000-0000-4000-8000-00000000000"
PATIENT = {"resourceType": "Patient"}


@pytest.fixture
def services(tmp_path):
    services = open_services(tmp_path)
    yield services
    services.index.close()


def rows(services, table):
    with services.index.reading() as connection:
        return connection.scalar(select(func.count()).select_from(table))


@pytest.mark.parametrize("kind", ["Organization", "Patient"])  # of one archive, and each of its own
def test_one_of_many_conditional_creates_creates(services, kind):
    hospital = add_party(services)
    resource = {"resourceType": kind, "identifier": [{"system": "urn:npi", "value": "7"}]}
    answers = at_once(lambda _: post(services, hospital, resource, kind, if_none_exist="identifier=urn:npi|7"), 16)
    assert Counter(a.results[0].status for a in answers) == {"created": 1, "unchanged": 15}
    assert len({a.results[0].reference for a in answers}) == 1
    check(services)


def test_the_same_bundle_at_once_is_one_set_of_records(services):
    hospital = add_party(services)
    body = transaction((None, PATIENT), (None, {"resourceType": "Organization", "name": "O"}))
    answers = at_once(lambda _: post(services, hospital, body))
    assert len({tuple(r.reference for r in a.results) for a in answers}) == 1
    assert [a.replayed for a in answers].count(False) == 1
    assert rows(services, t.resource) == 2
    check(services)


def test_versions_of_one_resource_follow_each_other(services):
    hospital = add_party(services)
    answers = at_once(lambda n: post(services, hospital, transaction((f"{URN}1", PATIENT | {"multipleBirthInteger": n}))))
    assert sorted(a.results[0].version for a in answers) == list(range(1, THREADS + 1))
    assert rows(services, t.history) == THREADS - 1
    check(services)


def test_what_is_not_there_yet_is_reserved_once(services):
    hospital = add_party(services)
    flag = {"resourceType": "Flag", "status": "active", "code": {"text": "x"}, "subject": {"reference": "Patient/1"}}
    at_once(lambda _: post(services, hospital, flag, "Flag"))
    assert rows(services, t.resource) == THREADS + 1
    assert rows(services, t.archive) == 1
    check(services)
