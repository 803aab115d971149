"""A patient's consents over HTTP: granting, revoking, listing, and what was read by them (http://hl7.org/fhir/R4/consent.html)."""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Any
from urllib.parse import quote

from gateway.client.connection import Answer, Connection
from gateway.client.credentials import PATIENT_SCOPE, Credentials
from gateway.client.fetch import FetchRefused, fetch_pages
from gateway.consent import purpose
from gateway.consent.coded import ACTION_SYSTEM, CLIENT_ID_SYSTEM, POLICY_SYSTEM, ROLE_SYSTEM, SCOPE_SYSTEM, TYPE_SYSTEM

FHIR_JSON = "application/fhir+json"
_LOCATION = re.compile(r".*/Consent/([A-Za-z0-9.-]{1,64})/_history/[0-9]+")
_ID = re.compile(r"[A-Za-z0-9.-]{1,64}", re.ASCII)
_LOINC = "http://loinc.org"
_DOMAIN_RESOURCE = "4"  # of http://terminology.hl7.org/CodeSystem/object-role: what was disclosed


class ConsentRefused(Exception):
    """The gateway did not do it; the message has its reasons, each with the place in the Consent."""

    def __init__(self, issues: Sequence[tuple[str, str]]) -> None:
        self.issues = tuple(issues)  # (expression or "", diagnostics)
        super().__init__("; ".join(f"{where}: {what}" if where else what for where, what in issues))


@dataclass(frozen=True, slots=True)
class GrantedConsent:
    """A Consent as the gateway told it. Dates as FHIR writes them."""

    id: str
    status: str
    to: str
    types: list[str]
    purposes: list[str]
    until: str
    exceptions: int  # provisions that withhold something of it


@dataclass(frozen=True, slots=True)
class LoggedAccess:
    """One access as the gateway told it: who was given which records what for, by which Consent. `at` as FHIR writes it."""

    sequence: int
    at: str
    client_id: str
    name: str
    purpose: str
    consent: str
    records: list[str]


def as_patient(credentials: Credentials) -> Credentials:
    """The same, asking for what a patient may do and no more, whatever the file says: for anyone else a Consent would permit nothing."""
    return replace(credentials, scope=PATIENT_SCOPE)


def grant(connection: Connection, *, to: str, types: Sequence[str], purposes: Sequence[str], until: str) -> str:
    """The id of the Consent that now holds. Repeating it makes no second one. Raises ConsentRefused, and what the connection raises."""
    return grant_consent(connection, json.dumps(consent_of(to=to, types=types, purposes=purposes, until=until)).encode())


def grant_consent(connection: Connection, body: bytes) -> str:
    """The same for a Consent of one's own, in JSON. Raises as `grant`."""
    answer = connection.ask("POST", "/fhir/Consent", body, {"Content-Type": FHIR_JSON, "Accept": FHIR_JSON})
    found = _LOCATION.fullmatch(answer.headers.get("Location", ""))
    if answer.status not in (200, 201) or found is None:
        raise _refused(answer)
    return found[1]


def revoke(connection: Connection, id_: str) -> None:
    """When it returns, nothing is disclosed by this consent any more. Raises as `grant`; ValueError for what is no id."""
    id_ = id_.removeprefix("Consent/")
    if not _ID.fullmatch(id_):
        raise ValueError(f"{id_!r} is no id of a consent")
    answer = connection.ask("POST", f"/fhir/Consent/{id_}/$revoke", headers={"Accept": FHIR_JSON})
    if answer.status != 200:
        raise _refused(answer)


def granted(connection: Connection) -> list[GrantedConsent]:
    """All that one granted and that was granted to one, the first first, revoked ones included. Raises as `grant`."""
    return [_told(resource) for resource in _found(connection, "Consent?_count=500")]


def accesses(connection: Connection, since: str | None) -> list[LoggedAccess]:
    """Who was given what of one's own records, the last first; from day or instant `since` on. Raises as `grant`."""
    narrowed = f"&date={quote('ge' + since, safe='')}" if since else ""
    return [_access(event) for event in _found(connection, f"AuditEvent?_count=100{narrowed}")]


def _found(connection: Connection, query: str) -> Iterator[dict[str, Any]]:
    try:
        for page in fetch_pages(connection, query, purpose=None):
            yield from map(json.loads, page.resources)
    except FetchRefused as refused:
        raise ConsentRefused([("", str(refused))]) from refused


def consent_of(
    *, to: str, types: Sequence[str], purposes: Sequence[str], until: str, exceptions: Sequence[dict[str, Any]] = ()
) -> dict[str, Any]:
    """The Consent that lets `to` read records of `types` for `purposes` until the end of `until`, but for these nested provisions."""
    nested = {"provision": list(exceptions)} if exceptions else {}
    return {
        "resourceType": "Consent",
        "status": "active",
        "scope": _concept(SCOPE_SYSTEM, "patient-privacy"),
        "category": [_concept(_LOINC, "59284-0")],
        "policyRule": _concept(POLICY_SYSTEM, "OPTIN"),
        "provision": {
            "period": {"end": until},
            "actor": [
                {
                    "role": _concept(ROLE_SYSTEM, "IRCP"),
                    "reference": {"identifier": {"system": CLIENT_ID_SYSTEM, "value": to}},
                }
            ],
            "action": [_concept(ACTION_SYSTEM, "access")],
            "purpose": [{"system": purpose.SYSTEM, "code": code} for code in purposes],
            "class": [{"system": TYPE_SYSTEM, "code": name} for name in types],
            **nested,
        },
    }


def exceptions_of(codes: Sequence[tuple[str, str]], data_from: str | None, data_until: str | None) -> list[dict[str, Any]]:
    """Provisions that withhold records with one of these (system, code), and those of before `data_from` or after `data_until` (dates).

    What does not say when it was, or spans one of the two, is withheld with them.
    """
    found: list[dict[str, Any]] = []
    if codes:
        found.append({"type": "deny", "code": [_concept(system, code) for system, code in codes]})
    if data_from:
        found.append({"type": "deny", "dataPeriod": {"end": str(date.fromisoformat(data_from) - timedelta(days=1))}})
    if data_until:
        found.append({"type": "deny", "dataPeriod": {"start": str(date.fromisoformat(data_until) + timedelta(days=1))}})
    return found


def _concept(system: str, code: str) -> dict[str, Any]:
    return {"coding": [{"system": system, "code": code}]}


def _told(consent: dict[str, Any]) -> GrantedConsent:
    root = consent["provision"]
    permit = root if "actor" in root else root["provision"][0]  # OPTIN, OPTOUT
    return GrantedConsent(
        id=consent["id"],
        status=consent["status"],
        to=permit["actor"][0]["reference"]["identifier"]["value"],
        types=[coding["code"] for coding in permit["class"]],
        purposes=[coding["code"] for coding in permit["purpose"]],
        until=permit["period"]["end"],
        exceptions=len(permit.get("provision", [])),
    )


def _access(event: dict[str, Any]) -> LoggedAccess:
    reader = next(agent for agent in event["agent"] if agent["requestor"])
    named = [(entity["what"]["reference"], entity["role"]["code"]) for entity in event["entity"]]
    return LoggedAccess(
        sequence=int(event["id"]),
        at=event["recorded"],
        client_id=reader["who"]["identifier"]["value"],
        name=reader["who"].get("display", ""),
        purpose=event["purposeOfEvent"][0]["coding"][0]["code"],
        consent=reader["policy"][0].removeprefix("Consent/"),
        records=[reference for reference, role in named if role == _DOMAIN_RESOURCE],
    )


def _refused(answer: Answer) -> ConsentRefused:
    try:
        issues = json.loads(answer.body)["issue"]
        return ConsentRefused([(issue.get("expression", [""])[0], issue["diagnostics"]) for issue in issues])
    except (ValueError, KeyError, IndexError, TypeError):
        return ConsentRefused([("", f"the gateway answered with HTTP status {answer.status}")])
