"""Invariants of FHIR R4 that need more than one element: http://hl7.org/fhir/R4/conformance-rules.html#constraints.

A rule reads its structure by attributes, absent ones being UNSET, so compiled structs and documents of the slow path serve alike.
It answers whether the rule holds. Values it meets may be of the wrong type on the slow path; it then says True, others complain.
"""

import binascii
import functools
from collections.abc import Callable
from operator import attrgetter
from typing import Any

from msgspec import UNSET, Raw

from fhir_adapters.definitions import Structure, structure
from fhir_adapters.document import Number
from fhir_adapters.period import seconds_covered

Rule = Callable[[Any], bool]


def _has(node: Any, *names: str) -> bool:
    """Whether any of these elements, or the extension of one, is there."""
    return any(getattr(node, name, UNSET) is not UNSET or getattr(node, f"_{name}", UNSET) is not UNSET for name in names)


def _items(value: Any) -> list[Any]:
    return value if type(value) is list else []


def _needs(element: str, *others: str) -> Rule:
    """Where `element` is, one of `others` must be."""
    return lambda node: getattr(node, element, UNSET) is UNSET or _has(node, *others)


def _period_runs_forward(node: Any) -> bool:
    start, end = node.start, node.end
    if type(start) is not str or type(end) is not str or (len(start) == len(end) and start[19:] == end[19:] and start <= end):
        return True
    try:
        return seconds_covered(start)[0] <= seconds_covered(end)[1]
    except ValueError:
        return True


def _size_is_of_data(node: Any) -> bool:
    size = _spelled(node.size)
    if size is None or type(node.data) is not str:
        return True
    try:
        return int(size) == len(binascii.a2b_base64(node.data))
    except ValueError:
        return True


def _probability_is_percent(node: Any) -> bool:
    probability = _spelled(node.probabilityDecimal)
    return probability is None or float(probability) <= 100


def _spelled(number: Any) -> str | None:
    """A number of either path as its sender spelled it, None for what is none."""
    if type(number) is Raw:
        return bytes(number).decode()
    return number if type(number) is Number else None


def _identified(contained: Any) -> bool:
    return all(getattr(item, "id", UNSET) is not UNSET for item in _items(contained))


def _contained_is_flat(node: Any) -> bool:
    return all(getattr(item, "contained", UNSET) is UNSET for item in _items(node.contained))


def _contained_has_no_version(node: Any) -> bool:
    metas = [getattr(item, "meta", UNSET) for item in _items(node.contained)]
    return not any(meta is not UNSET and _has(meta, "versionId", "lastUpdated") for meta in metas)


def _contained_has_no_security(node: Any) -> bool:
    metas = [getattr(item, "meta", UNSET) for item in _items(node.contained)]
    return not any(getattr(meta, "security", UNSET) is not UNSET for meta in metas)


def _codings(concept: Any) -> set[tuple[Any, Any]]:
    found = ((getattr(c, "system", None), getattr(c, "code", None)) for c in _items(getattr(concept, "coding", None)))
    return {(system, code) for system, code in found if type(code) is str and type(system) is str}


def _extension_has_one(node: Any) -> bool:
    has_extensions = getattr(node, "extension", UNSET) is not UNSET
    values = _extension_values()(node)
    return has_extensions == (values.count(UNSET) == len(values))


@functools.cache
def _extension_values() -> Callable[[Any], tuple[Any, ...]]:
    definition = structure("Extension")
    names = definition.choices["value"][0]
    return attrgetter(*names, *(f"_{name}" for name in names if definition.elements[name].is_primitive))


def _component_is_not_the_whole(node: Any) -> bool:
    """obs-7: no value where a component has the same code."""
    if getattr(node, "component", UNSET) is UNSET or not _has(node, *_VALUES):
        return True
    whole = _codings(node.code)
    return not any(whole & _codings(getattr(component, "code", None)) for component in _items(node.component))


_VALUES = tuple(
    f"value{kind}"
    for kind in (
        *("Boolean", "CodeableConcept", "DateTime", "Integer", "Period", "Quantity", "Range", "Ratio", "SampledData", "String", "Time"),
    )
)

DOMAIN_RULES: tuple[tuple[str, Rule], ...] = (
    ("dom-2: a contained resource contains no other", _contained_is_flat),
    ("dom-4: a contained resource has no version and no time of its own", _contained_has_no_version),
    ("dom-5: a contained resource has no security label", _contained_has_no_security),
    ("dom-3: a contained resource has an id", lambda node: _identified(node.contained)),
)

RULES: dict[str, tuple[tuple[str, Rule], ...]] = {
    "Attachment": (("att-1: data needs a contentType", _needs("data", "contentType")), ("the size is that of the data", _size_is_of_data)),
    "ContactPoint": (("cpt-2: a value needs a system", _needs("value", "system")),),
    "Extension": (("ext-1: an extension has either extensions or a value", _extension_has_one),),
    "Observation": (
        ("obs-6: no dataAbsentReason where there is a value", lambda n: not (_has(n, "dataAbsentReason") and _has(n, *_VALUES))),
        ("obs-7: no value where a component has the same code", _component_is_not_the_whole),
    ),
    "PatientContact": (
        ("pat-1: a contact has details or an organization", lambda n: _has(n, "name", "telecom", "address", "organization")),
    ),
    "Period": (("per-1: the start is not after the end", _period_runs_forward),),
    "RiskAssessmentPrediction": (("ras-2: a probability is at most 100", _probability_is_percent),),
    **dict.fromkeys(("Age", "Count", "Distance", "Duration", "Quantity"), (("qty-3: a code needs a system", _needs("code", "system")),)),
}


def rules_of(definition: Structure) -> tuple[tuple[str, Rule], ...]:
    """The rules of a structure, each with its key and what it asks."""
    shared = DOMAIN_RULES if "contained" in definition.elements else ()
    return (*shared, *RULES.get(definition.name, ()))
