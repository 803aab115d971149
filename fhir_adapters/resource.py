"""One resource as the standard record keeps it: http://hl7.org/fhir/R4/json.html, in canonical bytes (docs/adr/0005-canonical-json.md)."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from fhir_adapters.document import Node, Number, read_document
from fhir_adapters.index import IndexFields, index_fields, index_plan, patients
from fhir_adapters.issue import InvalidInput, Issue

_REFERENCE = b'"reference":"'
_GIVEN_BY_GATEWAY = ("versionId", "lastUpdated", "source", "_versionId", "_lastUpdated", "_source")


@dataclass(frozen=True, slots=True)
class Resource:
    type: str
    source_id: str | None
    references: tuple[str, ...]
    patients: tuple[str, ...]
    index: IndexFields
    _canonical: bytes = field(repr=False)

    def content(self, rewrites: Mapping[str, str]) -> bytes:
        """Type, claimed meta and body in canonical bytes, with every Reference.reference replaced that `rewrites` names."""
        pieces = self._canonical.split(_REFERENCE)
        for number, piece in enumerate(pieces[1:], start=1):
            literal, rest = _literal(piece)
            replaced = rewrites.get(literal)
            if replaced is not None:
                pieces[number] = msgspec.json.encode(replaced)[1:] + rest
        return _REFERENCE.join(pieces)


def _literal(piece: bytes) -> tuple[str, bytes]:
    end = piece.index(b'"')
    while (end - len(piece[:end].rstrip(b"\\"))) % 2:
        end = piece.index(b'"', end + 1)
    return msgspec.json.decode(b'"' + piece[: end + 1], type=str), piece[end + 1 :]


def parse_resource(raw: bytes) -> Resource:
    node = read_document(raw)
    kind = node.pop("resourceType", None)
    if type(kind) is not str:
        raise InvalidInput([Issue("structure", "the resource names no type")])
    source_id = node.pop("id", None)
    claimed = {name: value for name, value in node.pop("meta", {}).items() if name not in _GIVEN_BY_GATEWAY}
    head = b'{"resourceType":"' + kind.encode() + b'","meta":' + _canonical(claimed)
    body = _canonical(node)
    canonical = head + (b"," if len(node) else b"") + body[1:]
    plan = index_plan(kind, lambda _: True)
    literals = dict.fromkeys(_literal(piece)[0] for piece in canonical.split(_REFERENCE)[1:])
    return Resource(kind, source_id, tuple(literals), patients(node, plan), index_fields(node, plan), canonical)


def _canonical(value: Any) -> bytes:
    if isinstance(value, Number):
        return value.encode()
    if isinstance(value, dict):
        return b"{" + b",".join(msgspec.json.encode(name) + b":" + _canonical(value[name]) for name in sorted(value)) + b"}"
    if isinstance(value, list):
        return b"[" + b",".join(_canonical(item) for item in value) + b"]"
    return msgspec.json.encode(value)


def standard_bytes(resource: Resource, content: bytes, id: str, version: int, last_updated: str, source: str) -> bytes:  # noqa: A002
    """The bytes that are committed and served: `content` of `resource` under the gateway's id, version, time and source."""
    start = len(b'{"resourceType":""') + len(resource.type)
    after_meta = start + len(b',"meta":{')
    return b"".join(
        (
            content[:start],
            f',"id":"{id}","meta":{{"versionId":"{version}","lastUpdated":"{last_updated}","source":'.encode(),
            msgspec.json.encode(source),
            b"" if content[after_meta : after_meta + 1] == b"}" else b",",
            content[after_meta:],
        )
    )
