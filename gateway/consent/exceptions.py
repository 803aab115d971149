"""Nested provisions, read as the exceptions that they are: each turns round what the one around it says, for less."""

import re

from fhir_adapters import RESOURCE_TYPES
from fhir_adapters.period import seconds_covered
from gateway.consent import purpose
from gateway.consent.coded import TYPE_SYSTEM, actors_of, codes, rights_of
from gateway.consent.element import Element
from gateway.consent.provision import Coding, Provision, Seconds

NO_TYPE = "is not a resource type of FHIR R4"
NO_PURPOSE = "is not a purpose that can be permitted ahead"
MOST, DEEPEST = 50, 4  # exceptions to one provision; exceptions to exceptions
_REFERENCE = re.compile(r"([A-Z][A-Za-z]{1,63})/([a-z0-9]{32})", re.ASCII)


def read_exceptions(parent: Element, grantee: str, *, depth: int = 1, permits: bool = False) -> tuple[Provision, ...]:
    """The nested provisions of `parent`, which permits unless they do. Faults go to the element that has them."""
    nested = parent.each("provision")
    if nested and depth > DEEPEST:
        nested[0].fault("is nested too deeply", code="too-costly")
        return ()
    if len(nested) > MOST:
        nested[MOST].fault(f"more than {MOST} exceptions to one provision", code="too-costly")
        return ()
    return tuple(_read(one, grantee, depth, permits=permits) for one in nested)


def _read(one: Element, grantee: str, depth: int, *, permits: bool) -> Provision:
    if one.text("type") != ("permit" if permits else "deny"):
        one.fault(f"must be {'permit' if permits else 'deny'}: an exception to what the provision around it says", ".type")
    found = Provision(
        permits=permits,
        types=codes(one, "class", TYPE_SYSTEM, RESOURCE_TYPES, NO_TYPE),
        purposes=codes(one, "purpose", purpose.SYSTEM, purpose.GRANTABLE, NO_PURPOSE),
        actors=_actors(one, grantee),
        rights=frozenset(rights_of(one)),
        codes=frozenset(coding for concept in one.each("code") for coding in _concept(concept)),
        labels=frozenset(coding for label in one.each("securityLabel") for coding in _coding(label)),
        records=frozenset(record for data in one.each("data") for record in _record(data)),
        period=_period(one, "period"),
        data_period=_period(one, "dataPeriod"),
        exceptions=read_exceptions(one, grantee, depth=depth + 1, permits=not permits),
    )
    one.done()
    if found == Provision(permits=permits, exceptions=found.exceptions):
        one.fault("does not say what it is about", code="required")
    return found


def _actors(one: Element, grantee: str) -> frozenset[str]:
    found = actors_of(one)
    for actor, client_id in found:
        if client_id and client_id != grantee:
            actor.fault("is not whom the consent is given to: send a Consent for each", ".reference")
    return frozenset(client_id for _, client_id in found)


def _concept(concept: Element) -> list[Coding]:
    concept.skip("text")
    codings = concept.each("coding")
    concept.done()
    if not codings:
        concept.fault("needs a coding: words match nothing", ".coding", "required")
    return [found for coding in codings for found in _coding(coding)]


def _coding(coding: Element) -> list[Coding]:
    coding.skip("display", "userSelected")
    system, value = coding.text("system"), coding.text("code")
    coding.done()
    if system is None or value is None:
        coding.fault("needs system and code", code="required")
        return []
    return [(system, value)]


def _record(data: Element) -> list[str]:
    if data.text("meaning") != "instance":
        data.fault("must be instance", ".meaning", "not-supported")
    reference = data.one("reference")
    data.done()
    literal = reference.text("reference") if reference else None
    if reference is not None:
        reference.skip("type", "display")
        reference.done()
    named = _REFERENCE.fullmatch(literal or "")
    if named is None or named[1] not in RESOURCE_TYPES:
        data.fault("must name a record by its type and the gateway's id, such as Observation/0123...", ".reference", "required")
        return []
    return [named[0]]


def _period(one: Element, name: str) -> Seconds | None:
    period = one.one(name)
    if period is None:
        return None
    start, end = period.text("start"), period.text("end")
    period.done()
    if start is None and end is None:
        period.fault("has neither start nor end", code="required")
    first = None if start is None else seconds_covered(start)[0]
    last = None if end is None else seconds_covered(end)[1]
    return first, last
