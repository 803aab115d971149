"""What a patient sees of who was given what: each entry of the access log as an AuditEvent (http://hl7.org/fhir/R4/auditevent.html).

Nothing is stored for it: the rows of the log say it all. The shape is that of a disclosure at its source in IHE's Basic Audit Log Patterns
(https://profiles.ihe.net/ITI/BALP/); that profile is not claimed, because the log keeps no network address.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection

from gateway.consent import purpose
from gateway.consent.coded import CLIENT_ID_SYSTEM
from gateway.disclosure import REFUSAL
from gateway.errors import Forbidden
from gateway.index import accesses, archives, consents, records
from gateway.index.accesses import AccessRow
from gateway.index.parties import Party
from gateway.index.resource_types import NAME_OF
from gateway.search.parse import Search
from gateway.search.scope import named_archives
from gateway.services import Services
from gateway.submission import instant

MOST = 100  # events of a page; each names all that its answer held

_DICOM = "http://dicom.nema.org/resources/ontology/DCM"
_SOURCE, _DESTINATION = ("110153", "Source Role ID"), ("110152", "Destination Role ID")
_LIFECYCLE = "http://terminology.hl7.org/CodeSystem/iso-21089-lifecycle"
_ENTITY_TYPE = "http://terminology.hl7.org/CodeSystem/audit-entity-type"
_ENTITY_ROLE = "http://terminology.hl7.org/CodeSystem/object-role"
_OBSERVER_TYPE = "http://terminology.hl7.org/CodeSystem/security-source-type"
_PATIENT, _DOMAIN_RESOURCE, _SECURITY_RESOURCE = ("1", "Patient"), ("4", "Domain Resource"), ("13", "Security Resource")


@dataclass(frozen=True, slots=True)
class LoggedEvent:
    """An AuditEvent, and the number of its access: the receipt's name."""

    sequence: int
    resource: dict[str, Any]


def find_audit_events(services: Services, patient: Party, search: Search, below: int) -> tuple[list[LoggedEvent], int | None]:
    """The accesses to the patient's own archive, the last first, from below number `below` on (0: from the last); and the next `below`.

    Forbidden for who has no archive, and, in the same words, where the search names another patient, whether or not there is one.
    """
    with services.index.reading() as connection:
        named = named_archives(services, connection, patient, search)
        own = archives.joined_with(connection, patient.archive)
        if patient.archive is None or (named is not None and not set(own).intersection(named)):
            raise Forbidden(REFUSAL)
        limit = min(search.count, MOST)
        numbers = [{int(id_) for id_ in group if is_number(id_)} for group in search.ids]
        found = accesses.of_archives(
            connection,
            own,
            below=below,
            limit=limit + 1,
            times=[[(bound.prefix, bound.first, bound.last) for bound in group] for group in search.dates],
            sequences=set.intersection(*numbers) if numbers else None,
        )
        page = found[:limit]
        following = page[-1].sequence if len(found) > len(page) else None
        return _events(services, connection, patient.archive, page), following


def read_audit_event(services: Services, patient: Party, sequence: int) -> LoggedEvent:
    """The access of that number. Forbidden, in the words of every refusal, unless it is one to the patient's own archive."""
    with services.index.reading() as connection:
        row = accesses.find(connection, sequence)
        if row is None or patient.archive is None or row.archive not in archives.joined_with(connection, patient.archive):
            raise Forbidden(REFUSAL)
        return _events(services, connection, patient.archive, [row])[0]


def is_number(id_: str) -> bool:
    """Whether an id is that of an access; ids of records are longer."""
    return id_.isascii() and id_.isdigit() and len(id_) < 19


def _events(services: Services, connection: Connection, archive: int, rows: Sequence[AccessRow]) -> list[LoggedEvent]:
    named = {record for row in rows for record, _ in row.records}
    types = {row: NAME_OF[state.type] for row, state in records.states(connection, named).items()}
    patient = consents.patient_resource(connection, archive)
    wanted = [*types, *(row.consent for row in rows), *([patient] if patient is not None else [])]
    ids = dict(zip(wanted, services.ids.encode(wanted), strict=True))
    subject = [] if patient is None else [_entity(f"Patient/{ids[patient]}", "1", _PATIENT)]

    def event(row: AccessRow) -> dict[str, Any]:
        given = [
            _entity(f"{types[record]}/{ids[record]}/_history/{version}", "2", _DOMAIN_RESOURCE)
            for record, version in row.records
            if record in types
        ]
        consent = f"Consent/{ids[row.consent]}"
        return _audit_event(row, services.gateway, consent, [*subject, *given, _entity(consent, "2", _SECURITY_RESOURCE)])

    return [LoggedEvent(row.sequence, event(row)) for row in rows]


def _audit_event(row: AccessRow, gateway: str, consent: str, entities: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "resourceType": "AuditEvent",
        "id": str(row.sequence),
        "meta": {"versionId": "1", "lastUpdated": instant(row.accessed_ms)},
        "type": _coding(_DICOM, "110106", "Export"),
        "subtype": [_coding(_LIFECYCLE, "disclose", "Disclose Record Lifecycle Event")],
        "action": "R",
        "recorded": instant(row.accessed_ms),
        "outcome": "0",
        "purposeOfEvent": [{"coding": [{"system": purpose.SYSTEM, "code": row.purpose}]}],
        "agent": [
            {"type": {"coding": [_coding(_DICOM, *_SOURCE)]}, "who": _party(gateway, None), "requestor": False},
            {
                "type": {"coding": [_coding(_DICOM, *_DESTINATION)]},
                "who": _party(row.client_id, row.name),
                "requestor": True,
                "policy": [consent],
            },
        ],
        "source": {"observer": _party(gateway, None), "type": [_coding(_OBSERVER_TYPE, "4", "Application Server")]},
        "entity": entities,
    }


def _entity(reference: str, kind: str, role: tuple[str, str]) -> dict[str, Any]:
    return {"what": {"reference": reference}, "type": {"system": _ENTITY_TYPE, "code": kind}, "role": _coding(_ENTITY_ROLE, *role)}


def _party(client_id: str, name: str | None) -> dict[str, Any]:
    return {"identifier": {"system": CLIENT_ID_SYSTEM, "value": client_id}} | ({"display": name} if name else {})


def _coding(system: str, code: str, display: str) -> dict[str, str]:
    return {"system": system, "code": code, "display": display}
