"""Updates and deletions through the flow: what is sealed and what is indexed of them, who may sign them, how long a key holds."""

import time

import pytest
from audit_case import AuditedHome, audit
from intake_case import SIGNING_SEED, add_party, delete, open_services, post, put, submit, transaction
from sqlalchemy import func, select

from fhir_adapters import InvalidInput
from gateway import disclosure
from gateway.errors import Forbidden
from gateway.identity.interaction import parse_interaction
from gateway.index import archives, idempotency_keys, parties
from gateway.index import schema as t
from gateway.index.index_row import parse_index_row, stored_index_rows
from gateway.submission import deletion_entry
from gateway.vault import submission as signing
from gateway.vault.opened_bundle import OpenedBundle, unwrap_bundle_key
from gateway.vault.sealed_bundle import read_header
from gateway.vault.submission import SubmissionInvalid, SubmissionTree

pytestmark = pytest.mark.both_databases(slow=True)

URN = "urn:uuid:00000000-0000-4000-8000-00000000000"
PATIENT = {"resourceType": "Patient"}


@pytest.fixture
def services(tmp_path):
    services = open_services(tmp_path)
    yield services
    services.index.close()


@pytest.fixture
def hospital(services):
    return add_party(services)


def weight(*patients, **more):
    links = {"subject": {"reference": patients[0]}} if patients else {}
    links |= {"performer": [{"reference": patient} for patient in patients[1:]]} if patients[1:] else {}
    code = {"coding": [{"system": "http://loinc.org", "code": "29463-7"}]}
    category = [{"coding": [{"code": "vital-signs"}]}]
    made = {"resourceType": "Observation", "status": "final", "code": code, "category": category, "effectiveDateTime": "2020-01-01"}
    return made | {"identifier": [{"system": "urn:x", "value": "1"}]} | links | more


def count(services, table):
    with services.index.reading() as connection:
        return connection.scalar(select(func.count()).select_from(table))


def opened(services, location):
    """The sealed record at a place, and the entry that is sealed beside it."""
    with services.index.reading() as connection:
        keys = archives.by_rows(connection, [location.archive])[location.archive].keys
    end = location.bundle_offset + location.bundle_length
    stored = services.store.get(location.container_name)[location.bundle_offset : end]
    read = lambda offset, length: stored[offset : offset + length]  # noqa: E731
    header = read_header(read)
    bundle = OpenedBundle(read, header, unwrap_bundle_key(header, services.keyring.private_key(keys)))
    return bundle.record(location.leaf), bundle.entry(location.leaf)


def test_a_tombstone_is_sealed_in_its_records_archive_and_indexed_as_nothing(services, hospital):
    patient, observation = post(services, hospital, transaction((f"{URN}1", PATIENT), (f"{URN}2", weight(f"{URN}1")))).results
    kind, _, id_ = observation.reference.partition("/")
    before = disclosure.locate(services, hospital, kind, id_)
    assert (count(services, t.code), count(services, t.identifier)) == (2, 1)
    gone = delete(services, hospital, observation.reference)
    assert (gone.status, gone.version, gone.reference) == ("deleted", 2, observation.reference)
    assert (count(services, t.code), count(services, t.identifier)) == (0, 0)
    at = disclosure.locate(services, hospital, kind, id_)
    assert (at.deleted, at.version, at.archive) == (True, 2, before.archive)
    record, entry = opened(services, at)
    assert record.class_name == "Observation"
    assert record.body == disclosure.committed(services, at).body
    assert (
        entry.raw == deletion_entry(observation.reference, None) == b'{"request":{"method":"DELETE","url":"%s"}}' % gone.reference.encode()
    )
    sealed = parse_index_row(record.index_row)
    assert (sealed.deleted, sealed.start, sealed.end, sealed.codes, sealed.identifiers) == (1, None, None, (), ())
    with services.index.reading() as connection:
        assert stored_index_rows(connection, at.archive, [at.row]) == {at.row: sealed}
    assert patient.version == 1


def test_what_lives_again_is_indexed_again(services, hospital):
    put(services, hospital, "Observation/o", weight(id="o"))
    delete(services, hospital, "Observation/o")
    again = put(services, hospital, "Observation/o", weight(id="o"))
    assert (again.status, again.version) == ("created", 3)
    assert (count(services, t.code), count(services, t.identifier)) == (2, 1)


def test_the_patients_who_shared_a_record_share_its_tombstone(services, hospital):
    body = transaction((f"{URN}1", PATIENT), (f"{URN}2", PATIENT), (f"{URN}3", weight(f"{URN}1", f"{URN}2")))
    reference = post(services, hospital, body).results[2].reference
    with services.index.reading() as connection:
        shared = connection.execute(select(t.co_archive)).all()
    assert [row.version for row in shared] == [1]
    delete(services, hospital, reference)
    with services.index.reading() as connection:
        assert connection.execute(select(t.co_archive)).all() == [*shared, (shared[0].archive, shared[0].resource, 2)]
        further = archives.by_rows(connection, [shared[0].archive])[shared[0].archive].keys.key_id
    kind, _, id_ = reference.partition("/")
    sealed = parse_index_row(opened(services, disclosure.locate(services, hospital, kind, id_))[0].index_row)
    assert (sealed.deleted, sealed.also_of) == (1, (further,))


def test_one_container_holds_what_a_transaction_deletes_and_writes(services, hospital):
    put(services, hospital, "Patient/p", PATIENT | {"id": "p"})
    before = count(services, t.container)
    body = transaction((None, PATIENT))
    body["entry"].append({"request": {"method": "DELETE", "url": "Patient/p"}})
    results = post(services, hospital, body).results
    assert [result.status for result in results] == ["created", "deleted"]
    assert count(services, t.container) == before + 1


def test_deleting_what_never_came_opens_no_archive(services, hospital):
    body = transaction((None, PATIENT))
    body["entry"] += [{"request": {"method": "DELETE", "url": f"{kind}/never-came"}} for kind in ("Patient", "Organization")]
    assert [result.status for result in post(services, hospital, body).results] == ["created", "absent", "absent"]
    assert count(services, t.archive) == 1


def test_a_party_that_signs_itself_signs_the_entry_of_a_deletion(services):
    party = add_party(services, "self-00000009", signing="own")
    nonce, now = bytes(32), int(time.time())

    def signed(entry):
        tree = SubmissionTree([entry], nonce)
        jws = signing.sign(SIGNING_SEED, client_id=party.client_id, iat=now, count=1, root=tree.root)
        return {"signature": jws, "nonce": nonce}

    body = b'{"resourceType":"Patient","id":"p"}'
    reference = put(services, party, "Patient/p", body, **signed(body)).reference
    with pytest.raises(SubmissionInvalid):
        delete(services, party, reference)
    with pytest.raises(SubmissionInvalid):
        delete(services, party, reference, **signed(deletion_entry("Patient/p", None)))
    assert delete(services, party, reference, 'W/"1"', **signed(deletion_entry(reference, 'W/"1"'))).status == "deleted"


def test_the_same_signed_update_again_acts_on_what_is_there(services, hospital):
    one, two = (PATIENT | {"id": "p", "gender": gender} for gender in ("male", "female"))
    versions = [put(services, hospital, "Patient/p", body).version for body in (one, two, two, one)]
    assert versions == [1, 2, 2, 3]


def test_a_reserved_id_of_another_is_not_written_to(services, hospital):
    lab = add_party(services, "lab-00000002", seed=bytes(31) + b"\x02")
    observation = post(services, hospital, weight("Patient/later"), "Observation").results[0].reference
    subject = (
        disclosure.read(services, hospital, *observation.split("/")).body.split(b'"subject":{"reference":"')[1].split(b'"')[0].decode()
    )
    resource = PATIENT | {"id": subject.partition("/")[2]}
    with pytest.raises(Forbidden):
        put(services, lab, subject, resource)
    assert delete(services, hospital, subject).version == 0
    assert put(services, hospital, subject, resource).version == 1


def test_a_key_is_forgotten_after_its_time(services, hospital):
    create = parse_interaction("POST", "Patient")
    now = time.time()
    first = submit(services, hospital, PATIENT, create, idempotency_key="k", received_at=now).results[0]
    for later in (1, 24 * 3600 + 60, idempotency_keys.LIFETIME - 1):
        assert submit(services, hospital, PATIENT, create, idempotency_key="k", received_at=now + later).replayed
        with pytest.raises(InvalidInput):
            submit(services, hospital, PATIENT | {"active": True}, create, idempotency_key="k", received_at=now + later)
    late = now + idempotency_keys.LIFETIME + 1
    assert not submit(services, hospital, PATIENT, create, idempotency_key="k", received_at=late).replayed
    now = late
    after = submit(services, hospital, PATIENT, create, idempotency_key="other", received_at=now + idempotency_keys.LIFETIME + 1)
    assert count(services, t.idempotency_key) == 1
    assert not after.replayed
    again = submit(services, hospital, PATIENT, create, idempotency_key="k", received_at=now + idempotency_keys.LIFETIME + 1)
    assert again.results[0].reference != first.reference


def test_a_key_brings_back_the_time_of_its_version(services, hospital):
    aim, now = parse_interaction("PUT", "Patient/p"), time.time()
    write = lambda body, later, **key: submit(services, hospital, PATIENT | {"id": "p"} | body, aim, received_at=now + later, **key)  # noqa: E731
    first = write({}, 0, idempotency_key="k").results
    write({"active": True}, 60)
    assert write({}, 120, idempotency_key="k").results == first


def test_a_patient_has_the_history_since_the_record_is_theirs(services, hospital):
    anna, bert, observation = (
        post(services, hospital, transaction((f"{URN}1", PATIENT), (f"{URN}2", PATIENT), (f"{URN}3", weight(f"{URN}1"))))
    ).results
    id_ = observation.reference.partition("/")[2]
    put(services, hospital, observation.reference, weight(bert.reference, id=id_))
    delete(services, hospital, observation.reference)
    with services.index.reading() as connection:
        rows = [services.ids.decode(written.reference.partition("/")[2]) for written in (anna, bert)]
        own = [archives.of_patient_resources(connection, [row]).pop() for row in rows]
    with services.index.atomic() as connection:
        patients = [
            parties.enrol_patient(connection, client_id=f"patient-{n}", archive=archive, jwks={"keys": []}, signing_key=bytes(32), now=1)
            for n, archive in enumerate(own)
        ]
    history = lambda reader: disclosure.history(services, reader, "Observation", id_, before=None, limit=9)  # noqa: E731
    assert [one.location.version for one in history(hospital)[0].records] == [3, 2, 1]
    assert [one.location.version for one in history(patients[1])[0].records] == [3, 2]
    with pytest.raises(Forbidden):
        history(patients[0])


def test_a_key_is_not_stored_in_clear(services, hospital, tmp_path):
    submit(services, hospital, PATIENT, parse_interaction("POST", "Patient"), idempotency_key="patient-4711-visit")
    assert b"patient-4711" not in b"".join(path.read_bytes() for path in tmp_path.glob("gateway.db*"))


def test_updates_and_deletions_are_clean_to_the_content_audit(tmp_path):
    home = AuditedHome.make(tmp_path)
    try:
        hospital = home.party()
        put(home.services, hospital, "Patient/p", PATIENT | {"id": "p"})
        put(home.services, hospital, "Observation/o", weight("Patient/p", id="o"))
        put(home.services, hospital, "Observation/o", weight("Patient/p", id="o", status="amended"))
        delete(home.services, hospital, "Observation/o")
        put(home.services, hospital, "Organization/g", {"resourceType": "Organization", "id": "g", "name": "G"})
        delete(home.services, hospital, "Organization/g")
        put(home.services, hospital, "Organization/g", {"resourceType": "Organization", "id": "g", "name": "G"})
        home.block()
        report = audit(home.home)
        assert (report.findings, report.could_not_check, report.pending) == ((), (), ())
    finally:
        home.close()
