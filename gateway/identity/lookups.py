"""All that the index knows of the names in one submission, read in one go, so that deciding needs no database."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection

from gateway.errors import NotSupported
from gateway.identity.condition import Condition, parse_condition
from gateway.identity.draft import Draft
from gateway.identity.literal import Literal, parse_literal
from gateway.index import archives, records, sources
from gateway.index.archives import Archive
from gateway.index.records import ResourceState
from gateway.index.resource_types import NUMBER_OF
from gateway.index.tokens import BlindTokens
from gateway.vault.record_id import RecordIds


@dataclass(frozen=True, slots=True)
class Reference:
    """A literal of some draft. At most one of `row` (it is a gateway id), `condition` and `name` (what the sender calls it) is given."""

    literal: Literal
    row: int | None = None
    condition: Condition | None = None
    name: str | None = None


@dataclass(frozen=True, slots=True)
class Lookups:
    """What was asked of the index, and what it answered."""

    party: int  # row of the sender
    references: dict[str, Reference]
    source_tokens: dict[str, bytes]  # by name
    source_rows: dict[bytes, dict[int, int]]  # by token: type number -> row of the sender's resource
    identifier_tokens: dict[Condition, bytes]
    identifier_rows: dict[bytes, set[int]]  # by token: rows of the sender's resources
    states: dict[int, ResourceState]  # of all those rows
    archives: dict[int, Archive]  # of all those states and in `also_of`
    also_of: Mapping[tuple[int, int], Collection[int]]  # where something is to be deleted, by (row, version): rows of further archives
    directory: Archive | None  # the sender's, once it has one
    addressed: dict[str, int]  # rows of the gateway ids that PUT and DELETE name, whoever's they are, if anyone's
    earlier_rows: Mapping[int, int]  # by draft's index, where the same submission put it before

    def row_named(self, name: str, type_: int) -> int | None:
        """The sender's resource of this type that it calls `name`, reserved ones included."""
        return self.source_rows.get(self.source_tokens[name], {}).get(type_)

    def rows_meeting(self, condition: Condition) -> set[int]:
        """The sender's live resources that have the identifier."""
        type_ = NUMBER_OF[condition.type]
        found = (self.states.get(row) for row in self.identifier_rows.get(self.identifier_tokens[condition], ()))
        return {s.row for s in found if s and s.issuer == self.party and s.type == type_ and s.version and not s.deleted}

    def may_write(self, row: int, type_: int) -> bool:
        """Whether a gateway id in an address is one the sender may write to: a resource it issued, or something it referred to."""
        state = self.states.get(row)
        return state is not None and state.type == type_ and state.issuer == self.party

    def may_refer_to(self, row: int, type_: int) -> bool:
        """Whether a gateway id in a reference is one the sender may use: a resource of its own, or anyone's directory."""
        state = self.states.get(row)
        if state is None or state.type != type_ or not state.version:
            return False
        archive = None if state.archive is None else self.archives[state.archive]
        return state.issuer == self.party or (archive is not None and archive.directory_of is not None)


def look_up(
    connection: Connection, tokens: BlindTokens, ids: RecordIds, party: int, drafts: Sequence[Draft], earlier_rows: Mapping[int, int]
) -> Lookups:
    """Ask for every name, identifier and id that `drafts` use. `connection` is one snapshot."""
    own_bases = {parse_literal(draft.full_url).base for draft in drafts if draft.full_url and draft.full_url.startswith("http")}
    texts = dict.fromkeys(text for draft in drafts for text in draft.resource.references)
    references = {text: _reference(text, ids, own_bases) for text in texts}
    names = list(dict.fromkeys([r.name for r in references.values() if r.name] + [n for d in drafts for n in (*d.names, *d.aliases)]))
    source_tokens = dict(zip(names, tokens.sources(party, names), strict=True))
    conditions = {r.condition for r in references.values() if r.condition} | {d.condition for d in drafts if d.condition}
    identifier_tokens = {condition: tokens.identifier(*condition) for condition in conditions}
    source_rows = sources.rows_by_source(connection, source_tokens.values())
    identifier_rows = sources.own_rows_by_identifier(connection, party, identifier_tokens.values())
    rows = {row for by_type in source_rows.values() for row in by_type.values()}
    targets = (draft.interaction.id or draft.resource.source_id for draft in drafts if draft.interaction.method != "POST")
    addressed = {target: row for target in targets if target is not None and (row := ids.decode(target)) is not None}
    rows.update((r.row for r in references.values() if r.row is not None), addressed.values(), earlier_rows.values())
    # Others' that merely have an identifier cost no more than none, and row 0 is asked for none: the time would tell who is known.
    states = records.states(connection, rows.union({0}, *identifier_rows.values()))
    shared = records.also_archives(connection, states) if any(draft.deletes for draft in drafts) else {}
    known = archives.by_rows(connection, {s.archive for s in states.values() if s.archive is not None}.union(*shared.values()))
    directory = archives.directory_of(connection, party)
    if directory is not None and directory.row is not None:
        directory = known.setdefault(directory.row, directory)  # one object an archive: it gets one bundle
    return Lookups(
        party,
        references,
        source_tokens,
        source_rows,
        identifier_tokens,
        identifier_rows,
        states,
        known,
        shared,
        directory,
        addressed,
        earlier_rows,
    )


def _reference(text: str, ids: RecordIds, own_bases: set[str | None]) -> Reference:
    literal = parse_literal(text)
    if literal.kind == "urn":
        return Reference(literal, name=literal.id)
    if literal.type not in NUMBER_OF:
        return Reference(literal)
    if literal.kind == "conditional":
        try:
            return Reference(literal, condition=parse_condition(literal.type, literal.id))
        except NotSupported:
            return Reference(literal)
    row = ids.decode(literal.id)
    if row is not None:
        return Reference(literal, row=row)
    if literal.kind == "absolute" and literal.base not in own_bases:
        return Reference(literal, name=f"{literal.base}/{literal.type}/{literal.id}")  # another server's: its ids are not the sender's
    return Reference(literal, name=literal.id)
