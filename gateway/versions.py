"""What a submission makes of each resource: nothing where its content is what is stored, else the next version; what is sealed of that,
and what the index is to hold of it. Pure.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from fhir_adapters import standard_bytes
from gateway.identity.compartment import Compartments
from gateway.identity.lookups import Lookups
from gateway.identity.resolution import NOWHERE, Placed, Resolution
from gateway.index.archives import Archive
from gateway.index.changes import Changes, NewVersion
from gateway.index.index_row import FORMAT, IndexRow, index_row
from gateway.index.submissions import Result, Status
from gateway.index.tokens import BlindTokens, CodeTokens
from gateway.pending import Sealed
from gateway.sealing import class_name
from gateway.submission import instant
from gateway.vault.seal import RecordToSeal
from gateway.vault.segments import EntryRow


@dataclass(frozen=True, slots=True)
class Version:
    """The version that a placed draft becomes, or finds. `content` is what was submitted, references rewritten; `token` its token."""

    placed: Placed
    content: bytes
    token: bytes
    version: int
    status: Status
    updated_ms: int

    @property
    def is_new(self) -> bool:
        return self.status not in ("unchanged", "absent")

    @property
    def result(self) -> Result:
        return Result(self.status, self.placed.row if self.version else NOWHERE, self.version)


def decide_version(placed: Placed, rewrites: Mapping[str, str], tokens: BlindTokens, now_ms: int) -> Version:
    """Equal content changes nothing; a deleted resource lives again; what is settled stays as it is; a deletion is a version, too.

    A version is never older than the one before, whatever the clock says.
    """
    state = placed.state
    before = (state.updated_ms or 0) if state else 0
    if placed.is_settled:
        return Version(placed, b"", b"", state.version if state else 0, "absent" if placed.draft.deletes else "unchanged", before)
    content = placed.draft.resource.content(rewrites)
    token = tokens.content(placed.row, content)
    if state is not None and placed.draft.deletes:
        return Version(placed, content, token, state.version + 1, "deleted", max(now_ms, before + 1))
    if state is None or not state.version:
        return Version(placed, content, token, 1, "created", now_ms)
    if state.content == token and not state.deleted:
        return Version(placed, content, token, state.version, "unchanged", before)
    return Version(placed, content, token, state.version + 1, "created" if state.deleted else "updated", max(now_ms, before + 1))


def index_rows(
    versions: Iterable[Version],
    issuer: int,
    archive_of: Mapping[int, Archive],
    also_of: Mapping[int, Sequence[Archive]],
    codes_of: Mapping[Archive, CodeTokens],
    tokens: BlindTokens,
) -> dict[int, IndexRow]:
    """What the index will say of each new version, by row."""
    return {
        v.placed.row: _index_row(v, issuer, also_of.get(v.placed.row, ()), codes_of[archive_of[v.placed.row]], tokens) for v in versions
    }


def _index_row(version: Version, issuer: int, also_of: Sequence[Archive], codes: CodeTokens, tokens: BlindTokens) -> IndexRow:
    placed = version.placed
    resource = placed.draft.resource
    fields = resource.index
    identifiers: tuple[bytes, ...] = ()
    if fields.identifiers:
        identifiers = tuple(sorted({tokens.identifier(resource.type, system, value) for system, value in fields.identifiers if value}))
    coded = codes.of(fields.categories, fields.codes)
    place = (FORMAT, placed.row, placed.type, version.version, int(placed.draft.deletes), issuer, version.updated_ms)
    further = tuple(sorted(archive.keys.key_id for archive in also_of))
    return IndexRow(*place, fields.start, fields.end, version.token, coded, identifiers, further)


def records_of(
    new: Iterable[Version], known: Mapping[int, IndexRow], ids: Mapping[int, str], source: str, salts: Sequence[bytes]
) -> dict[int, RecordToSeal]:
    """The standard record of each new version by row: only now are id, version and time known. `ids` by row, `salts` by entry."""
    return {v.placed.row: _record(v, known[v.placed.row], ids[v.placed.row], source, salts[v.placed.draft.index]) for v in new}


def _record(version: Version, known: IndexRow, id_: str, source: str, salt: bytes) -> RecordToSeal:
    draft = version.placed.draft
    body = standard_bytes(draft.resource, version.content, id_, version.version, instant(version.updated_ms), source)
    name = class_name(draft.resource.type, draft.resource.index.category)
    return RecordToSeal(name, bytes.fromhex(id_), version.version, body, index_row(known), EntryRow(draft.index, salt, draft.entry))


def changes_of(
    issuer: int,
    new: Sequence[Version],
    known: Mapping[int, IndexRow],
    sealed: Sealed,
    lookups: Lookups,
    resolution: Resolution,
    compartments: Compartments,
    now: int,
) -> Changes:
    """All that the index is to hold of the new versions, where they are sealed. `issuer` is the sender's row, `now` in seconds."""
    ordinals = {archive: ordinal for ordinal, archive in enumerate(sealed.archives)}
    return Changes(
        issuer=issuer,
        opened=compartments.opened,
        versions=[_new_version(record, known, sealed, compartments, ordinals) for record in new],
        reserved=[(reserved.row, reserved.type, compartments.of.get(reserved.row)) for reserved in resolution.reserved],
        sources=_sources(new, lookups, resolution),
        met=_conditions_decided_on(resolution, lookups),
        now=now,
    )


def _new_version(
    record: Version, known: Mapping[int, IndexRow], sealed: Sealed, compartments: Compartments, ordinals: Mapping[Archive, int]
) -> NewVersion:
    row, state = record.placed.row, record.placed.state
    archive = compartments.of[row]
    return NewVersion(
        known[row],
        archive,
        compartments.also_of.get(row, ()),
        ordinals[archive],
        sealed.leaves[row],
        None if state is None else state.version,
        None if state is None else state.archive,
    )


def _sources(new: Sequence[Version], lookups: Lookups, resolution: Resolution) -> list[tuple[bytes, int, int]]:
    """The names that lead to a row from now on: of what is written, and of what is reserved."""
    named = {(alias, r.placed.type): r.placed.row for r in reversed(new) for alias in r.placed.draft.aliases}
    named |= {(name, r.placed.type): r.placed.row for r in new for name in r.placed.draft.names}
    named |= {(reserved.name, reserved.type): reserved.row for reserved in resolution.reserved}
    return [(lookups.source_tokens[name], type_, row) for (name, type_), row in named.items() if lookups.row_named(name, type_) is None]


def _conditions_decided_on(resolution: Resolution, lookups: Lookups) -> dict[bytes, frozenset[int]]:
    """By token, what each condition was decided on that led to a write: it must be so still when that is written."""
    tokens = [lookups.identifier_tokens[p.draft.condition] for p in resolution.placed if p.draft.condition and not p.is_settled]
    return {token: frozenset(lookups.identifier_rows.get(token, ())) for token in tokens}
