"""What belongs to an institution, such as its practitioners, for whoever was given a record that refers to it, and for nobody else."""

import json

import pytest
import web_gateway
from search_world import FHIR, KEY, World, observation, references
from sqlalchemy import select

from gateway.index import directory_links
from gateway.index import schema as t
from jobs.audit_row_tags import verify_row_tags

PAID = {"X_Purpose_Of_Use": "HPAYMT"}


class Directory(World):
    """A gateway where one record of Anna's names a practitioner of the hospital's; the practitioner's employer is named by no patient's record."""

    def __init__(self, running):
        super().__init__(running)
        self.employer = self.create("hospital", {"resourceType": "Organization", "name": "Employer"})
        self.doctor = self.practitioner("hospital", extension=self.employer)
        self.stranger = self.practitioner("hospital")
        performer = [{"reference": self.doctor}]
        self.named = self.create("hospital", observation(self.patients["anna"], performer=performer, when="2031-01-01"))
        self.plain = self.create("hospital", observation(self.patients["anna"], when="2031-01-02"))

    def practitioner(self, who, extension=None):
        qualification = {"code": {"text": "x"}} | ({"issuer": {"reference": extension}} if extension else {})
        return self.create(who, {"resourceType": "Practitioner", "qualification": [qualification]})


@pytest.fixture
def world(tmp_path):
    with web_gateway.gateway(tmp_path, jwks=[KEY]) as running:
        yield Directory(running)


def status(world, who, path, **headers):
    return world.ask(who, path, **(headers or (PAID if who == "insurer" else {}))).status


def test_by_reference_only_for_as_long_as_the_grant_holds_and_logged(world):
    consent = world.grant("anna", types=("Observation",))
    assert status(world, "insurer", world.doctor) == 403, "nothing was disclosed yet"
    assert status(world, "insurer", world.plain) == 200
    assert status(world, "insurer", world.doctor) == 403, "what was disclosed does not refer to it"
    assert status(world, "insurer", world.named) == 200
    answer = world.ask("insurer", world.doctor, **PAID)
    assert answer.status == 200
    [event] = world.ask("anna", f"AuditEvent?_id={answer.headers['x-access-sequence']}").json["entry"]
    named = [entity["what"]["reference"] for entity in event["resource"]["entity"]]
    assert named == [world.patients["anna"], f"{world.doctor}/_history/1", consent]
    assert status(world, "insurer", f"{world.doctor}/_history/1") == 200
    assert status(world, "insurer", world.employer) == 403, "one reference leads to one resource"
    assert status(world, "insurer", world.stranger) == 403
    assert status(world, "insurer", "Practitioner?_id=" + world.doctor.partition("/")[2]) == 403, "found by reference, not by search"
    assert status(world, "insurer", world.doctor, X_Purpose_Of_Use="HRESCH") == 403, "for what was granted"
    assert status(world, "other", world.doctor) == 403
    world.revoke("anna", consent)
    denied, none = world.ask("insurer", world.doctor, **PAID), world.ask("insurer", world.stranger, **PAID)
    assert (denied.status, denied.body) == (403, none.body)
    again = world.grant("anna", types=("Observation",), until="2031-02-02")
    assert status(world, "insurer", world.doctor) == 403, "under the new grant nothing was disclosed yet"
    assert status(world, "insurer", f"Observation?patient={world.patients['anna']}&date=2031&_count=1") == 200
    assert status(world, "insurer", world.doctor) == 200
    world.revoke("anna", again)


def test_the_patient_reads_whom_the_own_records_name(world):
    assert status(world, "anna", world.doctor) == 403
    assert status(world, "anna", world.named) == 200
    assert "x-access-sequence" not in world.ask("anna", world.doctor).headers, "it rests on no grant"
    assert status(world, "anna", world.doctor) == 200
    assert status(world, "bert", world.doctor) == 403
    assert status(world, "anna", world.employer) == 403
    token = world.tokens["hospital"]
    assert world.client.ask("DELETE", f"/fhir/{world.doctor}", token=token).status == 204
    assert status(world, "anna", world.doctor) == 403, "what is deleted is no link's any more"


def test_everything_brings_them_beyond_the_count(world):
    everything = f"{world.patients['anna']}/$everything"
    found = {}
    for who, headers in (("hospital", {}), ("anna", {}), ("insurer", PAID)):
        if who == "insurer":
            world.grant("anna", types=("Observation",))
        page = world.ask(who, f"{everything}?start=2031&_type=Observation,Practitioner&_count=2", **headers)
        assert (references(page), references(page, "include")) == ([world.named, world.plain], [world.doctor]), who
        found[who] = page
        assert references(world.ask(who, f"{everything}?start=2031&_type=Observation", **headers), "include") == []
    [accessed] = [world.ask("anna", "AuditEvent?_count=2").json["entry"][1]]
    named = [entity["what"]["reference"] for entity in accessed["resource"]["entity"]]
    assert f"{world.doctor}/_history/1" in named
    assert status(world, "insurer", world.doctor) == 200


def test_a_reference_to_anothers_opens_nothing(world):
    """Whether the gateway keeps such a reference or refuses it, it leads nowhere."""
    foreign = world.practitioner("other")
    told = observation(world.patients["anna"], performer=[{"reference": foreign}], when="2032-01-01")
    made = world.client.ask("POST", "/fhir/Observation", json.dumps(told).encode(), world.tokens["hospital"], Content_Type=FHIR)
    world.grant("anna", types=("Observation",))
    if made.status == 201:
        reference = made.headers["location"].partition("/fhir/")[2].partition("/_history")[0]
        for who in ("insurer", "anna"):
            assert status(world, who, reference) == 200
    for who in ("insurer", "anna", "hospital"):
        assert status(world, who, foreign) == 403


def test_a_row_that_points_at_a_patients_record_permits_nothing(world):
    services = world.services
    row = services.ids.decode(world.named.partition("/")[2])
    bert, insurer = (services.parties.by_client_id(name).row for name in ("patient-bert", world.insurer))
    world.grant("bert", types=("Observation",))
    with services.index.atomic() as connection:
        consent = connection.scalar(t.consent_grant.select().with_only_columns(t.consent_grant.c.row))
        directory_links.add(connection, bert, [(row, directory_links.OWN)])
        directory_links.add(connection, insurer, [(row, consent)])
    assert status(world, "bert", world.named) == 403
    assert status(world, "insurer", world.named) == 403


def test_a_row_that_the_gateway_did_not_write_permits_nothing(world):
    services = world.services
    doctor, stranger = (services.ids.decode(reference.partition("/")[2]) for reference in (world.doctor, world.stranger))
    bert = services.parties.by_client_id("patient-bert").row
    assert (status(world, "anna", world.named), status(world, "anna", world.doctor)) == (200, 200)
    assert verify_row_tags(services.index, None).findings == ()
    with services.index.atomic() as connection:
        [tag] = connection.scalars(select(t.directory_link.c.tag))
        rows = [{"resource": doctor, "party": bert, "consent": 0}, {"resource": stranger, "party": bert, "consent": 0}]
        connection.execute(t.directory_link.insert(), [row | {"tag": told} for row, told in zip(rows, (tag, None), strict=True)])
    for reference in (world.doctor, world.stranger):
        answer = world.ask("bert", reference)
        assert (answer.status, b"Practitioner" in answer.body) == (500, False)
        with services.index.reading() as connection:
            assert directory_links.every(connection, [stranger]) == {}
    assert status(world, "anna", world.doctor) == 200, "another's is another row"
    assert [(one.code, str(row) in one.subject) for one, row in zip(verify_row_tags(services.index, None).findings, (doctor, stranger), strict=True)] == [
        ("link-altered", True),
        ("link-altered", True),
    ]  # fmt: skip
