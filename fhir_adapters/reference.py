"""Literal references: http://hl7.org/fhir/R4/references.html#literal."""

import functools
from typing import Any

from fhir_adapters.definitions import RESOURCE_TYPES, UNSUPPORTED_TYPES

_ID = r"[A-Za-z0-9\-.]{1,64}"
_VERSION = rf"(?:/_history/{_ID})?"


@functools.cache
def target_pattern(targets: tuple[str, ...] | None) -> str:
    """The expression for Reference.reference where `targets` may be referred to, None for any type.

    Judged are references whose type shows: `Type/id`, `Type?search` and a URL that ends like the former. What hides it
    (`urn:`, `#contained`, any other URL) passes. Types without a definition here pass, too.
    """
    every = RESOURCE_TYPES | UNSUPPORTED_TYPES
    allowed = "|".join(sorted(every if targets is None else {*targets, *UNSUPPORTED_TYPES}))
    refused = "|".join(sorted(every - set(allowed.split("|"))))
    elsewhere = rf"(?!\S+/(?:{refused})/{_ID}{_VERSION}\Z)" if refused else ""
    return rf"\A(?:urn:\S+|(?:{allowed})(?:/{_ID}{_VERSION}|\?\S+)|#\S*|{elsewhere}[A-Za-z][A-Za-z0-9+.\-]*:\S+)\Z"


def unresolved_fragments(node: Any) -> bool:
    """Whether a local reference in a domain resource, `#id`, names nothing that it contains."""
    contained = node.get("contained")
    known = {f"#{item.get('id')}" for item in contained if isinstance(item, dict)} if isinstance(contained, list) else set()
    return not _fragments(node) <= known | {"#"}


def _fragments(value: Any) -> set[str]:
    if isinstance(value, list):
        return set().union(*map(_fragments, value))
    if not isinstance(value, dict):
        return set()
    literal = value.get("reference")
    own = {literal} if type(literal) is str and literal.startswith("#") else set()
    return own.union(*map(_fragments, value.values()))
