"""Structures compiled to msgspec structs, which decode, validate and encode canonically in one go each.

Elements are declared in the order of their names, so what is encoded is sorted. There are two sets. The strict one refuses whatever
it cannot vouch for: primitives that are given by an extension alone, arrays of primitives with null in them. The open one checks
nothing; it gives its shape to what the slow path found valid.
"""

import re
import sys
import threading
import types
from collections.abc import Iterable
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, Raw, UnsetType

from fhir_adapters.checks import RAW_NUMBERS, Check, checks_of, marked_references, nested_resources
from fhir_adapters.definitions import RESOURCE, RESOURCE_TYPES, Element, Structure, structure
from fhir_adapters.primitives import INTEGER_RANGES, STRING_PATTERNS
from fhir_adapters.reference import target_pattern

Decoder = msgspec.json.Decoder[Any]


class _Typed(msgspec.Struct):
    resourceType: str | UnsetType = UNSET  # noqa: N815  (FHIR's own name)


_TYPED = msgspec.json.Decoder(_Typed)
_TYPE_FIRST = re.compile(rb'\s*\{\s*"resourceType"\s*:\s*"([A-Za-z]+)"')


class UnknownType(ValueError):
    """A resource names no type, or one that has no definition here."""


class StructSet:
    """All structs of one kind, compiled when first asked for; may be shared between threads and across a fork."""

    def __init__(self, *, strict: bool) -> None:
        self._strict = strict
        self._lock = threading.RLock()
        self._decoders: dict[str, Decoder] = {}
        # msgspec looks the names in annotations up in the struct's module; structures begin with a capital, so these do not.
        module = types.ModuleType(f"{__name__}.{'strict' if strict else 'open'}")
        sys.modules[module.__name__] = module
        self._module_name = module.__name__
        self._names = module.__dict__
        self._names.update(annotated=Annotated, literal=Literal, rule=Meta, raw=Raw, unset=UnsetType)
        self._names.update(_strict_primitives() if strict else _open_primitives())

    def decode(self, raw: bytes | Raw) -> Any:
        """A resource of whatever type it names. Raises UnknownType, msgspec.DecodeError, RecursionError, UnicodeDecodeError."""
        first = _TYPE_FIRST.match(raw)
        named = first[1].decode() if first else _TYPED.decode(raw).resourceType
        found = self._decoders.get(named)  # type: ignore[arg-type]
        return (found or self.decoder(named)).decode(raw)

    def decoder(self, resource_type: str | UnsetType) -> Decoder:
        """The decoder of a resource type. Raises UnknownType."""
        if resource_type not in RESOURCE_TYPES:
            raise UnknownType("no type that is known here")
        with self._lock:
            self._define(resource_type, structure(resource_type), None)
            return self._decoders.setdefault(resource_type, msgspec.json.Decoder(self._names[resource_type]))

    def _define(self, name: str, definition: Structure, targets: tuple[str, ...] | None) -> None:
        """Defines the struct `name` and, as annotations name them, all it can hold."""
        if name in self._names:
            return
        self._names[name] = None
        fields = sorted(self._fields(definition, targets), key=lambda field: str(field[0]))
        tag: Any = {"tag_field": "resourceType", "tag": name} if definition.is_resource else {}
        self._names[name] = msgspec.defstruct(
            name,
            fields,
            namespace=_after_decoding(self._checks(definition)),
            module=self._module_name,
            kw_only=True,
            forbid_unknown_fields=True,
            gc=False,
            **tag,
        )
        for element in definition.elements.values():
            if not element.is_primitive and element.type != RESOURCE:
                self._define(_struct_name(element), structure(element.type), element.targets)

    def _checks(self, definition: Structure) -> list[Check]:
        if self._strict:
            return checks_of(definition, self.decode)
        return [*nested_resources(definition, self.decode), *marked_references(definition)]

    def _fields(self, definition: Structure, targets: tuple[str, ...] | None) -> Iterable[Any]:
        for element in definition.elements.values():
            annotation = self._annotation(element)
            if self._strict and definition.name == "Reference" and element.name == "reference":
                annotation = f"annotated[str, rule(pattern={target_pattern(targets)!r})]"
            if self._strict and element.is_required:
                yield element.name, annotation
            else:
                yield element.name, f"{annotation} | unset", UNSET
            yield from self._extension_field(element)

    def _extension_field(self, element: Element) -> Iterable[Any]:
        """The `_name` beside a primitive, which holds its id and extensions: http://hl7.org/fhir/R4/json.html#primitive."""
        if not element.has_extension or (self._strict and element.is_list):
            return
        yield f"_{element.name}", "list[Element | None] | unset" if element.is_list else "Element | unset", UNSET
        self._define("Element", structure("Element"), None)

    def _annotation(self, element: Element) -> str:
        if element.type == RESOURCE:
            inner = "raw"
        elif not element.is_primitive:
            inner = _struct_name(element)
        elif element.codes and self._strict:
            inner = f"literal[{', '.join(map(repr, element.codes))}]"
        else:
            inner = f"primitive_{element.type}"
        if not element.is_list:
            return inner
        if self._strict:
            return f"annotated[list[{inner}], rule(min_length=1)]"
        is_raw = not element.is_primitive or element.type in {*RAW_NUMBERS, "positiveInt"}
        return f"list[{inner}]" if is_raw else f"list[{inner} | None]"  # null is a raw value, too


def _struct_name(element: Element) -> str:
    return f"{element.type}_{'_'.join(element.targets)}" if element.targets else element.type


def _after_decoding(checks: list[Check]) -> dict[str, Any]:
    if not checks:
        return {}
    if len(checks) == 1:
        return {"__post_init__": checks[0]}

    def __post_init__(node: Any) -> None:  # noqa: N807
        for check in checks:
            check(node)

    return {"__post_init__": __post_init__}


def _strict_primitives() -> dict[str, Any]:
    kinds: dict[str, Any] = {
        name: Annotated[str, Meta(pattern=pattern)] if pattern else Annotated[str, Meta(min_length=1)]
        for name, pattern in STRING_PATTERNS.items()
    }
    for name, (lowest, highest) in INTEGER_RANGES.items():
        kinds[name] = Annotated[int, Meta(ge=lowest, le=highest)]
    kinds |= dict.fromkeys(RAW_NUMBERS, Raw) | {"boolean": bool}
    return {f"primitive_{name}": kind for name, kind in kinds.items()}


def _open_primitives() -> dict[str, Any]:
    kinds = dict.fromkeys(STRING_PATTERNS, str) | dict.fromkeys(INTEGER_RANGES, Raw) | {"decimal": Raw, "boolean": bool}
    return {f"primitive_{name}": kind for name, kind in kinds.items()}
