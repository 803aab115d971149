"""What a sender calls its records: the name in each original entry must lead to the record that was made of it, or a later push would
write into another's.

Only the fullUrl is looked at. It names a record for good (docs/adr/0009-identity.md); an id in a resource does so in some kinds of Bundle.
"""

import re
from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from gateway.identity.literal import parse_literal
from gateway.index import sources
from gateway.index.database import Index
from gateway.index.resource_types import NUMBER_OF
from gateway.index.tokens import BlindTokens
from gateway.vault.record_id import RecordIds
from gateway.vault.segments import EntryRow
from jobs.audit_index_rows import record_name
from jobs.audit_notes import Notes

_AT_ONCE = 5000  # names in one snapshot
_FULL_URL = re.compile(rb'\s*\{\s*"fullUrl"\s*:\s*"([^"\\]+)"')


class _Entry(msgspec.Struct, rename="camel"):
    full_url: str | None = None


_ENTRY = msgspec.json.Decoder(_Entry)


class _Named(NamedTuple):
    token: bytes
    type: int
    row: int


class SourceNames:
    """Collects names and asks for many at once."""

    def __init__(self, index: Index, tokens: BlindTokens, ids: RecordIds, notes: Notes) -> None:
        self._index, self._tokens, self._ids, self._notes = index, tokens, ids, notes
        self._waiting: list[_Named] = []

    def add(self, party: int, resource_type: str, rows: Sequence[int], entries: Sequence[EntryRow | None]) -> None:
        """The entries that records `rows`, all of this type, were made of; `party` is the sender's row."""
        urls = [(row, url) for row, entry in zip(rows, entries, strict=True) if entry and (url := _full_url(entry.raw))]
        tokens = self._tokens.sources(party, [parse_literal(url).id for _, url in urls])
        type_ = NUMBER_OF[resource_type]
        self._waiting += [_Named(token, type_, row) for token, (row, _) in zip(tokens, urls, strict=True)]
        if len(self._waiting) >= _AT_ONCE:
            self.finish()

    def finish(self) -> None:
        """Look up what waits. Unavailable if the database cannot be read."""
        with self._index.reading() as connection:
            known = sources.rows_by_source(connection, {named.token for named in self._waiting})
        for named in self._waiting:
            row = known.get(named.token, {}).get(named.type)
            if row != named.row:
                code = "index-row-missing" if row is None else "index-row-altered"
                subject = record_name(named.row, named.type, None, self._ids)
                self._notes.found(code, subject, "its sender's name for it does not lead to it (source_map)")
        self._notes.count("source names", len(self._waiting))
        self._waiting = []


def _full_url(entry: bytes) -> str | None:
    """Bundle.entry.fullUrl. Most stand first; the rest, and those with an escape, are decoded."""
    found = _FULL_URL.match(entry)
    if found is not None:
        return found[1].decode()
    return _ENTRY.decode(entry).full_url if b'"fullUrl"' in entry else None
