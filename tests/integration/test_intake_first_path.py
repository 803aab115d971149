"""Submissions through the flow: what is written can be read back by its issuer, and what is at fault writes nothing."""

import json

import pytest
from intake_case import add_party, open_services, post, transaction
from sqlalchemy import func, select

from fhir_adapters import InvalidInput
from gateway import disclosure
from gateway.errors import Forbidden, NotFound, PreconditionFailed
from gateway.index import schema as t
from gateway.index import sources
from gateway.vault.submission import SubmissionInvalid

pytestmark = pytest.mark.both_databases(slow=True)

PATIENT = {"resourceType": "Patient", "id": "p", "gender": "female", "birthDate": "1970-03-28"}
URN = "urn:uuid:00000000-0000-4000-8000-00000000000"


def observation(patient=f"{URN}1", value=1, **more):
    coding = [{"system": "http://loinc.org", "code": "29463-7"}]
    return {
        "resourceType": "Observation",
        "status": "final",
        "code": {"coding": coding},
        "subject": {"reference": patient},
        "valueQuantity": {"value": value},
    } | more


@pytest.fixture
def services(tmp_path):
    services = open_services(tmp_path)
    yield services
    services.index.close()


@pytest.fixture
def hospital(services):
    return add_party(services)


def count(services, table):
    with services.index.reading() as connection:
        return connection.scalar(select(func.count()).select_from(table))


def state(services):
    """How much there is of everything."""
    tables = (t.resource, t.container, t.bundle, t.archive, t.source_map, t.code, t.identifier, t.outbox, t.submission, t.history)
    return [count(services, table) for table in tables] + [len(list(services.store.list()))]


def served(services, party, written):
    resource_type, _, id_ = written.reference.partition("/")
    return json.loads(disclosure.read(services, party, resource_type, id_).body)


def test_a_transaction_is_read_back_as_standard_records(services, hospital):
    answer = post(services, hospital, transaction((f"{URN}1", PATIENT), (f"{URN}2", observation())), request_id="r-1")
    patient, weight = answer.results
    assert [r.status for r in answer.results] == ["created", "created"]
    assert not answer.replayed
    found = served(services, hospital, weight)
    assert found["subject"]["reference"] == patient.reference
    assert found["id"] == weight.reference.partition("/")[2]
    assert found["meta"] == {"versionId": "1", "lastUpdated": weight.last_updated, "source": "urn:fhir-anchor:hospital-00000001#r-1"}
    assert served(services, hospital, patient)["birthDate"] == "1970-03-28"


def test_one_container_two_archives_and_an_anchor(services, hospital):
    before = count(services, t.outbox)
    post(
        services,
        hospital,
        transaction((f"{URN}1", PATIENT), (f"{URN}2", observation()), (f"{URN}3", {"resourceType": "Organization", "name": "O"})),
    )
    assert count(services, t.container) == 1
    assert count(services, t.bundle) == 2
    assert count(services, t.outbox) == before + 1
    with services.index.reading() as connection:
        assert connection.scalars(select(t.archive.c.directory_of).order_by(t.archive.c.row)).all() == [None, hospital.row]


def test_the_same_body_again_gets_the_same_answer(services, hospital):
    body = json.dumps(transaction((f"{URN}1", PATIENT), (f"{URN}2", observation()))).encode()
    first = post(services, hospital, body)
    before = state(services)
    again = post(services, hospital, body)
    assert again.replayed
    assert again.results == first.results
    assert state(services) == before


def test_another_body_with_the_same_full_urls_writes_versions_of_what_changed(services, hospital):
    first = post(services, hospital, transaction((f"{URN}1", PATIENT), (f"{URN}2", observation())))
    second = post(services, hospital, transaction((f"{URN}1", PATIENT), (f"{URN}2", observation(value=2))))
    assert [r.status for r in second.results] == ["unchanged", "updated"]
    assert second.results[0] == first.results[0].__class__(first.results[0].reference, 1, "unchanged", first.results[0].last_updated)
    assert second.results[1].reference == first.results[1].reference
    assert served(services, hospital, second.results[1])["valueQuantity"] == {"value": 2}
    id_ = first.results[1].reference.partition("/")[2]
    assert json.loads(disclosure.read(services, hospital, "Observation", id_, 1).body)["valueQuantity"] == {"value": 1}
    with pytest.raises(NotFound):
        disclosure.read(services, hospital, "Observation", id_, 3)


def test_a_body_whose_records_have_moved_on_is_processed_again(services, hospital):
    a = transaction((f"{URN}1", PATIENT), (f"{URN}2", observation()))
    b = transaction((f"{URN}1", PATIENT), (f"{URN}2", observation(value=2)))
    versions = [post(services, hospital, body).results[1].version for body in (a, b, a)]
    assert versions == [1, 2, 3]
    assert post(services, hospital, a).replayed


def test_every_fault_of_every_entry_is_told_and_nothing_is_written(services, hospital):
    before = state(services)
    broken = transaction((f"{URN}1", PATIENT | {"gender": "x"}), (f"{URN}2", observation()), (f"{URN}3", {"resourceType": "Observation"}))
    with pytest.raises(InvalidInput) as fault:
        post(services, hospital, broken)
    told = {issue.expression for issue in fault.value.issues}
    assert {"Bundle.entry[0].resource.gender", "Bundle.entry[2].resource.status", "Bundle.entry[2].resource.code"} <= told
    assert not any(expression.startswith("Bundle.entry[1]") for expression in told)
    assert state(services) == before


def test_a_batch_keeps_what_can_be_kept_and_takes_the_rest_later(services, hospital):
    organization = {"resourceType": "Organization", "identifier": [{"system": "urn:npi", "value": "1"}]}
    report = observation(performer=[{"reference": "Organization?identifier=urn:npi|1"}])
    body = json.dumps(
        transaction((f"{URN}1", PATIENT), (f"{URN}2", report), (f"{URN}3", {"resourceType": "Observation"}), bundle_type="batch")
    )
    first = post(services, hospital, body.encode())
    assert first.results[0].status == "created"
    assert [issue.code for issue in first.results[1].issues] == ["not-found"]
    assert first.results[2].status == 422
    post(services, hospital, transaction((f"{URN}9", organization)))
    second = post(services, hospital, body.encode())
    assert not second.replayed
    assert second.results[0] == first.results[0]
    assert second.results[1].status == "created"
    assert second.results[2].status == 422
    assert count(services, t.resource) == 3


def test_an_entry_of_a_batch_falls_with_the_one_it_refers_to(services, hospital):
    bad = {"resourceType": "Encounter"}
    answer = post(
        services,
        hospital,
        transaction(
            (f"{URN}1", PATIENT), (f"{URN}2", bad), (f"{URN}3", observation(encounter={"reference": f"{URN}2"})), bundle_type="batch"
        ),
    )
    assert [getattr(r, "status", None) for r in answer.results] == ["created", 422, 422]


def test_references_lead_across_submissions_and_targets_may_come_later(services, hospital):
    early = post(services, hospital, observation("Patient/123"), "Observation").results[0]
    patient = post(services, hospital, transaction(("http://hospital.example/fhir/Patient/123", PATIENT | {"id": "123"}))).results[0]
    late = post(services, hospital, observation("Patient/123", 2), "Observation").results[0]
    by_id = post(services, hospital, observation(patient.reference, 3), "Observation").results[0]
    assert patient.status == "created"
    for written in (early, late, by_id):
        assert served(services, hospital, written)["subject"]["reference"] == patient.reference
    with services.index.reading() as connection:
        assert len(set(connection.scalars(select(t.resource.c.archive)))) == 1


def test_another_servers_ids_are_not_the_senders(services, hospital):
    own = post(services, hospital, transaction(("http://hospital.example/fhir/Patient/5", PATIENT | {"id": "5"}))).results[0]
    other = post(services, hospital, observation("https://insurer.example/Patient/5"), "Observation").results[0]
    assert served(services, hospital, other)["subject"]["reference"] != own.reference


def test_the_patient_of_another_institution_cannot_be_written_to(services, hospital):
    patient = post(services, hospital, transaction((f"{URN}1", PATIENT))).results[0]
    lab = add_party(services, "lab-00000002", seed=bytes(31) + b"\x02")
    for reference in (patient.reference, "Patient/" + services.ids.encode([10**6])[0]):
        with pytest.raises(InvalidInput) as fault:
            post(services, lab, observation(reference), "Observation")
        assert [(i.code, i.diagnostics) for i in fault.value.issues] == [
            ("not-found", "a reference names no resource that this sender may refer to")
        ]


def test_sources_of_two_institutions_do_not_mix(services, hospital):
    lab = add_party(services, "lab-00000002", seed=bytes(31) + b"\x02")
    mine = post(services, hospital, transaction((f"{URN}1", PATIENT))).results[0]
    theirs = post(services, lab, transaction((f"{URN}1", PATIENT))).results[0]
    assert theirs.status == "created"
    assert theirs.reference != mine.reference


def test_if_none_exist_decides_a_create(services, hospital):
    organization = {"resourceType": "Organization", "identifier": [{"system": "urn:npi", "value": "7"}]}
    query = "identifier=urn:npi|7"
    first = post(services, hospital, organization, "Organization", if_none_exist=query)
    second = post(services, hospital, organization, "Organization", if_none_exist=query)
    assert (first.results[0].status, second.results[0].status) == ("created", "unchanged")
    assert second.results[0].reference == first.results[0].reference
    post(services, hospital, organization, "Organization")
    with pytest.raises(PreconditionFailed):
        post(services, hospital, organization, "Organization", if_none_exist=query)


def test_a_medication_lies_with_the_patient_whose_record_uses_it(services, hospital):
    request = {
        "resourceType": "MedicationRequest",
        "status": "active",
        "intent": "order",
        "subject": {"reference": f"{URN}1"},
        "medicationReference": {"reference": f"{URN}2"},
    }
    post(services, hospital, transaction((f"{URN}2", {"resourceType": "Medication"}), (f"{URN}3", request), (f"{URN}1", PATIENT)))
    with services.index.reading() as connection:
        assert len(set(connection.scalars(select(t.resource.c.archive)))) == 1
    assert count(services, t.archive) == 1


def test_old_and_new_of_one_archive_share_a_bundle(services, hospital):
    organization = {"resourceType": "Organization", "name": "O"}
    post(services, hospital, transaction((f"{URN}1", organization)))
    post(services, hospital, transaction((f"{URN}1", organization | {"active": True}), (f"{URN}2", organization)))
    assert count(services, t.bundle) == 2
    assert count(services, t.archive) == 1


def test_a_record_of_two_patients_needs_both(services, hospital):
    two = observation(performer=[{"reference": f"{URN}3"}])
    post(services, hospital, transaction((f"{URN}1", PATIENT), (f"{URN}3", PATIENT), (f"{URN}2", two)))
    assert count(services, t.co_archive) == 1


@pytest.mark.parametrize(
    "entries",
    [
        [(f"{URN}1", PATIENT), (f"{URN}1", PATIENT)],
        [("http://h.example/Patient/1", PATIENT), ("http://h.example/Patient/1", PATIENT | {"active": True})],
    ],
)
def test_one_identity_twice_is_refused(services, hospital, entries):
    with pytest.raises(InvalidInput) as fault:
        post(services, hospital, transaction(*entries))
    assert {issue.code for issue in fault.value.issues} <= {"duplicate", "invariant"}


def test_two_names_of_one_resource_are_one_identity(services, hospital):
    post(services, hospital, transaction((f"{URN}1", PATIENT), bundle_type="collection"))
    with pytest.raises(InvalidInput) as fault:
        post(services, hospital, transaction((f"{URN}1", {"resourceType": "Patient"}), (None, PATIENT), bundle_type="collection"))
    assert [(issue.code, issue.expression) for issue in fault.value.issues] == [("duplicate", "Bundle.entry[1].resource")]


def test_a_release_keeps_the_ids_of_its_source(services, hospital):
    first = post(services, hospital, transaction((None, PATIENT), bundle_type="collection"))
    second = post(services, hospital, transaction((None, PATIENT | {"active": True}), bundle_type="collection"))
    assert second.results[0].reference == first.results[0].reference
    assert second.results[0].version == 2


def test_only_the_issuer_reads_and_all_others_get_one_answer(services, hospital):
    lab = add_party(services, "lab-00000002", seed=bytes(31) + b"\x02")
    written = post(services, hospital, transaction((f"{URN}1", PATIENT))).results[0]
    id_ = written.reference.partition("/")[2]
    answers = set()
    for party, kind, asked in (
        (lab, "Patient", id_),
        (lab, "Patient", "f" * 32),
        (hospital, "Observation", id_),
        (hospital, "Patient", "nonsense"),
    ):
        with pytest.raises(Forbidden) as refused:
            disclosure.read(services, party, kind, asked)
        answers.add(str(refused.value))
    assert len(answers) == 1


def test_a_party_that_signs_itself_must(services):
    party = add_party(services, signing="own")
    before = state(services)
    with pytest.raises(SubmissionInvalid):
        post(services, party, transaction((f"{URN}1", PATIENT)))
    assert state(services) == before


def test_other_methods_are_refused_in_their_place(services, hospital):
    body = transaction((f"{URN}1", PATIENT), (f"{URN}2", PATIENT), bundle_type="batch")
    body["entry"][1]["request"] = {"method": "PATCH", "url": "Patient/1"}
    answer = post(services, hospital, body)
    assert answer.results[0].status == "created"
    assert (answer.results[1].status, answer.results[1].issues[0].code) == (501, "not-supported")


def test_a_condition_looks_at_the_senders_own_alone(services, hospital):
    others = [add_party(services, f"hospital-0000000{n}", seed=bytes(31) + bytes([n])) for n in (2, 3)]
    patient = PATIENT | {"identifier": [{"system": "urn:mrn", "value": "7"}]}
    for other in others:
        assert post(services, other, patient, "Patient").results[0].status == "created"
    own = [post(services, hospital, patient, "Patient", if_none_exist="identifier=urn:mrn|7").results[0] for _ in range(2)]
    assert [result.status for result in own] == ["created", "unchanged"]
    token = services.tokens.identifier("Patient", "urn:mrn", "7")
    with services.index.reading() as connection:
        assert len(sources.rows_by_identifier(connection, [token])[token]) == 3
        found = sources.own_rows_by_identifier(connection, hospital.row, [token])
    assert found == {token: {services.ids.decode(own[0].reference.partition("/")[2])}}
