"""What a client may submit as a Bundle: http://hl7.org/fhir/R4/bundle.html, cut into the exact bytes of its entries.

The same slices are what a sender signs, so they are never re-serialised.
"""

import re
from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, Raw, UnsetType

from fhir_adapters.document import Node, read_document
from fhir_adapters.explain import faults, faults_of_structure
from fhir_adapters.issue import InvalidInput, Issue
from fhir_adapters.primitives import STRING_PATTERNS
from fhir_adapters.text import malformed, unreadable

SUBMITTED_TYPES = frozenset({"transaction", "batch", "collection", "document", "message"})
_WITH_RESOURCE = frozenset({"POST", "PUT", "PATCH"})
_FIRST = {"document": "Composition", "message": "MessageHeader"}

_Uri = Annotated[str, Meta(pattern=STRING_PATTERNS["uri"])]
_String = Annotated[str, Meta(min_length=1)]


class _Request(msgspec.Struct, forbid_unknown_fields=True, rename="camel"):
    method: Literal["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH"]
    url: _Uri
    if_none_exist: _String | None = None
    if_match: _String | None = None
    if_none_match: _String | None = None
    if_modified_since: Annotated[str, Meta(pattern=STRING_PATTERNS["instant"])] | None = None


class _Entry(msgspec.Struct, forbid_unknown_fields=True, rename="camel"):
    """An entry as nearly all are; one with more in it is read by `_explained`."""

    full_url: _Uri | None = None
    request: _Request | None = None
    resource: Raw = Raw(b"")


class _LenientRequest(msgspec.Struct, rename="camel"):
    method: str | None = None
    url: str | None = None
    if_none_exist: str | None = None
    if_match: str | None = None
    if_none_match: str | None = None


class _LenientEntry(msgspec.Struct, rename="camel"):
    """What is read of an entry that the slow path looked at."""

    full_url: str | None = None
    request: _LenientRequest | None = None
    resource: Raw = Raw(b"")


class _Envelope(msgspec.Struct):
    entry: Annotated[list[Raw], Meta(min_length=1)] | UnsetType = UNSET


class Entry(msgspec.Struct, frozen=True, gc=False):
    """One Bundle.entry. `raw` is the exact slice of the entry, `resource` that of its resource, b"" if it has none."""

    index: int
    full_url: str | None
    method: str | None
    url: str | None
    if_none_exist: str | None
    if_match: str | None
    if_none_match: str | None
    raw: bytes
    resource: bytes


class SubmittedBundle(msgspec.Struct, frozen=True):
    """A Bundle in document order; `identifier` is (system, value) of Bundle.identifier."""

    type: str
    identifier: tuple[str | None, str | None] | None
    entries: tuple[Entry, ...]


_ENVELOPE = msgspec.json.Decoder(_Envelope)
_ENTRY = msgspec.json.Decoder(_Entry)
_LENIENT_ENTRY = msgspec.json.Decoder(_LenientEntry)
_ENTRY_LIST = re.compile(rb'"entry"\s*:\s*\[\s*')
_BETWEEN = re.compile(rb"\s*,?\s*")
_RESOURCE = re.compile(rb'"resource"\s*:\s*')
_TYPE = re.compile(rb'"resourceType"\s*:\s*"([A-Za-z]+)"')


def split_bundle(body: bytes) -> SubmittedBundle:
    """The entries of a Bundle that passed `check_text`; the resources are not looked into.

    Raises InvalidInput with every fault of the envelope, expressions beginning with `Bundle`; unreadable if it is no JSON or gives a
    key twice. A Bundle type that answers or lists, and does not submit, is a fault.
    """
    try:
        slices = _ENVELOPE.decode(body).entry
    except msgspec.ValidationError as error:
        raise InvalidInput([Issue("structure", "not an array of at least one entry", "Bundle.entry")]) from error
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise unreadable(malformed(error)) from error
    raws = [] if slices is UNSET else list(map(bytes, slices))
    bundle = read_document(_without_entries(body, raws))
    bundle.pop("entry", None)
    issues = _header_faults(bundle)
    is_interaction = bundle.type in {"transaction", "batch"}
    entries = [_entry(index, raw, issues, is_interaction=is_interaction) for index, raw in enumerate(raws)]
    issues += _first_entry_faults(bundle, entries)
    if issues:
        raise InvalidInput(issues, unreadable=any(issue.severity == "fatal" for issue in issues))
    return SubmittedBundle(bundle.type, _identifier(bundle), tuple(entries))


def _without_entries(body: bytes, raws: list[bytes]) -> bytes:
    """`body` with the entries cut out of their array, so that the slow path, which misses nothing, can read the rest.

    Comes back whole where the array is not where it is looked for first; that is right, too, and slow.
    """
    found = _ENTRY_LIST.search(body)
    if found is None:
        return body
    end = found.end()
    for raw in raws:
        if not body.startswith(raw, end):
            return body
        end = _BETWEEN.match(body, end + len(raw)).end()  # type: ignore[union-attr]
    return body[: found.end()] + body[end:]


def _header_faults(bundle: Node) -> list[Issue]:
    if bundle.get("resourceType") != "Bundle":
        return [Issue("structure", "not a Bundle", "resourceType")]
    issues = faults(bundle)
    if bundle.type not in SUBMITTED_TYPES and not any(issue.expression == "Bundle.type" for issue in issues):
        issues.append(Issue("value", "a Bundle of this type is not a submission", "Bundle.type"))
    if bundle.type == "document" and not {"identifier", "timestamp"} <= bundle.keys():
        issues.append(Issue("invariant", "bdl-9, bdl-10: a document has an identifier and a timestamp", "Bundle"))
    return issues


def _first_entry_faults(bundle: Node, entries: list[Entry]) -> list[Issue]:
    expected = _FIRST.get(bundle.type)
    if expected is None:
        return []
    first = _TYPE.search(entries[0].resource) if entries else None
    if first and first[1].decode() == expected:
        return []
    return [Issue("invariant", f"bdl-11, bdl-12: a {bundle.type} begins with a {expected}", "Bundle.entry[0]")]


def _entry(index: int, raw: bytes, issues: list[Issue], *, is_interaction: bool) -> Entry:
    """The entry in `raw`; what is wrong with it is added to `issues`, and then nobody uses the answer."""
    entry: _Entry | _LenientEntry
    try:
        entry = _ENTRY.decode(raw)
        is_plain = _gives_nothing_twice(entry, raw, bytes(entry.resource))
    except (msgspec.ValidationError, UnicodeDecodeError):
        is_plain = False
    if not is_plain:
        entry = _explained(index, raw, issues)
    resource = bytes(entry.resource)
    request = entry.request
    if is_interaction:
        if request is None:
            issues.append(Issue("required", "an entry of a transaction or batch has a request", f"Bundle.entry[{index}].request"))
        elif request.method in _WITH_RESOURCE and not resource:
            issues.append(Issue("required", "the request has no resource to write", f"Bundle.entry[{index}].resource"))
    elif not resource:
        issues.append(Issue("required", "the entry has no resource", f"Bundle.entry[{index}].resource"))
    if request is None:
        return Entry(index, entry.full_url, None, None, None, None, None, raw, resource)
    conditions = (request.if_none_exist, request.if_match, request.if_none_match)
    return Entry(index, entry.full_url, request.method, request.url, *conditions, raw, resource)


def _gives_nothing_twice(entry: _Entry, raw: bytes, resource: bytes) -> bool:
    """Whether the quotes around the resource are those of the keys and strings that were read, so that no other was dropped.

    Quotes inside those strings make it False, too, and cost a second look.
    """
    start = found.end() if resource and (found := _RESOURCE.search(raw)) else 0
    end = start + len(resource)
    if not raw.startswith(resource, start):
        return False
    expected = (2 if resource else 0) + (4 if entry.full_url else 0)
    request = entry.request
    if request is not None:
        optional = (request.if_none_exist, request.if_match, request.if_none_match, request.if_modified_since)
        expected += 10 + 4 * (4 - optional.count(None))
    return raw.count(b'"', 0, start) + raw.count(b'"', end) == expected


def _explained(index: int, raw: bytes, issues: list[Issue]) -> _LenientEntry:
    path = f"Bundle.entry[{index}]"
    node = read_document(raw) if raw.startswith(b"{") else None
    if node is None:
        issues.append(Issue("structure", "the element is an object", path))
        return _LenientEntry()
    node.pop("resource", None)
    issues += faults_of_structure(node, "BundleEntry", path)
    try:
        return _LENIENT_ENTRY.decode(raw)
    except (msgspec.ValidationError, UnicodeDecodeError):
        return _LenientEntry(resource=Raw(b"{}"))


def _identifier(bundle: Node) -> tuple[str | None, str | None] | None:
    found = bundle.get("identifier")
    return None if found is None else (found.get("system"), found.get("value"))
