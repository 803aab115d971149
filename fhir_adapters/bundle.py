"""What a client may submit as a Bundle: http://hl7.org/fhir/R4/bundle.html, cut into the exact bytes of its entries.

The same slices are what a sender signs, so they are never re-serialised.
"""

from dataclasses import dataclass

import msgspec

from fhir_adapters.issue import InvalidInput, Issue
from fhir_adapters.text import malformed, unreadable

SUBMITTED_TYPES = frozenset({"transaction", "batch", "collection", "document", "message"})
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "PATCH"})
_WITH_RESOURCE = frozenset({"POST", "PUT", "PATCH"})


class _Request(msgspec.Struct):
    method: str | None = None
    url: str | None = None
    ifNoneExist: str | None = None
    ifMatch: str | None = None


class _Entry(msgspec.Struct):
    fullUrl: str | None = None
    request: _Request | None = None
    resource: msgspec.Raw = msgspec.Raw(b"")


class _Envelope(msgspec.Struct):
    resourceType: str | None = None
    type: str | None = None
    identifier: msgspec.Raw = msgspec.Raw(b"")
    entry: list[msgspec.Raw] = []


@dataclass(frozen=True, slots=True)
class Entry:
    """One Bundle.entry. `raw` is the exact slice of the entry, `resource` that of its resource (b"" if it has none)."""

    index: int
    full_url: str | None
    method: str | None
    url: str | None
    if_none_exist: str | None
    if_match: str | None
    raw: bytes
    resource: bytes


@dataclass(frozen=True, slots=True)
class SubmittedBundle:
    """A Bundle in document order; `identifier` is (system, value) of Bundle.identifier."""

    type: str
    identifier: tuple[str | None, str | None] | None
    entries: tuple[Entry, ...]


_ENVELOPE = msgspec.json.Decoder(_Envelope)
_ENTRY = msgspec.json.Decoder(_Entry)


def split_bundle(body: bytes) -> SubmittedBundle:
    """The entries of a Bundle that passed `check_text`, resources unread. Raises InvalidInput with every fault of the envelope."""
    try:
        envelope = _ENVELOPE.decode(body)
    except msgspec.ValidationError as error:
        raise InvalidInput([Issue("structure", str(error), "Bundle")]) from error
    except (msgspec.DecodeError, RecursionError) as error:
        raise unreadable(malformed(error)) from error
    if envelope.resourceType != "Bundle":
        raise InvalidInput([Issue("structure", "not a Bundle")])
    if envelope.type not in SUBMITTED_TYPES:
        raise InvalidInput([Issue("value", "a Bundle of this type is not taken", "Bundle.type")])
    issues: list[Issue] = []
    entries: list[Entry] = []
    for index, raw in enumerate(envelope.entry):
        try:
            entries.append(_entry(index, bytes(raw), envelope.type))
        except InvalidInput as fault:
            issues += fault.issues
    if issues:
        raise InvalidInput(issues)
    return SubmittedBundle(envelope.type, _identifier(envelope.identifier), tuple(entries))


def _entry(index: int, raw: bytes, bundle_type: str) -> Entry:
    path = f"Bundle.entry[{index}]"
    try:
        entry = _ENTRY.decode(raw)
    except msgspec.DecodeError as error:
        raise InvalidInput([Issue("structure", str(error), path)]) from error
    request = entry.request or _Request()
    if bundle_type in {"transaction", "batch"}:
        _check_request(request, has_resource=bool(bytes(entry.resource)), path=path)
    elif not bytes(entry.resource):
        raise InvalidInput([Issue("required", "the entry has no resource", f"{path}.resource")])
    return Entry(index, entry.fullUrl, request.method, request.url, request.ifNoneExist, request.ifMatch, raw, bytes(entry.resource))


def _check_request(request: _Request, *, has_resource: bool, path: str) -> None:
    issues = []
    if not request.method:
        issues.append(Issue("required", "the request has no method", f"{path}.request.method"))
    elif request.method not in _METHODS:
        issues.append(Issue("code-invalid", "not an HTTP verb", f"{path}.request.method"))
    if not request.url:
        issues.append(Issue("required", "the request has no url", f"{path}.request.url"))
    if request.method in _WITH_RESOURCE and not has_resource:
        issues.append(Issue("required", "the entry has no resource", f"{path}.resource"))
    if issues:
        raise InvalidInput(issues)


def _identifier(raw: msgspec.Raw) -> tuple[str | None, str | None] | None:
    if not bytes(raw):
        return None
    try:
        found = msgspec.json.decode(raw, type=dict[str, msgspec.Raw])
        return tuple(msgspec.json.decode(found[key], type=str) if key in found else None for key in ("system", "value"))  # type: ignore[return-value]
    except msgspec.DecodeError as error:
        raise InvalidInput([Issue("structure", "not an Identifier", "Bundle.identifier")]) from error
