"""The coded elements of a Consent, each of one code system; anything else is a fault (http://hl7.org/fhir/R4/consent.html)."""

from collections.abc import Mapping

from gateway.consent.decision import Right
from gateway.consent.element import Element

CLIENT_ID_SYSTEM = "urn:fhir-anchor:client-id"
SCOPE_SYSTEM = "http://terminology.hl7.org/CodeSystem/consentscope"
POLICY_SYSTEM = "http://terminology.hl7.org/CodeSystem/v3-ActCode"
ACTION_SYSTEM = "http://terminology.hl7.org/CodeSystem/consentaction"
ROLE_SYSTEM = "http://terminology.hl7.org/CodeSystem/v3-ParticipationType"
TYPE_SYSTEM = "http://hl7.org/fhir/resource-types"
RIGHTS: Mapping[str, Right] = {"access": "read", "collect": "read", "use": "read", "correct": "write"}
_RECIPIENTS = frozenset({"IRCP", "PRCP"})


def actors_of(provision: Element) -> list[tuple[Element, str]]:
    """The client ids of those whom a provision names as recipients, each with the element that names it; "" where it names nobody."""
    return [(actor, _client_id(actor)) for actor in provision.each("actor")]


def _client_id(actor: Element) -> str:
    code(actor, actor.one("role"), ".role", ROLE_SYSTEM, _RECIPIENTS)
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


def rights_of(provision: Element) -> frozenset[Right]:
    """What its actions come to."""
    actions = [code(provision, action, ".action", ACTION_SYSTEM, set(RIGHTS)) for action in provision.each("action")]
    return frozenset(RIGHTS[action] for action in actions if action)


def codes(provision: Element, name: str, system: str, known: frozenset[str], words: str) -> frozenset[str]:
    """Those of a list of Codings, all of one code system."""
    return frozenset(found for found in (coding(one, system, known, words) for one in provision.each(name)) if found)


def code(parent: Element, concept: Element | None, name: str, system: str, known: set[str] | frozenset[str]) -> str | None:
    """The one code of a CodeableConcept."""
    words = f"must have one coding: {' or '.join(sorted(known))} of {system}"
    if concept is None:
        parent.fault(words, name, "required")
        return None
    concept.skip("text")
    found = concept.each("coding")
    concept.done()
    if len(found) != 1:
        concept.fault(words)
        return None
    return coding(found[0], system, known, words)


def coding(one: Element, system: str, known: set[str] | frozenset[str], words: str) -> str | None:
    """The code of a Coding of this system, one of those known."""
    one.skip("display")
    found, value = one.text("system"), one.text("code")
    one.done()
    if found != system:
        one.fault(f"must be {system}", ".system", "code-invalid")
    elif value not in known:
        one.fault(words, ".code", "code-invalid")
    else:
        return value
    return None
