"""SMART App Launch 2.2 scopes: `<system|patient>/<Type|*>.<c><r><u><d><s>` (https://hl7.org/fhir/smart-app-launch/scopes-and-launch-context.html).

Only version 2's form without search arguments is understood. Anything else in a request is left out of the grant, as SMART allows,
never read as more than it says.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

_FORM = re.compile(r"(system|patient)/(\*|[A-Z][A-Za-z]{1,63})\.(c?r?u?d?s?)")
_LETTERS = "cruds"


@dataclass(frozen=True, slots=True)
class Scope:
    """What one scope allows: `interactions` is a subset of create, read, update, delete, search by their letters, in this order."""

    resource_type: str  # or "*"
    interactions: str
    context: str = "system"  # patient: the archive of the patient who signed in

    def __str__(self) -> str:
        return f"{self.context}/{self.resource_type}.{self.interactions}"

    def allows(self, interaction: str, resource_type: str) -> bool:
        """`resource_type` may be "*": then only a scope for all types will do."""
        return interaction in self.interactions and self.resource_type in ("*", resource_type)


def parse_scopes(text: str) -> tuple[Scope, ...]:
    """The scopes in `text`, blank-separated, that are understood; order kept, none twice."""
    found = dict.fromkeys(Scope(m[2], m[3], m[1]) for word in text.split(" ") if (m := _FORM.fullmatch(word)) and m[3])
    return tuple(found)


def granted(asked: Iterable[Scope], allowed: Iterable[Scope]) -> tuple[Scope, ...]:
    """What of `asked` lies within `allowed`: for each pair the narrower type and the common interactions."""
    narrowed = (_narrowed(a, b) for a in asked for b in allowed if a.context == b.context)
    return tuple(dict.fromkeys(s for s in narrowed if s is not None and s.interactions))


def _narrowed(one: Scope, other: Scope) -> Scope | None:
    if "*" not in (one.resource_type, other.resource_type) and one.resource_type != other.resource_type:
        return None
    narrower = other.resource_type if one.resource_type == "*" else one.resource_type
    return Scope(narrower, _common(one.interactions, other.interactions), one.context)


def _common(one: str, other: str) -> str:
    return "".join(letter for letter in _LETTERS if letter in one and letter in other)
