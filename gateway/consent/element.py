"""One element of a resource, read so that nothing is overlooked: what nobody asked for is a fault (docs/adr/0017-consent.md)."""

from collections.abc import Mapping
from typing import Any

from fhir_adapters.issue import Issue

NOT_UNDERSTOOD = "is not understood in a consent here, so it is refused rather than ignored"


class Element:
    """A JSON object at `path` of a valid resource. Faults of it and of all that is taken from it come together in `faults`."""

    def __init__(self, path: str, value: Mapping[str, Any], faults: list[Issue]) -> None:
        self.path, self.faults = path, faults
        self._left = dict(value)

    def text(self, name: str) -> str | None:
        """A primitive, None where there is none."""
        value: str | None = self._left.pop(name, None)
        return value

    def one(self, name: str) -> "Element | None":
        value = self._left.pop(name, None)
        return None if value is None else Element(f"{self.path}.{name}", value, self.faults)

    def each(self, name: str) -> "list[Element]":
        values = self._left.pop(name, None) or ()
        return [Element(f"{self.path}.{name}[{at}]", value, self.faults) for at, value in enumerate(values)]

    def skip(self, *names: str) -> None:
        """Take what says nothing about what is permitted: words for people, identifiers."""
        for name in names:
            self._left.pop(name, None)

    def fault(self, words: str, below: str = "", code: str = "business-rule") -> None:
        self.faults.append(Issue(code, words, self.path + below))

    def done(self) -> None:
        """Nothing more is asked for: what is left was not understood."""
        for name in self._left:
            self.fault(NOT_UNDERSTOOD, f".{name}", "not-supported")
        self._left.clear()
