"""Canonical bytes of a decoded resource (docs/adr/0005-canonical-json.md), and what in them casts doubt on the fast path's verdict."""

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec
from msgspec import UNSET

_REFERENCE_KEY = b'"reference":'
_STRING_END = re.compile(rb'"(?:[^"\\]|\\.)*"', re.DOTALL)
_EMPTY = re.compile(rb"\{\}")
_DOUBTFUL_ESCAPE = re.compile(rb"\\(?:u00|b|f)")

_QUOTE = ord('"')

_decode_string = msgspec.json.Decoder(str).decode
_encode = msgspec.json.Encoder().encode


class Canonical(NamedTuple):
    """Canonical content of a resource. `quotes_dropped` counts those of the input that are not in it, less those that were added."""

    content: bytes
    head: int
    quotes_dropped: int
    has_empty_meta: bool


def canonical(resource: Any, resource_type: str) -> Canonical:
    """The content of a compiled struct, which loses its id and, as the gateway sets those, version, time and source of its meta."""
    head = len(b'{"resourceType":""') + len(resource_type)
    dropped = 0
    if resource.id is not UNSET:
        resource.id = UNSET
        dropped = 4
    meta, resource.meta = resource.meta, UNSET
    if meta is UNSET:
        claimed = b"{}"
        dropped -= 2
        is_empty = False
    else:
        given = 3 - (meta.versionId, meta.lastUpdated, meta.source).count(UNSET)
        if given:
            meta.versionId = meta.lastUpdated = meta.source = UNSET
        meta._versionId = meta._lastUpdated = meta._source = UNSET  # noqa: SLF001  (FHIR's own names)
        dropped += 4 * given
        claimed = _encode(meta)
        is_empty = claimed == b"{}" and not given
    body = _encode(resource)
    return Canonical(b"".join((body[:head], b',"meta":', claimed, body[head:])), head, dropped, is_empty)


def is_doubtful(raw: bytes, made: Canonical) -> bool:
    r"""Whether the slow path must look, because a key may be given twice, an object be empty, or a control character stand in a string.

    A key that is given twice loses at least its own two quotes. The count is exact unless the input writes quotes as `\u0022`, so
    that is doubtful too.
    """
    content = made.content
    if raw.count(b'"') != content.count(b'"') + made.quotes_dropped or made.has_empty_meta:
        return True
    if _EMPTY.search(content, made.head + len(b',"meta":{}')):
        return True
    return b"\\" in content and (b"\\u0022" in raw or _DOUBTFUL_ESCAPE.search(content) is not None)


class Cut(NamedTuple):
    """Canonical content cut around its literal references: `before`, then for each literal what follows it."""

    before: bytes
    literals: tuple[str, ...]
    after: list[bytes]


def cut_at_references(content: bytes) -> Cut:
    """Finds the literal of every Reference in canonical content without parsing it.

    Keys are known and compact, and a quote inside a string is escaped: `"reference":` stands nowhere but before such an element. A
    string after it is a Reference's literal, an object is a Reference, and a space marks a URI that is none (checks.py); it goes.
    """
    before, *parts = content.split(_REFERENCE_KEY)
    literals: list[str] = []
    after = [before]
    for part in parts:
        if part[0] == _QUOTE:
            _, literal, rest = part.split(b'"', 2)
            if b"\\" in literal:
                end = _STRING_END.match(part).end()  # type: ignore[union-attr]
                literals.append(_decode_string(part[:end]))
                after.append(part[end:])
            else:
                literals.append(literal.decode())
                after.append(rest)
        else:
            after[-1] += _REFERENCE_KEY + part.removeprefix(b" ")
    return Cut(after[0], tuple(literals), after[1:])


def joined(cut: Cut, rewrites: Mapping[str, str]) -> bytes:
    """The content again, the literals that `rewrites` names replaced, those of contained resources never."""
    parts = [cut.before]
    for literal, after in zip(cut.literals, cut.after, strict=True):
        target = literal if literal.startswith("#") else rewrites.get(literal, literal)
        parts.append(_encode(target) + after)
    return _REFERENCE_KEY.join(parts)
