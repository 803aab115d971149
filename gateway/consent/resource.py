"""The FHIR Consent of a patient who grants (http://hl7.org/fhir/R4/consent.html): read into terms, written back as it stands.

Its root meaning comes from `policyRule`. OPTIN: the root provision says what is permitted. OPTOUT: all is withheld but for one nested
provision that permits. A root provision needs no type (R4 allows none there); one that contradicts the root meaning is refused.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import msgspec

from fhir_adapters import RESOURCE_TYPES, InvalidInput, check_text, parse_resource
from fhir_adapters.issue import Issue
from fhir_adapters.period import seconds_covered
from gateway.consent import purpose
from gateway.consent.decision import Right
from gateway.consent.element import Element
from gateway.consent.terms import Terms

CLIENT_ID_SYSTEM = "urn:fhir-anchor:client-id"
SCOPE_SYSTEM = "http://terminology.hl7.org/CodeSystem/consentscope"
POLICY_SYSTEM = "http://terminology.hl7.org/CodeSystem/v3-ActCode"
ACTION_SYSTEM = "http://terminology.hl7.org/CodeSystem/consentaction"
ROLE_SYSTEM = "http://terminology.hl7.org/CodeSystem/v3-ParticipationType"
TYPE_SYSTEM = "http://hl7.org/fhir/resource-types"
_RIGHTS: Mapping[str, Right] = {"access": "read", "correct": "write"}
_RECIPIENTS = frozenset({"IRCP", "PRCP"})
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
    _code(consent, consent.one("scope"), ".scope", SCOPE_SYSTEM, {"patient-privacy"})
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


def write_consent(content: bytes, *, id_: str, version: int, last_updated: str, patient: str | None, active: bool) -> bytes:
    """The Consent as it stands, JSON. `patient`: the reference to put in where the patient sent none."""
    sent = msgspec.json.decode(content)
    told = {"resourceType": "Consent", "id": id_, "meta": {"versionId": str(version), "lastUpdated": last_updated}}
    told |= {name: value for name, value in sent.items() if name not in told}
    if patient:
        told.setdefault("patient", {"reference": patient})
    return msgspec.json.encode(told | {"status": "active" if active else "inactive"})


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
    meaning = _code(consent, consent.one("policyRule"), ".policyRule", POLICY_SYSTEM, {"OPTIN", "OPTOUT"})
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
    types = _codings(permit, "class", TYPE_SYSTEM, RESOURCE_TYPES, "is not a resource type of FHIR R4")
    purposes = _codings(permit, "purpose", purpose.SYSTEM, purpose.GRANTABLE, "is not a purpose that can be permitted ahead")
    actions = [_code(permit, action, ".action", ACTION_SYSTEM, set(_RIGHTS)) for action in permit.each("action")]
    if not actions:
        permit.fault("is missing", ".action", "required")
    starts_at, ends_at = _period(permit, now)
    permit.done()
    return Terms(grantee, types, purposes, frozenset(_RIGHTS[action] for action in actions if action), starts_at, ends_at)


def _grantee(permit: Element) -> str:
    actors = permit.each("actor")
    if len(actors) != 1:
        permit.fault("needs exactly one: send a Consent for each", ".actor", "required" if not actors else "not-supported")
        return ""
    actor = actors[0]
    _code(actor, actor.one("role"), ".role", ROLE_SYSTEM, _RECIPIENTS)
    reference = actor.one("reference")
    identifier = reference.one("identifier") if reference else None
    found = None
    if identifier is not None:
        identifier.skip("use")
        if identifier.text("system") == CLIENT_ID_SYSTEM:
            found = identifier.text("value")
        identifier.done()
    if reference is not None:
        reference.skip("display")
        reference.done()
    if found is None:
        actor.fault(f"needs an identifier of system {CLIENT_ID_SYSTEM}", ".reference", "required")
    actor.done()
    return found or ""


def _codings(permit: Element, name: str, system: str, known: frozenset[str], words: str) -> frozenset[str]:
    codings = permit.each(name)
    if not codings:
        permit.fault("is missing", f".{name}", "required")
    return frozenset(code for code in (_coding(coding, system, known, words) for coding in codings) if code)


def _code(parent: Element, concept: Element | None, name: str, system: str, known: set[str] | frozenset[str]) -> str | None:
    """The one code of a CodeableConcept."""
    words = f"must have one coding: {' or '.join(sorted(known))} of {system}"
    if concept is None:
        parent.fault(words, name, "required")
        return None
    concept.skip("text")
    codings = concept.each("coding")
    concept.done()
    if len(codings) != 1:
        concept.fault(words)
        return None
    return _coding(codings[0], system, known, words)


def _coding(coding: Element, system: str, known: set[str] | frozenset[str], words: str) -> str | None:
    coding.skip("display")
    found, code = coding.text("system"), coding.text("code")
    coding.done()
    if found != system:
        coding.fault(f"must be {system}", ".system", "code-invalid")
    elif code not in known:
        coding.fault(words, ".code", "code-invalid")
    else:
        return code
    return None


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
