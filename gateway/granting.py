"""Grants and revokes: a patient's word, committed once (docs/adr/0017-consent.md).

One unit of the database writes the grant, takes its number in the commit sequence and puts CONSENT_GRANT in the outbox; so does a revoke.
That commit is the moment that counts. A crash before it leaves nothing, one after it loses nothing. No object store is involved, so a
patient can revoke while the bucket is out of reach.
"""

from collections.abc import Iterable

from sqlalchemy import Connection

from chain.consent import ConsentGrantBody, ConsentRevokeBody, commit_terms, sign_grant, sign_revoke
from chain.keys import SigningKey
from fhir_adapters.issue import InvalidInput, Issue
from gateway.consent.provision import Provision
from gateway.consent.resource import ProposedConsent, read_consent
from gateway.consent.terms import Terms
from gateway.errors import Forbidden
from gateway.identity.literal import parse_literal
from gateway.index import accesses, archives, consents, outbox, parties, records
from gateway.index.archives import Archive
from gateway.index.consents import ConsentRow
from gateway.index.parties import Party, PartyRole
from gateway.index.resource_types import PATIENT
from gateway.services import Services
from gateway.stored_consents import StoredConsent, sealed_context, written

_ACTOR = "Consent.provision.actor[0].reference.identifier.value"


def grant(services: Services, patient: Party, body: bytes) -> StoredConsent:
    """Commit the Consent in `body`. The same Consent once more, while the first stands, is the first: nothing is granted twice.

    Raises InvalidInput for what is invalid, not understood or names nobody; Forbidden where no patient asks; Unavailable.
    """
    archive = _archive(services, patient)
    now_ms = int(services.clock() * 1000)
    proposed = read_consent(body, now_ms // 1000)
    row = services.row_numbers.take(1)[0]
    with services.index.atomic() as connection:
        grantee = _grantee(connection, proposed.terms)
        _check_patient(services, connection, proposed, patient)
        _check_records(services, proposed.terms.exceptions)
        token = services.tokens.content(archive.row or 0, proposed.content)
        found = consents.find_equal(connection, archive.row or 0, token)
        is_new = found is None
        if found is None:
            found = _commit(services, connection, proposed, archive, grantee, row, token, now_ms)
        return written(services, connection, found, is_new=is_new)


def revoke(services: Services, patient: Party, id_: str) -> StoredConsent:
    """End a grant for good; ending it again changes nothing. Forbidden, in the same words for another's and for none; Unavailable."""
    _check_role(patient)
    with services.index.atomic() as connection:
        found = _find(services, connection, patient, id_)
        if found is None:
            raise Forbidden("no such consent, or not yours to revoke")
        if found.revoked_ms is None:
            end(services, connection, found)
            found = _find(services, connection, patient, id_) or found
        return written(services, connection, found)


def end(services: Services, connection: Connection, stands: ConsentRow) -> None:
    """Revoke a grant that stands: its row and the CONSENT_REVOKE count when `connection` commits. Gone if its archive was erased."""
    now_ms = max(int(services.clock() * 1000), stands.granted_ms + 1)
    granted_on = archives.by_rows(connection, [stands.grant.archive])[stands.grant.archive]
    key = _one_time_key(services, granted_on, bytes.fromhex(services.ids.encode([stands.grant.row])[0]))
    sequence = _next_sequence(connection, now_ms)
    signature = sign_revoke(key, services.chain_id, services.gateway)
    consents.revoke(connection, stands.grant.row, sequence, now_ms)
    outbox.add(connection, ConsentRevokeBody(stands.grant.id, sequence, signature), now_ms // 1000)


def _archive(services: Services, patient: Party) -> Archive:
    own = _check_role(patient)
    with services.index.reading() as connection:
        return archives.by_rows(connection, [own])[own]


def _check_role(patient: Party) -> int:
    """The row of the patient's own archive."""
    if patient.role is not PartyRole.PATIENT or patient.archive is None:
        raise Forbidden("consents are granted and revoked by the patient")
    return patient.archive


def _find(services: Services, connection: Connection, patient: Party, id_: str) -> ConsentRow | None:
    """The grant of this id if it was given on one of the archives that the patient speaks for."""
    row = services.ids.decode(id_)
    return None if row is None else consents.find(connection, row, archives.joined_with(connection, patient.archive))


def _grantee(connection: Connection, terms: Terms) -> Party:
    party = parties.by_client_id(connection, terms.grantee)
    if party is None or not party.active:
        raise InvalidInput([Issue("not-found", "no active party has this client id", _ACTOR)])
    return party


def _check_patient(services: Services, connection: Connection, proposed: ProposedConsent, patient: Party) -> None:
    """A Consent that names its patient must name the one who grants."""
    if proposed.patient is None:
        return
    literal = parse_literal(proposed.patient)
    row = services.ids.decode(literal.id) if literal.type == "Patient" else None
    state = records.states(connection, [row]).get(row) if row is not None else None
    if state is None or state.type != PATIENT or state.archive not in archives.joined_with(connection, patient.archive):
        raise InvalidInput([Issue("business-rule", "must be the patient who grants", "Consent.patient")])


def _check_records(services: Services, exceptions: Iterable[Provision]) -> None:
    """Records that exceptions name must have an id of this gateway: one by another's name would be protected by nothing."""
    for one in exceptions:
        for record in one.records:
            if services.ids.decode(record.partition("/")[2]) is None:
                raise InvalidInput([Issue("not-found", f"{record} is no id that this gateway gave", "Consent.provision.provision.data")])
        _check_records(services, one.exceptions)


def _one_time_key(services: Services, archive: Archive, consent_id: bytes) -> SigningKey:
    return SigningKey.from_seed(services.keyring.archive_secret(archive.keys).grant_seed(consent_id))


def _commit(
    services: Services,
    connection: Connection,
    proposed: ProposedConsent,
    archive: Archive,
    grantee: Party,
    row: int,
    token: bytes,
    now_ms: int,
) -> ConsentRow:
    id_ = services.ids.encode([row])[0]
    consent_id = bytes.fromhex(id_)
    secret = services.keyring.archive_secret(archive.keys)
    key = SigningKey.from_seed(secret.grant_seed(consent_id))
    terms = proposed.terms.to_bytes(consent_id, archive.keys.key_id)
    commitment = commit_terms(services.chain_id, secret.grant_salt(consent_id), terms)
    sequence = _next_sequence(connection, now_ms)
    signature = sign_grant(key, services.chain_id, services.gateway, commitment)
    given = consents.write(
        connection,
        row=row,
        grant_id=key.public,
        archive=archive.row or 0,
        grantee=grantee.row,
        terms=proposed.terms,
        sequence=sequence,
        granted_ms=now_ms,
        content=token,
        sealed=services.keyring.seal(sealed_context(id_), proposed.content, services.random),
        exceptions=_sealed_exceptions(services, row, proposed.terms),
    )
    outbox.add(connection, ConsentGrantBody(key.public, commitment, sequence, signature), now_ms // 1000)
    return given


def _sealed_exceptions(services: Services, row: int, terms: Terms) -> bytes | None:
    if not terms.exceptions:
        return None
    return services.keyring.seal(consents.exceptions_context(row), consents.pack_exceptions(terms.exceptions), services.random)


def _next_sequence(connection: Connection, now_ms: int) -> int:
    """The number of a grant or revoke. The accesses before it go into their batch first: the ledger takes no lower number later."""
    accesses.close_batch(connection, now_ms // 1000)
    return consents.next_sequence(connection)
