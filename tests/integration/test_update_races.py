"""Updates and deletions of one resource at the same time: each answer is one that some order of them would have had."""

from collections import Counter

import pytest
from intake_case import add_party, delete, open_services, post, put, submit, transaction
from races_case import at_once, check
from sqlalchemy import func, select

from gateway import disclosure
from gateway.errors import PreconditionFailed
from gateway.identity.interaction import parse_interaction
from gateway.index import schema as t
from gateway.storage.file_store import FileObjectStore

pytestmark = pytest.mark.both_databases

PATIENT = {"resourceType": "Patient"}
NAMED = PATIENT | {"identifier": [{"system": "urn:x", "value": "1"}]}
MANY = 64


@pytest.fixture
def services(tmp_path):
    services = open_services(tmp_path)
    yield services
    services.index.close()


def version_of(work):
    """A work that tells its version, or 412."""

    def told(number):
        try:
            return work(number).version
        except PreconditionFailed:
            return 412

    return told


def test_many_updates_of_one_resource_are_as_many_versions(services):
    hospital = add_party(services)
    answers = at_once(lambda n: put(services, hospital, "Patient/p", PATIENT | {"id": "p", "multipleBirthInteger": n}), MANY)
    assert sorted(answer.version for answer in answers) == list(range(1, MANY + 1))
    assert Counter(answer.status for answer in answers) == {"created": 1, "updated": MANY - 1}
    for number, answer in enumerate(answers):
        body = disclosure.read(services, hospital, *answer.reference.split("/"), answer.version).body
        assert b'"multipleBirthInteger":%d}' % number in body
    check(services)


def test_who_lost_a_race_waits_instead_of_racing_on(tmp_path):
    """Without waiting, the last of many seals and stores its container some twenty times."""

    class CountingStore(FileObjectStore):
        puts = 0

        def put_if_absent(self, name, body):
            CountingStore.puts += 1
            super().put_if_absent(name, body)

    services = open_services(tmp_path, CountingStore(tmp_path / "bucket"))
    hospital = add_party(services)
    at_once(lambda n: put(services, hospital, "Patient/p", PATIENT | {"id": "p", "multipleBirthInteger": n}), MANY)
    assert CountingStore.puts < 10 * MANY
    services.index.close()


def test_of_many_who_replace_one_version_one_does(services):
    hospital = add_party(services)
    put(services, hospital, "Patient/p", PATIENT | {"id": "p"})
    replace = version_of(lambda n: put(services, hospital, "Patient/p", PATIENT | {"id": "p", "multipleBirthInteger": n}, 'W/"1"'))
    assert Counter(at_once(replace, MANY)) == {2: 1, 412: MANY - 1}
    check(services)


def test_of_many_conditional_updates_one_creates(services):
    hospital = add_party(services)
    answers = at_once(lambda n: put(services, hospital, "Patient?identifier=urn:x|1", NAMED | {"multipleBirthInteger": n}), 16)
    assert Counter(answer.status for answer in answers) == {"created": 1, "updated": 15}
    assert len({answer.reference for answer in answers}) == 1
    assert sorted(answer.version for answer in answers) == list(range(1, 17))
    check(services)


def test_a_resource_that_is_deleted_by_many_is_deleted_once(services):
    hospital = add_party(services)
    reference = put(services, hospital, "Patient/p", PATIENT | {"id": "p"}).reference
    answers = at_once(lambda _: delete(services, hospital, reference), 16)
    assert Counter(answer.status for answer in answers) == {"deleted": 1, "absent": 15}
    assert {answer.version for answer in answers} == {2}
    check(services)


def test_deletions_and_updates_take_turns(services):
    hospital = add_party(services)
    reference = put(services, hospital, "Patient/p", PATIENT | {"id": "p"}).reference
    answers = at_once(
        lambda n: delete(services, hospital, reference) if n % 2 else put(services, hospital, "Patient/p", PATIENT | {"id": "p"}), 32
    )
    written = [answer for answer in answers if answer.status in {"created", "deleted"}]
    assert sorted(answer.version for answer in written) == list(range(2, len(written) + 2))
    assert all((answer.version % 2 == 0) == (answer.status == "deleted") for answer in written)
    check(services)


class MeddlingStore(FileObjectStore):
    """Lets something else happen once, in another process, after the decision and before the commit."""

    meddle = None

    def put_if_absent(self, name, body):
        meddle, self.meddle = self.meddle, None
        if meddle:
            meddle()
        super().put_if_absent(name, body)


@pytest.mark.parametrize("write", [lambda *to: put(*to, NAMED | {"active": True}), delete])
def test_a_condition_is_asked_again_when_it_is_written(tmp_path, write):
    """A second resource gets the identifier after the search was answered."""
    store = MeddlingStore(tmp_path / "bucket")
    services = open_services(tmp_path, store)
    hospital = add_party(services)
    elsewhere = open_services(tmp_path, store)
    put(services, hospital, "Patient?identifier=urn:x|1", NAMED)
    store.meddle = lambda: post(elsewhere, hospital, NAMED, "Patient")
    with pytest.raises(PreconditionFailed):
        write(services, hospital, "Patient?identifier=urn:x|1")
    check(services)
    services.index.close()
    elsewhere.index.close()


def test_a_version_that_another_took_is_decided_anew(tmp_path):
    store = MeddlingStore(tmp_path / "bucket")
    services = open_services(tmp_path, store)
    hospital = add_party(services)
    elsewhere = open_services(tmp_path, store)
    put(services, hospital, "Patient/p", PATIENT | {"id": "p"})
    store.meddle = lambda: put(elsewhere, hospital, "Patient/p", PATIENT | {"id": "p", "active": True})
    assert delete(services, hospital, "Patient/p").version == 3
    store.meddle = lambda: put(elsewhere, hospital, "Patient/p", PATIENT | {"id": "p", "active": True})
    same = put(services, hospital, "Patient/p", PATIENT | {"id": "p", "active": True})
    assert (same.status, same.version) == ("unchanged", 4)
    store.meddle = lambda: delete(elsewhere, hospital, "Patient/p")
    with pytest.raises(PreconditionFailed):
        put(services, hospital, "Patient/p", PATIENT | {"id": "p"}, 'W/"4"')
    check(services)
    services.index.close()
    elsewhere.index.close()


@pytest.mark.parametrize("kind", ["a resource", "a Bundle"])
def test_a_named_request_that_comes_many_times_at_once_is_done_once(services, kind):
    hospital = add_party(services)
    interaction = parse_interaction("POST", "Patient") if kind == "a resource" else None
    body = PATIENT if interaction else transaction((None, PATIENT))
    answers = at_once(lambda _: submit(services, hospital, body, interaction, idempotency_key="k"), 16)
    assert [answer.replayed for answer in answers].count(False) == 1
    assert len({answer.results[0].reference for answer in answers}) == 1
    with services.index.reading() as connection:
        assert connection.scalar(select(func.count()).select_from(t.resource)) == 1
    check(services)
