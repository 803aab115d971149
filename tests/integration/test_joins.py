"""Archives that are one person's, on a real database: joined by the commit that says so, read as one, and taken apart again."""

import contextlib
import dataclasses
import json
import os

import pytest
from consent_case import optin
from intake_case import add_party, open_services, post, put
from races_case import at_once, check
from sqlalchemy import select, text

from gateway import disclosure, granting, joining, registration, stored_consents
from gateway.access_receipts import assemble_access_receipt
from gateway.audit_events import find_audit_events, read_audit_event
from gateway.errors import Conflict, Forbidden, Unavailable
from gateway.identity.joining import MAX_LINES
from gateway.index import archives, parties, persons
from gateway.index import schema as t
from gateway.search.page import find_page
from gateway.search.parse import parse_everything, parse_search
from gateway.vault.errors import SealBroken

pytestmark = pytest.mark.both_databases(slow=True)
SYSTEM = "urn:shared"
INSURER = "insurer-00000001"


@pytest.fixture
def world(tmp_path):
    opened = open_services(tmp_path)
    services = dataclasses.replace(opened, settings=dataclasses.replace(opened.settings, shared_systems=(SYSTEM,)))
    yield World(services)
    services.index.close()


class World:
    """Three hospitals and an insurer."""

    def __init__(self, services):
        self.services = services
        self.hospitals = [add_party(services, f"hospital-0000000{n}", seed=bytes(31) + bytes([n])) for n in (1, 2, 3)]
        self.insurer = add_party(services, INSURER, seed=None)
        with services.index.atomic() as connection:  # an agency issues nothing here
            self.insurer = dataclasses.replace(parties.by_client_id(connection, INSURER), role=parties.PartyRole.AGENCY)

    def patient(self, hospital, value="4471-K", birth="1950-02-01", sex="female", system=SYSTEM, name="p1"):
        """PUT as this hospital's `Patient/name`; its id and the row of its archive."""
        found = put(self.services, self.hospitals[hospital], f"Patient/{name}", resource(value, birth, sex, system, name))
        id_ = found.reference.partition("/")[2]
        return id_, self.archive(id_)

    def observe(self, hospital, name="p1", also=()):
        body = {"resourceType": "Observation", "status": "final", "code": {"text": "x"}, "subject": {"reference": f"Patient/{name}"}}
        body |= {"performer": [{"reference": f"Patient/{other}"} for other in also]} if also else {}
        return post(self.services, self.hospitals[hospital], body, "Observation").results[0].reference.partition("/")[2]

    def archive(self, id_):
        with self.services.index.reading() as connection:
            return archives.of_patient_resources(connection, [self.services.ids.decode(id_)]).pop()

    def groups(self):
        with self.services.index.reading() as connection:
            rows = connection.scalars(select(t.archive.c.row).where(t.archive.c.directory_of.is_(None))).all()
            return sorted(set(archives.groups_of(connection, rows).values()))

    def lines(self, **given):
        with self.services.index.reading() as connection:
            return [(line.archive, line.other, line.reason) for line in persons.lines(connection, **given)]

    def decide(self, decision, number=1):
        with self.services.index.atomic() as connection:
            return joining.decide(connection, number, decision, 1)

    def split(self, id_):
        with self.services.index.atomic() as connection:
            return joining.split(self.services, connection, id_, 1)

    def enrol(self, archive, name="patient-1"):
        with self.services.index.atomic() as connection:
            return parties.enrol_patient(connection, client_id=name, archive=archive, jwks={"keys": []}, signing_key=os.urandom(32), now=1)

    def grant(self, patient):
        return granting.grant(self.services, patient, json.dumps(optin(INSURER, types=("Observation", "Patient"))).encode())

    def may_read(self, id_, reader=None, purpose="HPAYMT"):
        try:
            disclosure.read(self.services, reader or self.insurer, "Observation", id_, purpose=purpose)
        except Forbidden:
            return False
        return True

    def found(self, reader, purpose, search):
        return {record.id for record in find_page(self.services, reader, purpose, search).records}


def resource(value, birth, sex, system=SYSTEM, name="p1"):
    said = {"birthDate": birth, "gender": sex, "identifier": [{"system": system, "value": one} for one in value.split(",")]}
    return {"resourceType": "Patient", "id": name} | {key: one for key, one in said.items() if one}


# how the second differs from the first -> whether they are joined, and the reason in the queue
DIFFERENCES = [
    ({}, True, None),
    ({"birth": "1950-02-02"}, False, "birth-differs"),
    ({"sex": "male"}, False, "birth-differs"),
    ({"birth": None}, False, "birth-missing"),
    ({"birth": "1950"}, False, "birth-missing"),
    ({"sex": None}, False, "birth-missing"),
    ({"sex": "unknown"}, False, "birth-missing"),
    ({"value": "4471-L"}, False, None),
    ({"system": "urn:own"}, False, None),
]


@pytest.mark.parametrize(("difference", "joined", "reason"), DIFFERENCES)
def test_joined_by_what_is_shared_and_agrees_and_by_nothing_else(world, difference, joined, reason):
    (_, first), (_, second) = world.patient(0), world.patient(1, **difference)
    assert world.groups() == ([(first, second)] if joined else [(first,), (second,)])
    assert world.lines() == ([(first, second, reason)] if reason else [])
    world.enrol(first)
    record = world.observe(1)
    patient = world.services.parties.by_client_id("patient-1")
    assert world.may_read(record, patient, None) is joined


def test_a_dummy_joins_nobody(world):
    for hospital in range(3):
        world.patient(hospital, value="999999999")
    assert len(world.groups()) == 3
    assert [reason for *_, reason in world.lines()] == ["known-dummy"] * 2


def test_a_chain_is_one_group_and_the_oldest_is_its_root(world):
    (_, a), (_, c) = world.patient(0, value="first-1"), world.patient(2, value="second-2")
    _, b = world.patient(1, value="first-1,second-2")
    assert world.groups() == [(a,), (c,), (b,)]  # two groups match: none is guessed
    assert {reason for *_, reason in world.lines()} == {"several-matches"}
    world.decide("join", 1)
    world.decide("join", 2)
    assert world.groups() == [(a, c, b)]
    assert world.lines() == []


def test_an_update_that_takes_the_ground_away_opens_a_line_and_splits_nothing(world):
    (_, first), (_, second) = world.patient(0), world.patient(1)
    world.patient(1, birth="1980-01-01")
    assert world.groups() == [(first, second)]
    assert world.lines() == [(first, second, "ground-gone")]
    with pytest.raises(Conflict):
        world.decide("keep-apart")
    world.decide("join")
    world.patient(1, birth="1980-01-01", sex="male")
    world.patient(1, birth="1980-01-01")  # what was decided on already
    assert [reason for *_, reason in world.lines()] == ["ground-gone"]


def test_a_pair_that_was_kept_apart_is_not_asked_about_again_nor_ever_joined_by_itself(world):
    (_, first), (second_id, second) = world.patient(0), world.patient(1, birth="1980-01-01")
    world.decide("keep-apart")
    world.patient(1, birth="1980-01-01", name="p1")
    world.patient(0)
    assert world.lines() == []
    world.patient(1)  # corrected: it agrees now
    assert world.groups() == [(first,), (second,)]
    assert world.lines() == [(first, second, "kept-apart")]
    world.decide("join", 2)
    assert world.groups() == [(first, second)]
    world.split(second_id)
    world.patient(1, birth="1980-01-01")
    world.patient(1)
    assert world.groups() == [(first,), (second,)]


def test_a_consent_covers_the_group_until_the_split_and_then_its_own_archive(world):
    (first_id, first), (second_id, second) = world.patient(0), world.patient(1)
    one, other = world.observe(0), world.observe(1)
    anna, same = world.enrol(first), world.enrol(second, "patient-2")
    given = world.grant(anna)
    services = world.services
    assert world.may_read(one)
    assert world.may_read(other)
    for named in (first_id, second_id):
        everything = parse_everything(f"Patient/{named}", ("Observation", "Patient"), [], strict=True)
        assert world.found(world.insurer, "HPAYMT", everything) == {one, other, first_id, second_id}
        search = parse_search("Observation", [("patient", named)], strict=True)
        assert world.found(world.insurer, "HPAYMT", search) == {one, other}
        assert world.found(anna, None, search) == {one, other}
    assert world.found(world.insurer, "HPAYMT", parse_search("Observation", [], strict=True)) == {one, other}
    assert stored_consents.read(services, same, given.id).id == given.id
    assert world.split(second_id) == (first,)
    assert (world.may_read(one), world.may_read(other)) == (True, False)
    assert (world.may_read(one, anna, None), world.may_read(other, anna, None)) == (True, False)
    assert world.found(world.insurer, "HPAYMT", parse_search("Observation", [], strict=True)) == {one}
    assert stored_consents.read(services, same, given.id) is None
    with pytest.raises(Forbidden):
        granting.revoke(services, same, given.id)


def may_have_receipt(world, reader, number):
    try:
        return assemble_access_receipt(world.services, None, reader, number).reason == "the access is in no batch yet"
    except Forbidden:
        return False


def events(world, reader):
    found, _ = find_audit_events(world.services, reader, parse_search("AuditEvent", [], strict=True), 0)
    return [event.sequence for event in found]


def test_the_log_and_its_receipts_follow_the_group(world):
    (_, first), (second_id, second) = world.patient(0), world.patient(1)
    _, third = world.patient(2, value="8812-Q", birth="1980-01-01")
    anna, same, bert = (world.enrol(archive, f"patient-{archive}") for archive in (first, second, third))
    records = [world.observe(hospital) for hospital in (0, 1)]
    given = [world.grant(patient).id for patient in (anna, bert)]
    read = [disclosure.read(world.services, world.insurer, "Observation", id_, purpose="HPAYMT") for id_ in records]
    numbers = [access.sequence for one in read for access in one.accesses]
    search = parse_search("Consent", [], strict=True)

    def seen(reader):
        consents = [one.id for one in stored_consents.find(world.services, reader, search, 0)[0]]
        return consents, events(world, reader), [may_have_receipt(world, reader, number) for number in numbers]

    everything = ([given[0]], numbers[::-1], [True, True])
    assert (seen(anna), seen(same), seen(bert)) == (everything, everything, ([given[1]], [], [False, False]))
    assert read_audit_event(world.services, same, numbers[0]).sequence == numbers[0]
    world.split(second_id)
    assert (seen(anna), seen(same)) == (everything, ([], [], [False, False]))
    with pytest.raises(Forbidden):
        read_audit_event(world.services, same, numbers[0])
    world.grant(same)
    disclosure.read(world.services, world.insurer, "Observation", records[1], purpose="HPAYMT")
    [own] = events(world, same)
    assert (may_have_receipt(world, same, own), may_have_receipt(world, anna, own)) == (True, False)


def test_a_revoke_from_the_other_side_holds_for_all(world):
    (_, first), (_, second) = world.patient(0), world.patient(1)
    one, other = world.observe(0), world.observe(1)
    given = world.grant(world.enrol(first))
    assert world.may_read(other)
    granting.revoke(world.services, world.enrol(second, "patient-2"), given.id)
    assert not world.may_read(one)
    assert not world.may_read(other)


def test_a_page_that_was_opened_before_the_split_does_not_leave_after_it(world):
    (_, first), (second_id, _) = world.patient(0), world.patient(1)
    other = world.observe(1)
    world.grant(world.enrol(first))
    services = world.services
    at = disclosure.locate(services, world.insurer, "Observation", other, purpose="HPAYMT")
    body = disclosure.committed(services, at).body
    world.split(second_id)
    with pytest.raises(Forbidden):
        disclosure.release_page(services, world.insurer, "HPAYMT", [disclosure.Disclosed(at, other, body)])


def test_two_archives_of_one_group_are_one_patient_to_a_record_of_both(world):
    (_, first), (_, second) = world.patient(0), world.patient(0, name="p2")
    shared = world.observe(0, "p1", also=["p2"])
    assert world.groups() == [(first, second)]
    world.grant(world.enrol(first))
    assert world.may_read(shared)
    world.split(world.patient(0, name="p2")[0])
    assert not world.may_read(shared)


def test_enrolling_by_a_shared_identifier_meets_one_patient(world, tmp_path):
    (_, first), _ = world.patient(0), world.patient(1)
    given = {"now": 1, "random": os.urandom}
    party = registration.enrol_patient(world.services, SYSTEM, "4471-K", "http://x", tmp_path / "a.json", **given)
    assert party.archive == first
    world.patient(2, birth="1960-01-01")
    with pytest.raises(registration.NotOnePatient, match="2 patients"):
        registration.enrol_patient(world.services, SYSTEM, "4471-K", "http://x", tmp_path / "b.json", **given)


def test_whoever_edits_the_database_makes_no_two_archives_agree(world):
    (first_id, first), (second_id, second) = world.patient(0), world.patient(1, value="8812-Q", birth="1980-01-01")
    rows = [world.services.ids.decode(id_) for id_ in (first_id, second_id)]
    with world.services.index.atomic() as connection:
        token = connection.scalar(select(t.identifier.c.token).where(t.identifier.c.resource == rows[0]))
        connection.execute(t.identifier.insert().values(token=token, resource=rows[1]))
    world.patient(0, sex="male")
    assert world.groups() == [(first,), (second,)]
    with world.services.index.atomic() as connection:
        sealed = connection.scalar(select(t.person.c.sealed).where(t.person.c.resource == rows[0]))
        connection.execute(t.person.update().where(t.person.c.resource == rows[1]).values(sealed=sealed))
    with pytest.raises(SealBroken):
        world.patient(0)
    with world.services.index.atomic() as connection:
        connection.execute(text("UPDATE archive SET joined_to = :first WHERE row = :second"), {"first": first, "second": second})
    with pytest.raises(SealBroken):
        world.may_read(world.observe(0), world.enrol(first), None)


def sent(world, hospital, address, body):
    """As a client does it: who is told that it takes too long sends again."""
    for _ in range(20):
        with contextlib.suppress(Unavailable):
            return put(world.services, world.hospitals[hospital], address, body)
    raise AssertionError("refused twenty times")


@pytest.mark.parametrize("agrees", [True, False])
def test_first_pushes_at_once_end_joined_or_in_the_queue(world, agrees):
    births = ["1950-02-01" if agrees else f"{1900 + number}-02-01" for number in range(64)]
    at_once(lambda n: sent(world, n % 3, f"Patient/q{n}", resource("4471-K", births[n], "female", name=f"q{n}")), 64)
    groups = world.groups()
    if agrees:
        assert [len(group) for group in groups] == [64]
    else:
        assert len(groups) == 64
        assert {second for _, second, _ in world.lines()} == {row for (row,) in groups[1:]}
    check(world.services)


@pytest.mark.parametrize("value", ["4471-K", "999999999"])
def test_a_value_that_many_share_opens_few_of_them(world, value, monkeypatch):
    opened, really = [], joining._opened
    monkeypatch.setattr(joining, "_opened", lambda *given: opened.append(given) or really(*given))
    entries = [
        {"resource": resource(value, f"{1900 + n}-02-01", "female", name=f"m{n}"), "request": {"method": "PUT", "url": f"Patient/m{n}"}}
        for n in range(80)
    ]
    post(world.services, world.hospitals[0], {"resourceType": "Bundle", "type": "transaction", "entry": entries})
    assert len(opened) <= 80 * (1 + MAX_LINES)
    assert len(world.groups()) == 80
    first, *others = (row for (row,) in world.groups())
    assert {one for one, _, _ in world.lines()} >= {first}
    assert {other for _, other, _ in world.lines()} == set(others)


def test_a_hospital_cannot_lead_its_own_patient_to_anothers_records(world):
    (_, victims), (_, evil) = world.patient(0), world.patient(1, value="8812-Q", birth="1980-01-01")
    seen = world.observe(0)
    thief = world.enrol(evil, "patient-2")
    world.patient(1)
    assert world.lines() == [(victims, evil, "signs-in")]
    assert not world.may_read(seen, thief, None)
    world.decide("join")
    assert world.may_read(seen, thief, None)


def test_who_was_enrolled_sees_what_another_hospital_sends_later(world):
    _, first = world.patient(0)
    anna = world.enrol(first)
    world.patient(1)
    assert len(world.groups()) == 1
    assert world.may_read(world.observe(1), anna, None)


def test_an_identifier_of_one_of_those_joined_enrols_nobody_for_all(world, tmp_path):
    (_, first), _ = world.patient(0), world.patient(1)
    also = resource("4471-K", "1950-02-01", "female", name="p1")
    also["identifier"].append({"system": "urn:evil", "value": "E1"})
    put(world.services, world.hospitals[1], "Patient/p1", also)
    given = {"now": 1, "random": os.urandom}
    with pytest.raises(registration.NotOnePatient, match="--joined"):
        registration.enrol_patient(world.services, "urn:evil", "E1", "http://x", tmp_path / "a.json", **given)
    assert registration.enrol_patient(world.services, "urn:evil", "E1", "http://x", tmp_path / "a.json", **given, is_joined=True)
    assert registration.enrol_patient(world.services, SYSTEM, "4471-K", "http://x", tmp_path / "b.json", **given).archive == first
