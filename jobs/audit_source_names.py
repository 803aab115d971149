"""What a sender calls its records: the name in each original entry must lead to the record that was made of it, or a later push would
write into another's.

What names a record for good is looked at (docs/adr/0009-identity.md): the address of a PUT in a Bundle, else the fullUrl. The address of a
request that brought a resource by itself is not sealed, and an id in a resource names it in some kinds of Bundle only.
"""

import re
from collections.abc import Collection, Sequence
from itertools import repeat
from typing import Any

import msgspec
from sqlalchemy import select

from gateway.identity.interaction import parse_interaction
from gateway.identity.literal import parse_literal
from gateway.index import schema as t
from gateway.index.database import Index
from gateway.index.resource_types import NUMBER_OF
from gateway.index.rows import KeyedQuery, StandingRows
from gateway.index.tokens import BlindTokens
from gateway.vault.record_id import RecordIds
from gateway.vault.segments import EntryRow
from jobs.audit_index_rows import record_name
from jobs.audit_notes import Notes

_AT_ONCE = 5000  # names in one snapshot
_POSTED = re.compile(rb'"request"\s*:\s*\{\s*"method"\s*:\s*"POST"[^{}]*\}\s*\}\Z')  # as most entries end
_TAIL = 200
_UUID = re.compile(rb'\s*\{\s*"fullUrl"\s*:\s*"urn:uuid:([^"\\]+)"')
_FULL_URL = re.compile(rb'\s*\{\s*"fullUrl"\s*:\s*"([^"\\]+)"')

_Named = tuple[bytes, int, int]  # token, type, row
_COLUMNS = (t.source_map.c.token, t.source_map.c.type, t.source_map.c.resource)
_SOURCES = KeyedQuery(select(*_COLUMNS), t.source_map.c.token)
_STANDING = StandingRows(*_COLUMNS)


class _Request(msgspec.Struct):
    method: str = ""
    url: str = ""


class _Entry(msgspec.Struct, rename="camel"):
    full_url: str | None = None
    request: _Request | None = None


_ENTRY = msgspec.json.Decoder(_Entry)


class SourceNames:
    """Collects names and asks for many at once."""

    def __init__(self, index: Index, tokens: BlindTokens, ids: RecordIds, notes: Notes) -> None:
        self._index, self._tokens, self._ids, self._notes = index, tokens, ids, notes
        self._waiting: list[_Named] = []

    def add(self, party: int, resource_type: str, rows: Sequence[int], entries: Sequence[EntryRow | None]) -> None:
        """The entries that records `rows`, all of this type, were made of; `party` is the sender's row."""
        names = _posted_names([entry.raw for entry in entries if entry])
        if names is None or len(names) != len(rows):
            named = [(row, name) for row, entry in zip(rows, entries, strict=True) if entry and (name := _name(entry.raw, self._ids))]
            rows, names = [row for row, _ in named], [name for _, name in named]
        self._waiting += zip(self._tokens.sources(party, names), repeat(NUMBER_OF[resource_type]), rows)
        if len(self._waiting) >= _AT_ONCE:
            self.finish()

    def finish(self) -> None:
        """Look up what waits: in bulk, and one by one where not all of a batch is there. Unavailable if the database cannot be read."""
        waiting, size = sorted(self._waiting), _STANDING.BATCH
        with self._index.reading() as connection:
            batches = [waiting[start : start + size] for start in range(0, len(waiting), size)]
            doubtful = [name for batch in batches if len(batch) < size or not _STANDING.are_all(connection, batch) for name in batch]
            stored = set(_SOURCES.tuples_among(connection, {token for token, _, _ in doubtful}))
        self._judge([name for name in doubtful if name not in stored], stored)
        self._notes.count("source names", len(self._waiting))
        self._waiting = []

    def _judge(self, strays: Sequence[_Named], stored: Collection[tuple[Any, ...]]) -> None:
        """Note each of `strays`, which do not stand in the database as they should."""
        known = {(token, type_) for token, type_, _ in stored} if strays else set()
        for token, type_, row in strays:
            code = "index-row-altered" if (token, type_) in known else "index-row-missing"
            subject = record_name(row, type_, None, self._ids)
            self._notes.found(code, subject, "its sender's name for it does not lead to it (source_map)")


def _posted_names(entries: Sequence[bytes]) -> list[str] | None:
    """`_name` of each, if all are as nearly all are: posted by one and the same request, and called by a UUID; else None."""
    posted = _POSTED.search(entries[0], max(0, len(entries[0]) - _TAIL)) if entries else None
    if posted is None or not all(entry.endswith(posted[0]) for entry in entries):
        return None
    found = [_UUID.match(entry) for entry in entries]
    return None if None in found else [match[1].decode() for match in found if match]


def _name(entry: bytes, ids: RecordIds) -> str | None:
    """What the sender calls the record: in the address of a PUT, else in Bundle.entry.fullUrl; None where neither says."""
    if b'"PUT"' in entry and _POSTED.search(entry, max(0, len(entry) - _TAIL)) is None:
        request = _ENTRY.decode(entry).request
        if request is not None and request.method == "PUT":
            target = parse_interaction("PUT", request.url).id
            return None if target is None or ids.decode(target) is not None else target  # the gateway's own id is no sender's name
    found = _UUID.match(entry)
    if found is not None:
        return found[1].decode()  # as `parse_literal` reads it; nearly all are such
    url = _full_url(entry)
    return parse_literal(url).id if url else None


def _full_url(entry: bytes) -> str | None:
    """Most stand first; the rest, and those with an escape, are decoded."""
    found = _FULL_URL.match(entry)
    if found is not None:
        return found[1].decode()
    return _ENTRY.decode(entry).full_url if b'"fullUrl"' in entry else None
