"""Conditions that name a resource by an identifier: http://hl7.org/fhir/R4/http.html#ccreate and conditional references.

One form is understood, `identifier=system|value`, because it alone can be answered from blind tokens and says one thing only.
"""

from typing import NamedTuple
from urllib.parse import parse_qsl

from gateway.errors import NotSupported


class Condition(NamedTuple):
    """The resource of `type` that has this identifier, among those the sender issued; `system` None is `|value`, no system."""

    type: str
    system: str | None
    value: str


def parse_condition(resource_type: str, query: str) -> Condition:
    """Raises NotSupported for any other search."""
    given = parse_qsl(query.removeprefix("?"), keep_blank_values=True)
    if len(given) == 1 and given[0][0] == "identifier":
        system, bar, value = given[0][1].partition("|")
        if bar and value and "," not in value:
            return Condition(resource_type, system or None, value)
    raise NotSupported("a condition must be identifier=system|value")
