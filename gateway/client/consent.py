"""A patient's consents over HTTP: granting, revoking, listing (http://hl7.org/fhir/R4/consent.html)."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from gateway.client.connection import Answer, Connection
from gateway.client.credentials import PATIENT_SCOPE, Credentials
from gateway.consent import purpose
from gateway.consent.resource import ACTION_SYSTEM, CLIENT_ID_SYSTEM, POLICY_SYSTEM, ROLE_SYSTEM, SCOPE_SYSTEM, TYPE_SYSTEM

FHIR_JSON = "application/fhir+json"
_LOCATION = re.compile(r".*/Consent/([A-Za-z0-9.-]{1,64})/_history/[0-9]+")
_ID = re.compile(r"[A-Za-z0-9.-]{1,64}", re.ASCII)
_LOINC = "http://loinc.org"


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


def as_patient(credentials: Credentials) -> Credentials:
    """The same, asking for what a patient may do and no more, whatever the file says: for anyone else a Consent would permit nothing."""
    return replace(credentials, scope=PATIENT_SCOPE)


def grant(connection: Connection, *, to: str, types: Sequence[str], purposes: Sequence[str], until: str) -> str:
    """The id of the Consent that now holds. Repeating it makes no second one. Raises ConsentRefused, and what the connection raises."""
    body = json.dumps(consent_of(to=to, types=types, purposes=purposes, until=until)).encode()
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
    """All of one's own, the first first, revoked ones included. Raises as `grant`."""
    answer = connection.ask("GET", "/fhir/Consent", headers={"Accept": FHIR_JSON})
    if answer.status != 200:
        raise _refused(answer)
    return [_told(entry["resource"]) for entry in json.loads(answer.body).get("entry", [])]


def consent_of(*, to: str, types: Sequence[str], purposes: Sequence[str], until: str) -> dict[str, Any]:
    """The Consent that lets `to` read records of `types` for `purposes` until the end of `until`."""
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
        },
    }


def _concept(system: str, code: str) -> dict[str, Any]:
    return {"coding": [{"system": system, "code": code}]}


def _told(consent: dict[str, Any]) -> GrantedConsent:
    root = consent["provision"]
    permit = root.get("provision", [root])[0]
    return GrantedConsent(
        id=consent["id"],
        status=consent["status"],
        to=permit["actor"][0]["reference"]["identifier"]["value"],
        types=[coding["code"] for coding in permit["class"]],
        purposes=[coding["code"] for coding in permit["purpose"]],
        until=permit["period"]["end"],
    )


def _refused(answer: Answer) -> ConsentRefused:
    try:
        issues = json.loads(answer.body)["issue"]
        return ConsentRefused([(issue.get("expression", [""])[0], issue["diagnostics"]) for issue in issues])
    except (ValueError, KeyError, IndexError, TypeError):
        return ConsentRefused([("", f"the gateway answered with HTTP status {answer.status}")])
