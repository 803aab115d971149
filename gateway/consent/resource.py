"""The FHIR Consent of a patient who grants (http://hl7.org/fhir/R4/consent.html): read into terms, written back as it stands.

Its root meaning comes from `policyRule`. OPTIN: the root provision says what is permitted. OPTOUT: all is withheld but for one nested
provision that permits. A root provision needs no type (R4 allows none there); one that contradicts the root meaning is refused.
"""

from dataclasses import dataclass
from typing import Any

import msgspec

from fhir_adapters import RESOURCE_TYPES, InvalidInput, check_text, parse_resource
from fhir_adapters.issue import Issue
from fhir_adapters.period import seconds_covered
from gateway.consent import purpose
from gateway.consent.coded import POLICY_SYSTEM, SCOPE_SYSTEM, TYPE_SYSTEM, actors_of, code, codes, rights_of
from gateway.consent.element import Element
from gateway.consent.exceptions import NO_PURPOSE, NO_TYPE, read_exceptions
from gateway.consent.terms import Terms

_UNSAID = ("resourceType", "id", "text", "language", "identifier", "category", "dateTime")  # none of it narrows what is permitted


@dataclass(frozen=True, slots=True)
class ProposedConsent:
    """What a patient asks for. `content`: the resource in canonical bytes, without id, version and time."""

    terms: Terms
    patient: str | None  # the reference, as sent
    content: bytes


def read_consent(body: bytes, now: int) -> ProposedConsent:
    """Read a Consent that is to be granted at `now` (seconds). Raises InvalidInput: 400 unreadable, 422 invalid or not understood."""
    text = check_text(body)
    resource = parse_resource(text)
    if resource.type != "Consent":
        raise InvalidInput([Issue("invalid", "the body is of another resource type than the address", "resourceType")], unreadable=True)
    faults: list[Issue] = []
    consent = Element("Consent", msgspec.json.decode(text), faults)
    consent.skip(*_UNSAID)
    _check_meta(consent.one("meta"))
    if consent.text("status") != "active":
        consent.fault("must be active to grant", ".status")
    code(consent, consent.one("scope"), ".scope", SCOPE_SYSTEM, {"patient-privacy"})
    patient = _patient(consent)
    terms = _terms(_permit(consent), now)
    consent.done()
    if faults or terms is None:
        raise InvalidInput(faults)
    return ProposedConsent(terms, patient, resource.content({}))


def terms_of(content: bytes, granted_at: int) -> Terms:
    """The terms of a Consent that was granted at that time (seconds), from its `content`. InvalidInput: not understood."""
    kept = msgspec.json.decode(content)
    kept.pop("meta", None)  # nothing of it can be claimed, so `content` has an empty one
    return read_consent(msgspec.json.encode(kept), granted_at).terms


def write_consent(
    content: bytes, *, id_: str, version: int, last_updated: str, patient: str | None, active: bool, for_grantee: bool = False
) -> bytes:
    """The Consent as it stands, JSON. `patient`: the reference to put in where the patient sent none.

    `for_grantee`: without its exceptions, and without the text that may tell them: what is withheld is not to be learnt.
    """
    sent = msgspec.json.decode(content)
    if for_grantee:
        _leave_out_exceptions(sent)
    told = {"resourceType": "Consent", "id": id_, "meta": {"versionId": str(version), "lastUpdated": last_updated}}
    told |= {name: value for name, value in sent.items() if name not in told}
    if patient:
        told.setdefault("patient", {"reference": patient})
    return msgspec.json.encode(told | {"status": "active" if active else "inactive"})


def _leave_out_exceptions(sent: dict[str, Any]) -> None:
    root = sent["provision"]
    permit = root if "actor" in root else root["provision"][0]  # OPTIN, OPTOUT
    if permit.pop("provision", None):
        sent.pop("text", None)


def _check_meta(meta: Element | None) -> None:
    """Version, time and source are the gateway's to give; a label or profile could mean something."""
    if meta is not None:
        meta.skip("versionId", "lastUpdated", "source")
        meta.done()


def _patient(consent: Element) -> str | None:
    reference = consent.one("patient")
    if reference is None:
        return None
    reference.skip("type", "display")
    literal = reference.text("reference")
    if literal is None:
        reference.fault("needs a literal reference", ".reference", "required")
    reference.done()
    return literal


def _permit(consent: Element) -> Element | None:
    """The provision that says what is permitted."""
    meaning = code(consent, consent.one("policyRule"), ".policyRule", POLICY_SYSTEM, {"OPTIN", "OPTOUT"})
    root = consent.one("provision")
    if root is None:
        consent.fault("says what is permitted and is missing", ".provision", "required")
        return None
    if meaning == "OPTOUT":
        return _exception(root)
    if root.text("type") not in (None, "permit"):
        root.fault("contradicts policyRule OPTIN", ".type")
    return root


def _exception(root: Element) -> Element | None:
    """Of a Consent that withholds all, the one nested provision that permits."""
    if root.text("type") not in (None, "deny"):
        root.fault("contradicts policyRule OPTOUT; what is permitted stands in a nested provision", ".type")
    nested = root.each("provision")
    root.done()
    for further in nested[1:]:
        further.fault("one provision that permits is taken in a Consent; send a Consent for each", code="not-supported")
    if not nested:
        root.fault("policyRule OPTOUT permits nothing without a nested provision of type permit", ".provision", "required")
        return None
    if nested[0].text("type") != "permit":
        nested[0].fault("must be permit", ".type")
    return nested[0]


def _terms(permit: Element | None, now: int) -> Terms | None:
    if permit is None:
        return None
    grantee = _grantee(permit)
    types = _required(permit, "class", codes(permit, "class", TYPE_SYSTEM, RESOURCE_TYPES, NO_TYPE))
    purposes = _required(permit, "purpose", codes(permit, "purpose", purpose.SYSTEM, purpose.GRANTABLE, NO_PURPOSE))
    rights = rights_of(permit)
    if not rights:
        permit.fault("is missing", ".action", "required")
    starts_at, ends_at = _period(permit, now)
    exceptions = read_exceptions(permit, grantee)
    permit.done()
    return Terms(grantee, types, purposes, rights, starts_at, ends_at, exceptions)


def _required(permit: Element, name: str, found: frozenset[str]) -> frozenset[str]:
    if not found:
        permit.fault("is missing", f".{name}", "required")
    return found


def _grantee(permit: Element) -> str:
    actors = actors_of(permit)
    if len(actors) != 1:
        permit.fault("needs exactly one: send a Consent for each", ".actor", "required" if not actors else "not-supported")
        return ""
    return actors[0][1]


def _period(permit: Element, now: int) -> tuple[int, int]:
    """First second, and the first second after. FHIR's end is included, a date with all of its day, in UTC."""
    period = permit.one("period")
    if period is None:
        permit.fault("is missing: it ends when a consent does", ".period", "required")
        return now, now
    start, end = period.text("start"), period.text("end")
    period.done()
    if end is None:
        period.fault("is missing: a consent here ends", ".end", "required")
        return now, now
    starts_at, ends_at = now if start is None else seconds_covered(start)[0], seconds_covered(end)[1] + 1
    if ends_at <= now:
        period.fault("is past", ".end")
    return starts_at, ends_at
