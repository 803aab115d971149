"""One resource as the standard record keeps it: validated, and in canonical bytes (docs/adr/0005-canonical-json.md).

The fast path decodes into a compiled struct, which refuses at the first fault. Then the slow path explains all of them; where it
finds none, it is right and the resource is taken.
"""

import functools
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
from msgspec import UNSET

from fhir_adapters.canonical import Cut, canonical, cut_at_references, is_doubtful, joined
from fhir_adapters.definitions import structure
from fhir_adapters.document import read_document
from fhir_adapters.explain import faults
from fhir_adapters.index import IndexFields, IndexPlan, index_fields, index_plan, patients
from fhir_adapters.issue import InvalidInput
from fhir_adapters.structs import StructSet, UnknownType

_STRICT = StructSet(strict=True)
_OPEN = StructSet(strict=False)
# What holds whole resources: references in those are theirs, resolved within them, and stay as they are.
_HOLDERS = frozenset({"Bundle", "Parameters"})

_encode = msgspec.json.Encoder().encode


class Resource(msgspec.Struct, frozen=True, gc=False):
    """A valid resource. `source_id` is the id its sender gave it.

    `references` are the literals of its References, unique, in canonical order (`#contained` ones included); `patients` those that may
    place it in a Patient's compartment: one whose type is hidden (`urn:`) counts, so who resolves it drops what is no Patient.
    """

    type: str
    source_id: str | None
    references: tuple[str, ...]
    patients: tuple[str, ...]
    index: IndexFields
    _cut: Cut

    def content(self, rewrites: Mapping[str, str]) -> bytes:
        """Type, claimed meta and body in canonical bytes, every literal that `rewrites` names replaced; `#contained` ones never are."""
        return joined(self._cut, rewrites)

    def __repr__(self) -> str:
        return f"<Resource {self.type}>"


def parse_resource(raw: bytes) -> Resource:
    """The resource in `raw`, JSON that passed `check_text`. Raises InvalidInput with every fault that was found."""
    try:
        struct = _STRICT.decode(raw)
    except (UnknownType, msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        _explain(raw)
        struct = _OPEN.decode(raw)
        return _resource(struct, raw, is_explained=True)
    return _resource(struct, raw, is_explained=False)


def warm(resource_types: Iterable[str]) -> None:
    """Compiles what these types need, so that processes forked later share it. Raises ValueError for a type that is not known."""
    for resource_type in resource_types:
        _STRICT.decoder(resource_type)
        _plan(resource_type)


def standard_bytes(resource: Resource, content: bytes, id: str, version: int, last_updated: str, source: str) -> bytes:  # noqa: A002
    """The bytes that are committed and served: `content` of `resource` under the gateway's id, version, time (an instant) and source."""
    head = len(b'{"resourceType":""') + len(resource.type)
    after_meta = head + len(b',"meta":{')
    has_claims = content[after_meta : after_meta + 1] != b"}"
    given = f',"id":"{id}","meta":{{"versionId":"{version}","lastUpdated":"{last_updated}","source":'
    return b"".join((content[:head], given.encode(), _encode(source), b"," if has_claims else b"", content[after_meta:]))


def _explain(raw: bytes) -> None:
    found = faults(read_document(raw))
    if found:
        raise InvalidInput(found, unreadable=any(issue.severity == "fatal" for issue in found))


def _resource(struct: Any, raw: bytes, *, is_explained: bool) -> Resource:
    resource_type = type(struct).__name__
    plan = _plan(resource_type)
    source_id = None if struct.id is UNSET else struct.id
    made = canonical(struct, resource_type)
    is_holder = resource_type in _HOLDERS
    cut = Cut(made.content, (), []) if is_holder else cut_at_references(made.content)
    if not is_explained and (is_doubtful(raw, made) or _has_loose_fragment(struct, cut, is_holder=is_holder)):
        _explain(raw)
    return Resource(resource_type, source_id, tuple(dict.fromkeys(cut.literals)), patients(struct, plan), index_fields(struct, plan), cut)


def _has_loose_fragment(struct: Any, cut: Cut, *, is_holder: bool) -> bool:
    """Whether a local reference may lead nowhere; sure only where nothing is nested but contained resources."""
    if is_holder:
        return b'"reference":"#' in cut.before
    local = [literal for literal in cut.literals if literal[0] == "#"]
    if not local:
        return False
    contained = () if struct.contained is UNSET else struct.contained
    return not {"#", *(f"#{item.id}" for item in contained)}.issuperset(local)


@functools.cache
def _plan(resource_type: str) -> IndexPlan:
    return index_plan(structure(resource_type))
