"""Synthea's bundles through intake: everything is there, the index says of each what is sealed with it, and nothing shows in clear."""

import json
import re

import pytest
from intake_case import add_party, open_services, post
from real_data import ABSENT, develop_folder
from sqlalchemy import select

from gateway import disclosure
from gateway.index import archives
from gateway.index import schema as t
from gateway.index.index_row import parse_index_row, stored_index_rows
from gateway.vault.container import container_name, narrowed
from gateway.vault.directory import STATEMENT_CLASS
from gateway.vault.opened_bundle import OpenedBundle, unwrap_bundle_key
from gateway.vault.sealed_bundle import read_header
from gateway.vault.submission import Statement

pytestmark = pytest.mark.skipif(develop_folder() is None, reason=ABSENT)


@pytest.fixture
def services(tmp_path):
    services = open_services(tmp_path)
    yield services
    services.index.close()


def bundles():
    """Those of either generation; they have identities in common, so two institutions send them."""
    blaze = develop_folder() / "synthea-r4-2021-blaze"
    smart = sorted((develop_folder() / "synthea-r4-v2.4-smart").glob("*.json"), key=lambda path: path.stat().st_size)
    patients = sorted(blaze.glob("[!0]*.json"), key=lambda path: path.stat().st_size)
    return [path.read_bytes() for path in (*sorted(blaze.glob("0-*.json")), patients[0])], [smart[0].read_bytes()]


def opened_bundles(services):
    """Every sealed bundle with the row of its archive."""
    columns = (t.bundle.c.offset, t.bundle.c.length, t.bundle.c.archive, t.container.c.digest)
    with services.index.reading() as connection:
        places = connection.execute(select(*columns).join(t.container)).all()
        keys = archives.by_rows(connection, {place.archive for place in places})
    for place in places:
        body = services.store.get(container_name(place.digest))
        read = narrowed(lambda offset, length, body=body: body[offset : offset + length], place.offset, place.length)
        header = read_header(read)
        yield place.archive, OpenedBundle(read, header, unwrap_bundle_key(header, services.keyring.private_key(keys[place.archive].keys)))


def test_two_generations_are_taken_whole_and_indexed_as_sealed(services, tmp_path):
    all_sent, created = [], 0
    hospitals = [add_party(services), add_party(services, "clinic-00000002", seed=None)]
    for hospital, bodies in zip(hospitals, bundles(), strict=True):
        sent, answers = [], []
        for body in bodies:
            sent += [entry["resource"] for entry in json.loads(body)["entry"]]
            answers += post(services, hospital, body).results
            assert post(services, hospital, body).replayed
        assert {answer.status for answer in answers} <= {"created", "unchanged"}
        check_contents(services, hospital, list(zip(sent, answers, strict=True))[::37])
        created += sum(answer.status == "created" for answer in answers)
        all_sent += sent
    assert check_index_rows(services, {hospital.client_id: hospital for hospital in hospitals}) == created
    check_nothing_in_clear(services, tmp_path, all_sent)


def check_contents(services, hospital, pairs):
    """The sent resource is served: equal but for id, what the gateway adds to meta, and references."""
    for resource, answer in pairs:
        kind, _, id_ = answer.reference.partition("/")
        served = json.loads(disclosure.read(services, hospital, kind, id_).body)
        for given in ("versionId", "lastUpdated", "source"):
            del served["meta"][given]
        assert without_references(served) == without_references({"meta": {}} | resource)


def without_references(resource):
    text = json.dumps({name: value for name, value in resource.items() if name != "id"}, sort_keys=True)
    return re.sub(r'"reference": "[^#"][^"]*"', '"reference": ""', text)


def check_index_rows(services, hospitals):
    """Every sealed index row is what the tables hold; how many there are."""
    count = 0
    for archive, opened in opened_bundles(services):
        sealed = {}
        for batch_class, batch in opened.batches():
            if batch_class.name == STATEMENT_CLASS:
                statement = Statement.parse(batch.bodies[0])
                statement.verify(hospitals[statement.issuer].attestation_key)
            else:
                sealed |= {row.row: row for row in map(parse_index_row, batch.index_rows)}
        with services.index.reading() as connection:
            assert stored_index_rows(connection, archive, list(sealed)) == sealed
        count += len(sealed)
    return count


def check_nothing_in_clear(services, folder, sent):
    patients = [resource for resource in sent if resource["resourceType"] == "Patient"]
    values = {p["name"][0]["family"] for p in patients} | {p["birthDate"] for p in patients}
    values |= (
        {i["value"] for p in patients for i in p["identifier"]}
        | {p["id"] for p in patients}
        | {p["address"][0]["line"][0] for p in patients}
    )
    values |= {coding["code"] for r in sent if r["resourceType"] == "Condition" for coding in r["code"]["coding"]}
    values |= {resource["id"] for resource in sent}
    with services.index.engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
    stored = b"".join(path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file())
    assert len(values) > 100
    assert [value for value in values if value.encode() in stored] == []
