"""What a literal reference or a fullUrl says: http://hl7.org/fhir/R4/references.html#literal."""

import re
from typing import Literal as OneOf
from typing import NamedTuple

Kind = OneOf["urn", "relative", "absolute", "conditional", "opaque"]

_REST = re.compile(
    r"(?:(?P<base>https?://\S+)/)?(?P<type>[A-Z][A-Za-z]{1,63})/(?P<id>[A-Za-z0-9\-.]{1,64})(?:/_history/(?P<version>[A-Za-z0-9\-.]{1,64}))?"
)
_CONDITIONAL = re.compile(r"(?P<type>[A-Z][A-Za-z]{1,63})\?(?P<query>\S+)")
_UUID = "urn:uuid:"


class Literal(NamedTuple):
    """`id` is the name by which the source knows the target: a logical id, a UUID, or the whole text of a `urn:` or foreign URL."""

    kind: Kind
    type: str | None  # as far as the text tells
    id: str
    version: str | None = None
    base: str | None = None  # of an absolute URL


def parse_literal(text: str) -> Literal:
    """Any text has a kind; `opaque` is what names no resource that the gateway could know."""
    if text.startswith("urn:"):
        return Literal("urn", None, text.removeprefix(_UUID))
    if found := _REST.fullmatch(text):
        kind: Kind = "absolute" if found["base"] else "relative"
        return Literal(kind, found["type"], found["id"], found["version"], found["base"])
    if found := _CONDITIONAL.fullmatch(text):
        return Literal("conditional", found["type"], found["query"])
    return Literal("opaque", None, text)
