"""Storage and database fail at each write, with the write done and not done; and signatures that do not hold."""

import time

import pytest
from intake_case import SIGNING_SEED, add_party, open_services, post, transaction
from simulator import SimulatedObjectStore
from sqlalchemy import event, func, select
from sqlalchemy.exc import OperationalError

from gateway.errors import Unavailable
from gateway.index import schema as t
from gateway.index.database import open_index
from gateway.vault import submission as signing
from gateway.vault.submission import SubmissionInvalid, SubmissionTree

pytestmark = pytest.mark.both_databases(slow=True)

URN = "urn:uuid:00000000-0000-4000-8000-00000000000"
BODY = transaction((f"{URN}1", {"resourceType": "Patient"}), (f"{URN}2", {"resourceType": "Organization", "name": "O"}))
PATIENT = b'{"resourceType":"Patient"}'


@pytest.fixture
def store():
    return SimulatedObjectStore(delay=0)


@pytest.fixture
def services(tmp_path, store):
    services = open_services(tmp_path, store)
    services.row_numbers.take(1)
    yield services
    services.index.close()


@pytest.fixture
def hospital(services):
    return add_party(services)


def count(services, table=t.resource):
    with services.index.reading() as connection:
        return connection.scalar(select(func.count()).select_from(table))


@pytest.mark.parametrize("fault", ["lost", "kept"])
def test_a_put_that_fails_writes_nothing_that_counts(services, hospital, store, fault):
    store.fail("put_if_absent", fault)
    with pytest.raises(Unavailable):
        post(services, hospital, BODY)
    assert count(services) == 0
    assert [r.status for r in post(services, hospital, BODY).results] == ["created", "created"]
    assert count(services) == 2
    assert len(list(store.list())) == (2 if fault == "kept" else 1)


def test_a_database_that_is_busy_for_long_leaves_no_object_behind(services, hospital, store):
    def busy(connection):
        if connection.get_execution_options().get("writes"):
            raise OperationalError("BEGIN IMMEDIATE", {}, Exception("database is locked"))

    event.listen(services.index.engine, "begin", busy)
    with pytest.raises(Unavailable):
        post(services, hospital, BODY)
    event.remove(services.index.engine, "begin", busy)
    assert list(store.list()) == []
    assert [r.status for r in post(services, hospital, BODY).results] == ["created", "created"]


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_commit_that_fails_before_or_after_it_happened(services, hospital, store, moment):
    failing = [True]

    def fail(connection):
        if failing and connection.get_execution_options().get("writes"):
            failing.clear()
            if moment == "after":
                connection.connection.driver_connection.commit()
            raise OperationalError("COMMIT", None, Exception("disk I/O error"))

    event.listen(services.index.engine, "commit", fail)
    with pytest.raises(Unavailable):
        post(services, hospital, BODY)
    again = post(services, hospital, BODY)
    assert again.replayed == (moment == "after")
    assert count(services) == 2
    assert count(services, t.submission) == 1
    with services.index.reading() as connection:
        assert connection.scalar(select(func.count()).where(t.outbox.c.kind == 2)) == 1


def test_a_database_that_stays_busy_is_unavailable(services, hospital, tmp_path):
    impatient = open_index(str(services.index.engine.url), busy_seconds=0.05)
    with services.index.atomic(), pytest.raises(Unavailable), impatient.atomic():
        pass
    impatient.close()


class RacingStore(SimulatedObjectStore):
    """Lets another process's submission win while an object is being put."""

    def __init__(self):
        super().__init__(delay=0)
        self.winners = []

    def put_if_absent(self, name, body):
        if self.winners:
            self.winners.pop()()
        super().put_if_absent(name, body)


@pytest.mark.parametrize(("fault", "left_behind"), [(None, 0), ("lost", 1)])
def test_what_lost_a_race_is_taken_back_or_left_to_the_sweeper(tmp_path, fault, left_behind):
    store = RacingStore()
    services = open_services(tmp_path, store)
    hospital = add_party(services)
    patient = {"resourceType": "Patient"}
    post(services, hospital, transaction((f"{URN}1", patient)))
    elsewhere = open_services(tmp_path, store)
    store.winners.append(lambda: post(elsewhere, hospital, transaction((f"{URN}1", patient | {"active": False}))))
    if fault:
        store.fail("delete", fault)
    written = post(services, hospital, transaction((f"{URN}1", patient | {"active": True}))).results[0]
    assert written.version == 3
    assert len(list(store.list())) == 3 + left_behind
    services.index.close()
    elsewhere.index.close()


def test_a_version_written_meanwhile_in_another_archive_is_noticed(tmp_path):
    store = RacingStore()
    services = open_services(tmp_path, store)
    hospital = add_party(services)
    patients = [post(services, hospital, PATIENT, "Patient").results[0].reference for _ in range(3)]

    def write(patient, services=services):
        flag = {"resourceType": "Flag", "status": "active", "code": {"text": "x"}, "subject": {"reference": patient}}
        return post(services, hospital, transaction((f"{URN}1", flag))).results[0]

    write(patients[0])
    elsewhere = open_services(tmp_path, store)
    store.winners.append(lambda: write(patients[1], elsewhere))
    assert write(patients[2]).version == 3
    assert count(services, t.history) == 2
    services.index.close()
    elsewhere.index.close()


def signed(body, *, seed=SIGNING_SEED, client_id="hospital-00000001", entries=None, now=0, nonce=bytes(range(32))):
    tree = SubmissionTree(entries or [body], nonce)
    jws = signing.sign(seed, client_id=client_id, iat=int(time.time()) + now, count=tree.count, root=tree.root)
    return {"signature": jws, "nonce": nonce}


def test_the_same_signed_message_is_taken_once(services):
    party = add_party(services, signing="own")
    first = post(services, party, PATIENT, "Patient", **signed(PATIENT))
    again = post(services, party, PATIENT, "Patient", **signed(PATIENT))
    other = post(services, party, PATIENT, "Patient", **signed(PATIENT, nonce=bytes(32)))
    assert again.replayed
    assert again.results == first.results
    assert other.results[0].reference != first.results[0].reference
    assert count(services) == 2


@pytest.mark.parametrize(
    "fault",
    [
        {"seed": bytes(32)},
        {"client_id": "lab-00000002"},
        {"entries": [PATIENT + b" "]},
        {"entries": [PATIENT, PATIENT]},
        {"now": -601},
    ],
)
@pytest.mark.parametrize("policy", ["own", "gateway"])
def test_a_signature_that_does_not_hold_writes_nothing(services, store, fault, policy):
    party = add_party(services, signing=policy)
    with pytest.raises(SubmissionInvalid):
        post(services, party, PATIENT, "Patient", **signed(PATIENT, **fault))
    with pytest.raises(SubmissionInvalid):
        post(services, party, PATIENT, "Patient", **signed(PATIENT) | {"nonce": None})
    assert count(services) == 0
    assert list(store.list()) == []
