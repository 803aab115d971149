"""A hostile database and a hostile bucket: what was not anchored, or is not what the row says, is not served and gets no receipt."""

import pytest
from intake_case import add_party, open_services, post, transaction
from sqlalchemy import text

from gateway import disclosure
from gateway.index import archives, parties, records
from gateway.index.parties import PartyRole
from gateway.index.resource_types import NAME_OF
from gateway.vault.errors import SealBroken
from gateway.vault.opened_bundle import OpenedBundle, unwrap_bundle_key
from gateway.vault.primitives import WrapPrivateKey, WrapSuite
from gateway.vault.seal import RecordToSeal, seal_bundle
from gateway.vault.sealed_bundle import read_header


@pytest.fixture
def services(tmp_path):
    opened = open_services(tmp_path)
    yield opened
    opened.index.close()


def patient(identifier):
    return {"resourceType": "Patient", "id": identifier, "identifier": [{"system": "urn:x", "value": identifier}]}


def observation(identifier, subject, value="quiet"):
    code = {"coding": [{"system": "http://loinc.org", "code": "8867-4"}]}
    who = {"reference": f"Patient/{subject}"}
    return {"resourceType": "Observation", "id": identifier, "status": "final", "code": code, "subject": who, "valueString": value}


def release(services, sender, *resources):
    """A collection, in which the resources' own ids identify them."""
    return post(services, sender, transaction(*((None, resource) for resource in resources), bundle_type="collection")).results


def place(services, reference):
    resource_type, _, id_ = reference.partition("/")
    with services.index.reading() as connection:
        return records.find(connection, resource_type, services.ids.decode(id_))


def change(services, statement, **values):
    with services.index.atomic() as connection:
        assert connection.execute(text(statement), values).rowcount == 1


def as_patient(services, reference):
    """The party of the patient in whose archive the record lies."""
    with services.index.atomic() as connection:
        archive = place(services, reference).archive
        return parties.enrol_patient(
            connection, client_id=f"patient-{archive:016x}", archive=archive, jwks={"keys": []}, signing_key=bytes(32), now=1
        )


def read(services, reader, reference, version=None):
    resource_type, _, id_ = reference.partition("/")
    return disclosure.read(services, reader, resource_type, id_, version)


def test_a_bundle_that_a_stranger_sealed_to_the_patient_is_not_served(services):
    hospital = add_party(services)
    reference = release(services, hospital, patient("p1"), observation("o1", "p1", "x" * 4000))[1].reference
    at = place(services, reference)
    with services.index.reading() as connection:
        archive = archives.by_rows(connection, [at.archive])[at.archive]
    body = services.store.get(at.container_name)
    honest = body[at.bundle_offset : at.bundle_offset + at.bundle_length]
    header = read_header(lambda offset, length: honest[offset : offset + length])
    opened = OpenedBundle(
        lambda offset, length: honest[offset : offset + length],
        header,
        unwrap_bundle_key(header, services.keyring.private_key(archive.keys)),
    )
    true = opened.record(at.leaf)
    forged = seal_bundle(
        chain_id=services.chain_id,
        bundle_id=header.bundle_id,
        number=1,
        statement=opened.statement().body,
        records=[RecordToSeal(true.class_name, true.id, 1, true.body.replace(b"x" * 4000, b"forged"), true.index_row, None)] * 2,
        cover=[],
        recipients=[archive.keys.public_key],
        random=services.random,
    ).body
    assert len(forged) <= len(honest)
    replaced = body[: at.bundle_offset] + forged.ljust(len(honest), b"\x00") + body[at.bundle_offset + at.bundle_length :]
    path = services.settings.home / "bucket" / at.container_name
    path.chmod(0o600)
    path.write_bytes(replaced)
    with pytest.raises(SealBroken):
        read(services, hospital, reference)


def test_a_row_that_says_something_else_than_what_is_sealed_is_not_served(services):
    hospital, other = add_party(services), add_party(services, "hospital-00000002", seed=bytes(31) + b"\x02")
    results = release(services, hospital, patient("p1"), observation("o1", "p1"), observation("o2", "p1", "loud"))
    first, second = results[1].reference, results[2].reference
    row, foreign = place(services, first), place(services, second)
    for statement, values, reader, named in (
        ("UPDATE resource SET issuer = :issuer WHERE row = :row", {"issuer": other.row}, other, first),
        ("UPDATE resource SET leaf = :leaf WHERE row = :row", {"leaf": foreign.leaf}, hospital, first),
        ("UPDATE resource SET leaf = 0 WHERE row = :row", {}, hospital, first),
        ("UPDATE resource SET version = 3 WHERE row = :row", {}, hospital, first),
        ("UPDATE resource SET type = :type WHERE row = :row", {"type": 1}, hospital, None),
    ):
        with services.index.reading() as connection:
            kept = (
                connection.execute(text("SELECT issuer, leaf, version, type FROM resource WHERE row = :row"), {"row": row.row})
                .one()
                ._asdict()
            )
        change(services, statement, row=row.row, **values)
        reference = named or f"{NAME_OF[1]}/{first.partition('/')[2]}"
        at = place(services, reference)
        with pytest.raises(SealBroken):
            read(services, reader, reference)
        with pytest.raises(SealBroken):
            services.anchored.record(at)
        change(
            services,
            "UPDATE resource SET issuer = :issuer, leaf = :leaf, version = :version, type = :type WHERE row = :row",
            row=row.row,
            **kept,
        )
        assert read(services, hospital, first).body


def test_no_record_is_sealed_to_a_key_that_was_put_in_an_archives_place(services):
    hospital = add_party(services)
    reference = release(services, hospital, patient("p1"))[0].reference
    stranger = WrapPrivateKey(WrapSuite.MLKEM768_X25519, bytes(32)).public.raw
    change(services, "UPDATE archive SET public_key = :key WHERE row = :row", key=stranger, row=place(services, reference).archive)
    with pytest.raises(SealBroken):
        release(services, hospital, observation("o1", "p1"))


def test_a_patient_reads_those_versions_that_are_of_that_patient_alone(services):
    hospital = add_party(services)
    results = release(services, hospital, patient("p1"), patient("p2"), observation("o1", "p1", "of the first"))
    first, second = (as_patient(services, result.reference) for result in results[:2])
    assert first.role is PartyRole.PATIENT
    reference = results[2].reference
    assert release(services, hospital, observation("o1", "p2", "of the second"))[0].version == 2
    assert b"of the first" in read(services, first, reference, 1).body
    assert b"of the second" in read(services, second, reference).body
    for reader, version in ((first, None), (first, 2), (second, 1)):
        with pytest.raises(disclosure.Forbidden):
            read(services, reader, reference, version)


def test_a_version_that_was_shared_stays_withheld_after_a_correction(services):
    hospital = add_party(services)

    def appointment(*subjects):
        who = [{"actor": {"reference": f"Patient/{subject}"}, "status": "accepted"} for subject in subjects]
        return {"resourceType": "Appointment", "id": "a1", "status": "booked", "participant": who}

    results = release(services, hospital, patient("p1"), patient("p2"), appointment("p1", "p2"))
    reference = results[2].reference
    first = as_patient(services, results[0].reference)
    release(services, hospital, appointment("p1"))
    assert read(services, first, reference).version == 2
    with pytest.raises(disclosure.Forbidden):
        read(services, first, reference, 1)
