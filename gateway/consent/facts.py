"""What exceptions to a grant ask of an opened record: its codes, labels, time and name."""

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from fhir_adapters import parse_resource
from gateway.consent.provision import RecordFacts

Version = tuple[int, int]  # row and version of a resource


def facts_of(body: bytes) -> RecordFacts:
    """Of a record's committed bytes."""
    content = msgspec.json.decode(body)
    index = parse_resource(body).index
    security = content.get("meta", {}).pop("security", [])
    reference = f"{content['resourceType']}/{content['id']}"
    return RecordFacts(reference, frozenset(_codings(content)), frozenset(_codings(security)), (index.start, index.end))


def _codings(value: Any) -> Iterator[tuple[str | None, str]]:
    """Every system and code, wherever in the record they stand: FHIR's rule for `provision.code`."""
    if isinstance(value, dict):
        if isinstance(value.get("code"), str):
            yield value.get("system"), value["code"]
        for inner in value.values():
            yield from _codings(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _codings(inner)


class OpenedFacts:
    """The facts of opened records, each read only if a grant asks for it; `bodies` by row and version, empty for a deletion."""

    def __init__(self, bodies: Mapping[Version, bytes] | None = None) -> None:
        self._bodies = bodies or {}
        self._read: dict[Version, RecordFacts] = {}

    def of(self, version: Version) -> RecordFacts | None:
        """None for what is not opened or has no content."""
        body = self._bodies.get(version)
        if body and version not in self._read:
            self._read[version] = facts_of(body)
        return self._read.get(version)
