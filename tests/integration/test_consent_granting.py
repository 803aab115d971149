"""Granting and revoking on a real database: one unit each, one sequence, and the ledger takes what comes out."""

import contextlib
import dataclasses
import json
import os
import threading

import msgspec
import pytest
from consent_case import optin
from intake_case import CHAIN_ID, KEK, add_party, open_services, post

from chain.consent import ConsentGrantBody, ConsentRevokeBody, commit_terms
from chain.encoding import decode
from chain.transactions import BODIES
from fhir_adapters import InvalidInput
from gateway import granting, stored_consents
from gateway.consent.decision import AccessRequest, decide
from gateway.consent.terms import Terms
from gateway.errors import Forbidden, NotFound, Unavailable
from gateway.index import archives, consents, outbox, parties
from gateway.index.database import Index
from gateway.search.parse import Search
from gateway.vault.keyring import Keyring

pytestmark = pytest.mark.both_databases

INSURER = "insurer-00000001"
UNKNOWN = "0" * 32


@pytest.fixture
def gateway(tmp_path):
    """Services with an insurer, and two patients of a hospital who have signed in once."""
    services = open_services(tmp_path)
    hospital = add_party(services)
    add_party(services, INSURER, seed=None)
    patients = [enrolled(services, hospital, number) for number in (1, 2)]
    yield services, *patients
    services.index.close()


def enrolled(services, hospital, number):
    id_ = post(services, hospital, {"resourceType": "Patient", "id": f"p{number}"}, "Patient").results[0].reference.partition("/")[2]
    with services.index.atomic() as connection:
        archive = archives.of_patient_resources(connection, [services.ids.decode(id_)]).pop()
        named = {"client_id": f"patient-{number}", "archive": archive, "jwks": {"keys": []}}
        return parties.enrol_patient(connection, **named, signing_key=os.urandom(32), now=1)


def grant(services, patient, **terms):
    return granting.grant(services, patient, json.dumps(optin(INSURER, **terms)).encode())


def acts(services):
    """The consents' bodies in the outbox, in order."""
    with services.index.reading() as connection:
        rows = outbox.pending(connection)
    found = [BODIES[row.kind].from_map(decode(row.body)) for row in rows]
    return [body for body in found if isinstance(body, ConsentGrantBody | ConsentRevokeBody)]


def grants_for(services, *patients):
    with services.index.reading() as connection:
        insurer = parties.by_client_id(connection, INSURER)
        return consents.grants_for(connection, insurer.row, [patient.archive for patient in patients])


def may_read(services, patient, resource_type="Observation"):
    request = AccessRequest(
        client_id=INSURER, role="agency", purpose="HPAYMT", action="read", resource_type=resource_type, archive=patient.archive
    )
    return decide(request, grants_for(services, patient), services.clock()).permitted


def test_a_grant_permits_until_its_revoke_and_nobody_elses(gateway):
    services, anna, bert = gateway
    assert not may_read(services, anna)
    given = grant(services, anna)
    assert may_read(services, anna)
    assert not may_read(services, bert)
    assert not may_read(services, anna, "Condition")
    granting.revoke(services, anna, given.id)
    assert not may_read(services, anna)
    assert [g.revoked_at_sequence for g in grants_for(services, anna, bert)] == [2]
    with services.index.reading() as connection:
        hospital = parties.by_client_id(connection, "hospital-00000001")
        assert consents.grants_for(connection, hospital.row, [anna.archive]) == []


def test_grants_and_revokes_share_one_sequence_in_the_order_of_the_outbox(gateway):
    services, anna, bert = gateway
    first, second = grant(services, anna), grant(services, bert)
    granting.revoke(services, anna, first.id)
    grant(services, anna)
    assert [(type(body).__name__, body.sequence) for body in acts(services)] == [
        ("ConsentGrantBody", 1),
        ("ConsentGrantBody", 2),
        ("ConsentRevokeBody", 3),
        ("ConsentGrantBody", 4),
    ]
    assert second.version == 1


def test_each_grant_has_a_key_of_its_own_which_signs_grant_and_revoke(gateway):
    services, anna, _ = gateway
    first, second = grant(services, anna), grant(services, anna, types=("Condition",))
    granting.revoke(services, anna, first.id)
    bodies = acts(services)
    for body in bodies:
        body.verify_signature(CHAIN_ID, services.gateway)
    assert bodies[0].grant_id == bodies[2].grant_id != bodies[1].grant_id
    assert second.id != first.id


def test_the_parties_can_open_the_commitment(gateway):
    services, anna, _ = gateway
    given = grant(services, anna, types=("Observation", "Condition"))
    [found] = grants_for(services, anna)
    with services.index.reading() as connection:
        keys = archives.by_rows(connection, [anna.archive])[anna.archive].keys
    terms = Terms(INSURER, found.types, found.purposes, found.rights, found.starts_at, found.ends_at)
    consent_id = bytes.fromhex(given.id)
    salt = Keyring(KEK).archive_secret(keys).grant_salt(consent_id)
    assert acts(services)[0].commitment == commit_terms(CHAIN_ID, salt, terms.to_bytes(consent_id, keys.key_id))
    assert acts(services)[0].grant_id == found.id


def test_the_same_consent_once_more_is_the_same_grant_while_it_stands(gateway):
    services, anna, bert = gateway
    first = grant(services, anna)
    again = grant(services, anna)
    assert (first.is_new, again.is_new, again.id) == (True, False, first.id)
    assert grant(services, bert).id != first.id
    granting.revoke(services, anna, first.id)
    assert grant(services, anna).id != first.id


def test_the_same_consent_sent_by_many_at_once_is_granted_once(gateway):
    services, anna, _ = gateway
    ids, start = [], threading.Barrier(8)

    def one():
        start.wait()
        ids.append(grant(services, anna).id)

    threads = [threading.Thread(target=one) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(ids) == 8
    assert len(set(ids)) == len(acts(services)) == 1


def test_revoking_twice_changes_nothing(gateway):
    services, anna, _ = gateway
    given = grant(services, anna)
    first, again = (granting.revoke(services, anna, given.id) for _ in range(2))
    assert first == again
    assert first.version == 2
    assert len(acts(services)) == 2


def test_what_is_not_ones_own_cannot_be_told_from_what_does_not_exist(gateway):
    services, anna, bert = gateway
    given = grant(services, anna)
    words = set()
    for id_ in (given.id, UNKNOWN, services.ids.encode([1])[0], "not-an-id"):
        with pytest.raises(Forbidden) as refused:
            granting.revoke(services, bert, id_)
        words.add(str(refused.value))
        assert stored_consents.read(services, bert, id_) is None
    assert len(words) == 1
    assert may_read(services, anna)


def test_a_consent_is_read_as_it_stands_and_as_it_was(gateway):
    services, anna, _ = gateway
    given = grant(services, anna)
    granting.revoke(services, anna, given.id)
    told = [msgspec.json.decode(stored_consents.read(services, anna, given.id, version).body) for version in (1, 2, None)]
    assert [(one["status"], one["meta"]["versionId"]) for one in told] == [("active", "1"), ("inactive", "2"), ("inactive", "2")]
    assert all(one["patient"]["reference"].startswith("Patient/") for one in told)
    with pytest.raises(NotFound):
        stored_consents.read(services, anna, given.id, 3)
    assert [one.id for one in stored_consents.find(services, anna, Search(types=("Consent",)), 0)[0]] == [given.id]


def test_the_grantee_must_be_active(gateway):
    services, anna, _ = gateway
    for other in ("insurer-99999999", INSURER):
        with services.index.atomic() as connection:
            parties.suspend(connection, INSURER, 1)
        with pytest.raises(InvalidInput, match="no active party"):
            granting.grant(services, anna, json.dumps(optin(other)).encode())
    assert acts(services) == []


def test_a_consent_must_name_no_other_patient(gateway):
    services, anna, bert = gateway
    named = json.loads(stored_consents.read(services, bert, grant(services, bert).id).body)["patient"]
    for reference in (named["reference"], f"Patient/{UNKNOWN}", "Patient/p1", "urn:uuid:x"):
        body = json.dumps(optin(INSURER) | {"patient": {"reference": reference}}).encode()
        with pytest.raises(InvalidInput, match="must be the patient who grants"):
            granting.grant(services, anna, body)
    assert granting.grant(services, bert, json.dumps(optin(INSURER) | {"patient": named}).encode()).is_new


def test_only_a_patient_grants(gateway):
    services, *_ = gateway
    insurer = services.parties.by_client_id(INSURER)
    with pytest.raises(Forbidden):
        grant(services, insurer)
    with pytest.raises(Forbidden):
        granting.revoke(services, insurer, UNKNOWN)


class FailingIndex(Index):
    """Fails at the end of a unit, once told to."""

    fails = False

    @contextlib.contextmanager
    def atomic(self):
        with super().atomic() as connection:
            yield connection
            if self.fails:
                raise Unavailable("the disk is full")


def test_a_unit_that_fails_leaves_nothing_and_gives_its_number_back(gateway):
    services, anna, _ = gateway
    broken = dataclasses.replace(services, index=FailingIndex(services.index.engine))
    given = grant(broken, anna)
    broken.index.fails = True
    with pytest.raises(Unavailable):
        grant(broken, anna, types=("Condition",))
    with pytest.raises(Unavailable):
        granting.revoke(broken, anna, given.id)
    assert may_read(services, anna)
    assert len(acts(services)) == len(grants_for(services, anna)) == 1
    granting.revoke(services, anna, given.id)
    assert [body.sequence for body in acts(services)] == [1, 2]


def test_nothing_of_a_consent_but_its_terms_lies_in_clear(gateway):
    services, anna, _ = gateway
    body = optin(INSURER) | {"identifier": [{"system": "urn:clinic", "value": "SECRET-4471"}]}
    given = granting.grant(services, anna, json.dumps(body).encode())
    assert b"SECRET-4471" in stored_consents.read(services, anna, given.id).body
    folder = services.settings.home
    assert all(b"SECRET-4471" not in path.read_bytes() for path in folder.rglob("*") if path.is_file())
