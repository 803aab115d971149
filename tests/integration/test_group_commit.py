"""Submissions that arrive together share a container; each is stored, refused or left out for itself."""

import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest
from intake_case import add_party, open_services, post, transaction
from simulator import SimulatedObjectStore
from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError

from chain.encoding import decode
from fhir_adapters import InvalidInput
from gateway.errors import Unavailable
from gateway.group_commit import CAPACITY, GroupCommit
from gateway.index import containers, erasures, outbox
from gateway.index import schema as t
from gateway.metrics import Metrics
from gateway.pending import Pending, Sealed
from gateway.vault.errors import SealBroken
from gateway.web.server import THREADS

pytestmark = pytest.mark.both_databases(slow=True)
COMPANY = 6


class GatedStore(SimulatedObjectStore):
    """Once closed, the first put waits until `opens` is set, so that who comes meanwhile has to wait for it."""

    def __init__(self):
        super().__init__(delay=0)
        self.is_closed, self.entered, self.opens = False, threading.Event(), threading.Event()

    def put_if_absent(self, name, body):
        if self.is_closed and not self.entered.is_set():
            self.entered.set()
            assert self.opens.wait(30)
        super().put_if_absent(name, body)


@pytest.fixture
def store():
    return GatedStore()


@pytest.fixture
def services(tmp_path, store):
    services = open_services(tmp_path, store)
    yield services
    services.index.close()


@pytest.fixture
def hospital(services):
    return add_party(services)


def together(services, store, works):
    """Each of `works` in a thread; the first alone, the others while it commits. Their results, or what they raised."""
    waiting = services.group_commit._waiting
    store.is_closed = True

    def outcome(work):
        try:
            return work()
        except Unavailable as error:
            return error

    with ThreadPoolExecutor(len(works)) as pool:
        futures = [pool.submit(outcome, works[0])]
        assert store.entered.wait(30)
        for number, work in enumerate(works[1:], 1):
            futures.append(pool.submit(outcome, work))
            while len(waiting) < number and not futures[-1].done():
                pass
        store.opens.set()
        return [future.result(30) for future in futures]


def observation(patient):
    return {"resourceType": "Flag", "status": "active", "code": {"text": "x"}, "subject": {"reference": patient}}


def stored(services):
    with services.index.reading() as connection:
        return [(row.bundles, row.leaves) for row in containers.after(connection, 0, 1000)]


def check(services, store):
    """The bucket holds what the database knows; numbers have no gap; there is an ANCHOR for each container and it says what is in it."""
    with services.index.reading() as connection:
        kept = containers.after(connection, 0, 1000)
        numbers = select(t.bundle.c.archive, func.count(), func.max(t.bundle.c.number)).group_by(t.bundle.c.archive)
        assert all(count == last for _, count, last in connection.execute(numbers))
        anchors = [decode(row.body) for row in outbox.pending(connection) if row.kind == 2]
        assert connection.scalar(select(func.count()).select_from(t.bundle)) == sum(row.bundles for row in kept)
    assert {item.name for item in store.list()} == {row.name for row in kept}
    assert [(a[0], a[3], a[4]) for a in anchors] == [(row.digest, row.bundles, row.leaves) for row in kept]


@pytest.mark.parametrize("patients", [1, COMPANY])  # all in one archive, and each in its own
def test_who_waits_shares_the_next_container(services, store, hospital, patients):
    known = [post(services, hospital, {"resourceType": "Patient"}, "Patient").results[0].reference for _ in range(patients)]
    names = [known[number % patients] for number in range(COMPANY)]
    answers = together(services, store, [lambda name=name: post(services, hospital, observation(name), "Flag") for name in names])
    assert len({answer.results[0].reference for answer in answers}) == COMPANY
    assert [bundles for bundles, _ in stored(services)][patients:] == [1, COMPANY - 1]
    check(services, store)


def test_who_lost_the_race_is_left_out_and_tries_again_by_itself(services, store, hospital):
    patient = {"resourceType": "Patient", "identifier": [{"system": "urn:mrn", "value": "7"}]}
    works = [lambda: post(services, hospital, {"resourceType": "Patient"}, "Patient")]
    works += [lambda: post(services, hospital, patient, "Patient", if_none_exist="identifier=urn:mrn|7") for _ in range(3)]
    works += [lambda: post(services, hospital, {"resourceType": "Organization", "name": "O"}, "Organization")]
    answers = together(services, store, works)
    assert Counter(answer.results[0].status for answer in answers) == {"created": 3, "unchanged": 2}
    assert [bundles for bundles, _ in stored(services)] == [1, 2]
    check(services, store)


def test_what_comes_while_its_patient_is_erased_is_not_sealed_to_keys_that_are_gone(services, store, hospital):
    patient = post(services, hospital, {"resourceType": "Patient"}, "Patient").results[0].reference
    store.is_closed = True
    with ThreadPoolExecutor(1) as pool:
        coming = pool.submit(post, services, hospital, observation(patient), "Flag")
        assert store.entered.wait(30)
        with services.index.atomic() as connection:
            archive = connection.scalar(select(t.archive.c.row).where(t.archive.c.directory_of.is_(None)))
            erasures.destroy(connection, archive)
        store.opens.set()
        with pytest.raises(InvalidInput):
            coming.result(30)
    with services.index.reading() as connection:
        assert connection.scalar(select(func.count()).select_from(t.resource).where(t.resource.c.archive == archive)) == 0
    assert len(stored(services)) == 1
    check(services, store)


def test_a_store_out_of_reach_is_said_to_each_of_the_group(services, store, hospital):
    works = [lambda: post(services, hospital, {"resourceType": "Patient"}, "Patient") for _ in range(3)]
    works.insert(1, lambda: store.fail("put_if_absent", "lost") or post(services, hospital, {"resourceType": "Patient"}, "Patient"))
    answers = together(services, store, works)
    assert [isinstance(answer, Unavailable) for answer in answers] == [True, False, False, False]
    check(services, store)


def altered_row(_connection, *_):
    raise SealBroken("a row", "it was altered")


def impossible_row(connection, *_):
    connection.exec_driver_sql("INSERT INTO person (resource, version) VALUES (1, NULL)")


@pytest.mark.parametrize(("broken", "fault"), [(altered_row, SealBroken), (impossible_row, IntegrityError)])
def test_a_fault_of_one_is_not_the_others(services, store, hospital, broken, fault):
    def commit_it():
        with pytest.raises(fault):
            services.group_commit.commit(Pending(lambda: Sealed([], [], {}), broken, (), 0, (), 0))

    works = [lambda: post(services, hospital, {"resourceType": "Patient"}, "Patient") for _ in range(3)]
    works.insert(1, commit_it)
    answers = together(services, store, works)
    assert [answer and answer.results[0].status for answer in answers] == ["created", None, "created", "created"]
    assert [bundles for bundles, _ in stored(services)] == [1, 2]
    check(services, store)


def test_a_bucket_that_hangs_holds_no_thread_but_one(services, store, hospital):
    """And what waited in vain is not written when the bucket answers after all."""
    object.__setattr__(services, "group_commit", GroupCommit(services.index, store, Metrics(), services.clock, patience=0.1))
    store.is_closed = True
    with ThreadPoolExecutor(8) as pool:
        leader = pool.submit(post, services, hospital, {"resourceType": "Patient"}, "Patient")
        assert store.entered.wait(30)
        for _ in range(2):  # those in line, and those who come later and are not let in
            others = [pool.submit(post, services, hospital, {"resourceType": "Patient"}, "Patient") for _ in range(5)]
            assert all(isinstance(other.exception(5), Unavailable) for other in others)
        store.opens.set()
        assert leader.result(30).results[0].status == "created"
    assert post(services, hospital, {"resourceType": "Patient"}, "Patient").results[0].status == "created"
    assert [bundles for bundles, _ in stored(services)] == [1, 1]
    check(services, store)


def test_a_slow_bucket_leaves_threads_to_read_with(services, store, hospital):
    """As many as the capacity wait for it; who comes beyond gives up soon, then at once, and is told to come again."""
    assert CAPACITY < THREADS
    commit = GroupCommit(services.index, store, Metrics(), services.clock, patience=30, capacity=3, short_patience=0.2)
    object.__setattr__(services, "group_commit", commit)
    store.is_closed = True
    with ThreadPoolExecutor(8) as pool:
        company = [pool.submit(post, services, hospital, {"resourceType": "Patient"}, "Patient")]
        assert store.entered.wait(30)
        for number in range(2):
            company.append(pool.submit(post, services, hospital, {"resourceType": "Patient"}, "Patient"))
            while len(commit._waiting) <= number:
                pass
        for _ in range(2):
            beyond = [pool.submit(post, services, hospital, {"resourceType": "Patient"}, "Patient") for _ in range(4)]
            refused = [other.exception(5) for other in beyond]
            assert [(type(error), error.retry_after > 0) for error in refused] == [(Unavailable, True)] * 4
        assert not any(member.done() for member in company)
        store.opens.set()
        assert [member.result(30).results[0].status for member in company] == ["created"] * 3
    assert [bundles for bundles, _ in stored(services)] == [1, 2]
    check(services, store)


@pytest.mark.parametrize("jump", [7200, -7200])
def test_what_the_sweeper_may_have_taken_away_is_not_committed(tmp_path, store, jump):
    """The host slept, the clock was put, or the bucket hung, between the put and the commit: the container looks hours old."""
    services = open_services(tmp_path, store)
    hospital, clock = add_party(services), [services.clock()]
    object.__setattr__(services, "group_commit", GroupCommit(services.index, store, Metrics(), lambda: clock[0]))
    store.is_closed = True
    with ThreadPoolExecutor(1) as pool:
        asleep = pool.submit(post, services, hospital, {"resourceType": "Patient"}, "Patient")
        assert store.entered.wait(30)
        clock[0] += jump
        store.opens.set()
        assert isinstance(asleep.exception(30), Unavailable)
    assert stored(services) == []
    check(services, store)
    assert post(services, hospital, {"resourceType": "Patient"}, "Patient").results[0].status == "created"
    services.index.close()


def test_a_group_is_bounded_but_a_large_submission_goes_all_the_same(services, store, hospital):
    post(services, hospital, {"resourceType": "Patient"}, "Patient")
    [single] = [item.size for item in store.list()]
    object.__setattr__(services, "group_commit", GroupCommit(services.index, store, Metrics(), services.clock, max_bytes=2 * single))
    large = transaction(*((None, {"resourceType": "Patient", "multipleBirthInteger": n}) for n in range(20)))
    works = [lambda: post(services, hospital, {"resourceType": "Patient"}, "Patient") for _ in range(3)]
    together(services, store, [*works, lambda: post(services, hospital, large)])
    assert [bundles for bundles, _ in stored(services)] == [1, 1, 2, 20]
    check(services, store)
