"""Everything that is wrong with a resource, each fault with its FHIRPath: the slow path, taken when the fast one refuses or has a doubt.

Judges by the same definitions, expressions and rules as the compiled structs, and has the last word. Values are never repeated.
"""

import re
from collections.abc import Iterator
from typing import Any

from fhir_adapters.definitions import RESOURCE, RESOURCE_TYPES, UNSUPPORTED_TYPES, Element, Structure, structure
from fhir_adapters.document import Node, Number
from fhir_adapters.invariants import rules_of
from fhir_adapters.issue import Issue
from fhir_adapters.primitives import INTEGER_RANGES, number_fault, string_fault
from fhir_adapters.reference import target_pattern, unresolved_fragments


def faults(document: Node) -> list[Issue]:
    """Every fault of the resource in `document`; expressions begin with its type."""
    return list(_resource(document, None))


def faults_of_structure(node: Node, name: str, path: str) -> list[Issue]:
    """Every fault of the object at `path`, which is of the structure called `name`."""
    return list(_object(node, structure(name), None, path))


def _resource(value: Any, path: str | None, *, is_contained: bool = False) -> Iterator[Issue]:
    """`path` is None at the top, where the type itself begins the path."""
    if not isinstance(value, Node):
        yield Issue("structure", "a resource is an object", path)
        return
    name = value.get("resourceType")
    if type(name) is not str:
        yield Issue("required" if name is None else "structure", "a resource names its type", _below(path, "resourceType"))
    elif name in RESOURCE_TYPES:
        definition = structure(name)
        yield from _object(value, definition, None, path or name)
        if not is_contained and "contained" in definition.elements and unresolved_fragments(value):
            yield Issue("invariant", "ref-1: a local reference needs a contained resource", path or name)
    elif name in UNSUPPORTED_TYPES:
        yield Issue("not-supported", "resources of this type are not taken", path)
    else:
        yield Issue("structure", "FHIR R4 has no resource of this type", _below(path, "resourceType"))


def _object(node: Node, definition: Structure, targets: tuple[str, ...] | None, path: str) -> Iterator[Issue]:
    for name in node.repeated:
        yield Issue("structure", "the key is given more than once", f"{path}.{name}", "fatal")
    if not node.keys() - {"resourceType"} and not definition.is_resource:
        yield Issue("structure", "an empty object", path)
    for name in node.keys() - definition.elements.keys():
        yield from _unknown(name, definition, node, path)
    for element in definition.elements.values():
        yield from _element(node, element, f"{path}.{element.name}")
    yield from _choices(node, definition, path)
    for rule, holds in rules_of(definition):
        if not holds(node):
            yield Issue("invariant", rule, path)
    if definition.name == "Reference" and type(node.get("reference")) is str:
        yield from _reference(node["reference"], targets, path)


def _unknown(name: str, definition: Structure, node: Node, path: str) -> Iterator[Issue]:
    """Unknown names are cut: they came from outside and may hold anything."""
    element = definition.elements.get(name[1:]) if name[:1] == "_" else None
    if name == "resourceType" and definition.is_resource:
        return
    if element is None or not element.has_extension:
        shown = name if _NAME.match(name) else "?"
        yield Issue("structure", "FHIR R4 has no such element here", f"{path}.{shown}")
        return
    yield from _primitive_extensions(node, element, f"{path}.{element.name}")


_NAME = re.compile(r"[A-Za-z_]{1,64}\Z")


def _element(node: Node, element: Element, path: str) -> Iterator[Issue]:
    if element.name not in node:
        if element.is_required and f"_{element.name}" not in node:
            yield Issue("required", "the element is required", path)
        return
    value = node[element.name]
    if not element.is_list:
        yield from _value(value, element, path)
    elif not isinstance(value, list):
        yield Issue("structure", "the element is an array", path)
    elif not value:
        yield Issue("structure", "an empty array", path)
    else:
        for index, item in enumerate(value):
            if item is not None or not element.has_extension or not _is_extended(node, element, index):
                yield from _value(item, element, f"{path}[{index}]")


def _is_extended(node: Node, element: Element, index: int) -> bool:
    extensions = node.get(f"_{element.name}")
    return isinstance(extensions, list) and index < len(extensions) and extensions[index] is not None


def _value(value: Any, element: Element, path: str) -> Iterator[Issue]:
    if value is None:
        yield Issue("structure", "null is no value", path)
    elif element.type == RESOURCE:
        yield from _resource(value, path, is_contained=element.name == "contained")
    elif element.is_primitive:
        yield from _primitive(value, element, path)
    elif not isinstance(value, Node):
        yield Issue("structure", "the element is an object", path)
    else:
        yield from _object(value, structure(element.type), element.targets, path)


def _primitive(value: Any, element: Element, path: str) -> Iterator[Issue]:
    if element.type == "boolean":
        if type(value) is not bool:
            yield Issue("structure", "the element is true or false", path)
        return
    is_number = element.type == "decimal" or element.type in INTEGER_RANGES
    if type(value) is not (Number if is_number else str):
        yield Issue("structure", f"the element is a JSON {'number' if is_number else 'string'}", path)
        return
    fault = number_fault(element.type, value.encode()) if is_number else string_fault(element.type, value)
    if fault:
        yield Issue(fault.code, fault.rule, path)
    elif element.codes and value not in element.codes:
        yield Issue("code-invalid", "the code is not in the required value set", path)


def _primitive_extensions(node: Node, element: Element, path: str) -> Iterator[Issue]:
    value = node[f"_{element.name}"]
    if not element.is_list:
        yield from _extension(value, path)
        return
    if not isinstance(value, list) or not value:
        yield Issue("structure", "the extensions of an array stand in an array", path)
        return
    beside = node.get(element.name)
    if isinstance(beside, list) and len(beside) != len(value):
        yield Issue("structure", "the array and that of its extensions differ in length", path)
    for index, item in enumerate(value):
        has_value = isinstance(beside, list) and index < len(beside) and beside[index] is not None
        if item is not None:
            yield from _extension(item, f"{path}[{index}]")
        elif not has_value:
            yield Issue("structure", "null is no value", f"{path}[{index}]")


def _extension(value: Any, path: str) -> Iterator[Issue]:
    if isinstance(value, Node):
        yield from _object(value, structure("Element"), None, path)
    else:
        yield Issue("structure", "the extension of a primitive is an object", path)


def _choices(node: Node, definition: Structure, path: str) -> Iterator[Issue]:
    for choice, (members, required) in definition.choices.items():
        given = [name for name in members if name in node or f"_{name}" in node]
        if len(given) > 1:
            yield Issue("structure", f"more than one {choice}[x]", f"{path}.{choice}")
        elif required and not given:
            yield Issue("required", f"a {choice}[x] is required", f"{path}.{choice}")


def _reference(literal: str, targets: tuple[str, ...] | None, path: str) -> Iterator[Issue]:
    if re.match(target_pattern(targets), literal):
        return
    if re.match(target_pattern(None), literal):
        yield Issue("structure", "the reference names a resource of a type that is not allowed here", f"{path}.reference")
    else:
        yield Issue("value", "not a literal reference: Type/id, Type?search, #id or an absolute URI", f"{path}.reference")


def _below(path: str | None, name: str) -> str:
    return f"{path}.{name}" if path else name
