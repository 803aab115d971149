"""What of a resource is indexed: class, effective period, codes, identifiers, and a Patient's demographics.

Reads compiled structs; an absent element is UNSET. Which elements a type has is settled once, in its `IndexPlan`.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import msgspec
from msgspec import UNSET

from fhir_adapters.compartment import PATIENT_COMPARTMENT
from fhir_adapters.definitions import Structure
from fhir_adapters.period import seconds_covered

Coded = tuple[str | None, str | None]

# The first that is present tells when a resource was in effect: what happened before what was planned before what was recorded.
_EFFECTIVE = (
    *("birthDate", "effectiveDateTime", "effectivePeriod", "effectiveInstant", "effectiveTiming", "performedDateTime", "performedPeriod"),
    *("occurrenceDateTime", "occurrencePeriod", "occurrenceTiming", "occurredDateTime", "occurredPeriod", "onsetDateTime", "onsetPeriod"),
    *("servicedDate", "servicedPeriod", "billablePeriod", "period", "start", "started", "startDate", "whenHandedOver", "whenPrepared"),
    *("timingDateTime", "timingPeriod", "timingTiming", "authoredOn", "authored", "identifiedDateTime", "identifiedPeriod"),
    *("createdDateTime", "createdPeriod", "recordedDate", "dateTime", "dateWritten", "dateAsserted", "date", "detected", "sent"),
    *("statusDate", "issued", "recorded", "created"),
)
# An element that ends what another began: Condition, AllergyIntolerance, Appointment, Slot.
_ENDS = {"onsetDateTime": "abatementDateTime", "start": "end"}
_CODES = ("code", "medicationCodeableConcept", "vaccineCode", "type", "productCodeableConcept", "itemCodeableConcept", "serviceType")


class IndexFields(msgspec.Struct, frozen=True, gc=False):
    """`start` and `end` are seconds since 1970 UTC, both inclusive, None where open or unknown.

    `category` is the first code in `category`, whatever it is, and `categories` are all; `codes` and `identifiers` are (system, value)
    pairs; `birth_date`, `gender` and `names` are a Patient's.
    """

    category: str | None
    categories: tuple[str, ...]
    start: int | None
    end: int | None
    codes: tuple[Coded, ...]
    identifiers: tuple[Coded, ...]
    birth_date: str | None = None
    gender: str | None = None
    names: tuple[str, ...] = ()


_TIMES = frozenset({"date", "dateTime", "instant", "Period", "Timing"})


@dataclass(frozen=True, slots=True)
class IndexPlan:
    """The elements of one resource type that the index reads, in order of preference."""

    effective: tuple[tuple[str, str | None], ...]
    codes: tuple[str, ...]
    has_category: bool
    has_identifier: bool
    is_patient: bool
    compartment: tuple[tuple[str, ...], ...]


def index_plan(definition: Structure) -> IndexPlan:
    """The plan of a resource type."""
    types = {element.name: element.type for element in definition.elements.values()}
    return IndexPlan(
        effective=tuple((name, _ENDS.get(name)) for name in _EFFECTIVE if types.get(name) in _TIMES),
        codes=tuple(name for name in _CODES if types.get(name) in {"CodeableConcept", "Coding"}),
        has_category="category" in types,
        has_identifier=types.get("identifier") == "Identifier",
        is_patient=definition.name == "Patient",
        compartment=tuple(tuple(path.split(".")) for path in PATIENT_COMPARTMENT.get(definition.name, ())),
    )


def index_fields(resource: Any, plan: IndexPlan) -> IndexFields:
    """The index fields of a valid `resource`."""
    start, end = _effective(resource, plan)
    coded = _coded(resource.category) if plan.has_category and resource.category is not UNSET else []
    category = coded[0][1] if coded else None
    categories = tuple(dict.fromkeys(code for _, code in coded if code))
    codes: list[Coded] = []
    for name in plan.codes:
        value = getattr(resource, name)
        if value is not UNSET:
            codes += _coded(value)
    identifiers: tuple[Coded, ...] = ()
    if plan.has_identifier and resource.identifier is not UNSET:
        identifiers = tuple([(_or_none(i.system), _or_none(i.value)) for i in _each(resource.identifier)])
    if not plan.is_patient:
        return IndexFields(category, categories, start, end, tuple(codes), identifiers)
    names = tuple(part for name in _each(resource.name) for part in (*_each(name.family), *_each(name.given), *_each(name.text)) if part)
    about = (_or_none(resource.birthDate), _or_none(resource.gender), names)
    return IndexFields(category, categories, start, end, tuple(codes), identifiers, *about)


def patients(resource: Any, plan: IndexPlan) -> tuple[str, ...]:
    """The references, unique and the subject's first, that may place `resource` in a Patient's compartment.

    A `urn:uuid:` hides its type: who resolves it drops those that turn out to be no Patient.
    """
    found: dict[str, None] = {}
    for path in plan.compartment:
        for reference in _each(getattr(resource, path[0])) if len(path) == 1 else _follow(resource, path):
            target = reference.reference
            if target is not UNSET and _may_be_patient(target, reference.type):
                found[target] = None
    return tuple(found)


def _may_be_patient(target: str, claimed_type: Any) -> bool:
    if claimed_type is not UNSET and claimed_type != "Patient":
        return False
    if target.startswith(("Patient/", "Patient?", "urn:")):
        return True
    if not target.startswith(("http:", "https:")):
        return False
    parts = target.partition("/_history/")[0].rsplit("/", 2)
    return len(parts) < 3 or parts[1] == "Patient" or not parts[1][:1].isupper()


def _follow(value: Any, path: tuple[str, ...]) -> Iterator[Any]:
    for item in _each(getattr(value, path[0])):
        if len(path) == 1:
            yield item
        else:
            yield from _follow(item, path[1:])


def _effective(resource: Any, plan: IndexPlan) -> tuple[int | None, int | None]:
    for name, end_name in plan.effective:
        value = getattr(resource, name)
        if value is UNSET:
            continue
        if type(value) is str:
            start, end = seconds_covered(value)
            ended = getattr(resource, end_name, UNSET) if end_name else UNSET
            return start, seconds_covered(ended)[1] if type(ended) is str else end
        return _of_timing(value) if "Timing" in name else _of_period(value)
    return None, None


def _of_period(period: Any) -> tuple[int | None, int | None]:
    return (
        seconds_covered(period.start)[0] if period.start is not UNSET else None,
        seconds_covered(period.end)[1] if period.end is not UNSET else None,
    )


def _of_timing(timing: Any) -> tuple[int | None, int | None]:
    events = [seconds_covered(event) for event in _each(timing.event) if event]
    if events:
        return min(start for start, _ in events), max(end for _, end in events)
    bounds = getattr(timing.repeat, "boundsPeriod", UNSET)
    return (None, None) if bounds is UNSET else _of_period(bounds)


def _coded(value: Any) -> list[Coded]:
    """The (system, code) of every coding in a CodeableConcept, a Coding, a code or a list of them."""
    found: list[Coded] = []
    for concept in _each(value):
        if type(concept) is str:
            found.append((None, concept))
        else:
            for coding in _each(getattr(concept, "coding", concept)):
                system, code = coding.system, coding.code
                found.append((None if system is UNSET else system, None if code is UNSET else code))
    return found


def _each(value: Any) -> Any:
    if type(value) is list:
        return value
    return () if value is UNSET else (value,)


def _or_none(value: Any) -> Any:
    return None if value is UNSET else value
