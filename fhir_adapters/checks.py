"""What a compiled struct checks of itself once it is decoded: the rules that msgspec's types cannot say.

A check raises ValueError; which rule it was does not matter, the slow path finds and tells all of them.
"""

from collections.abc import Callable
from operator import attrgetter
from typing import Any

import msgspec
from msgspec import UNSET, Raw

from fhir_adapters.definitions import RESOURCE, Element, Structure
from fhir_adapters.invariants import DOMAIN_RULES, RULES
from fhir_adapters.primitives import DECIMAL, number_fault, string_fault

Check = Callable[[Any], None]
Decode = Callable[[Raw], Any]

RAW_NUMBERS = frozenset({"decimal", "integer", "unsignedInt"})
_CHECKED_STRINGS = frozenset({"base64Binary", "xhtml"})


def checks_of(definition: Structure, decode: Decode) -> list[Check]:
    """All checks of a strict struct; `decode` decodes the resources in it, first of all."""
    elements = definition.elements.values()
    return [
        *nested_resources(definition, decode),
        *(_number_check(e) for e in elements if e.type in RAW_NUMBERS),
        *(_string_check(e) for e in elements if e.type in _CHECKED_STRINGS),
        *(_choice_check(members, required=required, definition=definition) for members, required in definition.choices.values()),
        *(_rule_check(rule) for _, rule in RULES.get(definition.name, ())),
        *([_contained_check] if "contained" in definition.elements else []),
        *marked_references(definition),
    ]


def nested_resources(definition: Structure, decode: Decode) -> list[Check]:
    """Decodes what was left raw because its type stands inside it."""

    def single(name: str) -> Check:
        def check(node: Any) -> None:
            raw = getattr(node, name)
            if raw is not UNSET:
                setattr(node, name, decode(raw))

        return check

    def many(name: str) -> Check:
        def check(node: Any) -> None:
            raws = getattr(node, name)
            if raws is not UNSET:
                setattr(node, name, [decode(raw) for raw in raws])

        return check

    return [many(e.name) if e.is_list else single(e.name) for e in definition.elements.values() if e.type == RESOURCE]


def marked_references(definition: Structure) -> list[Check]:
    """An element called `reference` that is a URI and no Reference gets a space before its value, so that canonical.py tells it apart."""

    def check(node: Any) -> None:
        if node.reference is not UNSET:
            node.reference = Raw(b" " + msgspec.json.encode(node.reference))

    element = definition.elements.get("reference")
    return [check] if element and element.is_primitive and definition.name != "Reference" else []


def _number_check(element: Element) -> Check:
    name, type_name = element.name, element.type
    is_decimal = type_name == "decimal" and not element.is_list

    def check(node: Any) -> None:
        value = getattr(node, name)
        if value is UNSET or (is_decimal and DECIMAL.match(value)):
            return
        for number in value if type(value) is list else (value,):
            if number_fault(type_name, number):
                raise ValueError("number")

    return check


def _string_check(element: Element) -> Check:
    name, type_name = element.name, element.type

    def check(node: Any) -> None:
        value = getattr(node, name)
        if value is not UNSET and string_fault(type_name, value):
            raise ValueError("string")

    return check


def _choice_check(members: tuple[str, ...], *, required: bool, definition: Structure) -> Check:
    names = [(m, f"_{m}") if definition.elements[m].is_primitive else (m, m) for m in members]
    everything = attrgetter(*dict.fromkeys(name for pair in names for name in pair))
    total = len({name for pair in names for name in pair})

    def check(node: Any) -> None:
        present = total - everything(node).count(UNSET)
        if present == 1 or (present == 0 and not required):
            return
        chosen = sum(getattr(node, name) is not UNSET or getattr(node, extension) is not UNSET for name, extension in names)
        if chosen != 1:
            raise ValueError("choice")

    return check


def _rule_check(rule: Callable[[Any], bool]) -> Check:
    def check(node: Any) -> None:
        if not rule(node):
            raise ValueError("invariant")

    return check


def _contained_check(node: Any) -> None:
    if node.contained is not UNSET and not all(rule(node) for _, rule in DOMAIN_RULES):
        raise ValueError("contained")
