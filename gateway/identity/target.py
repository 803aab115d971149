"""What a write is aimed at: the row that its address, its names or its condition lead to, and whether it may go there. Pure."""

from gateway.identity.draft import Draft
from gateway.identity.interaction import ANY_VERSION
from gateway.identity.lookups import Lookups
from gateway.index.records import ResourceState

Fault = tuple[str, str]  # issue code, words


def is_live(state: ResourceState | None) -> bool:
    """Whether the resource has come and was not deleted."""
    return state is not None and state.version > 0 and not state.deleted


def row_of(draft: Draft, type_: int, lookups: Lookups) -> int | None:
    """The row of what the draft names, None where it names nothing that is known; a condition that was met comes before this."""
    if draft.interaction.id in lookups.addressed:
        return lookups.addressed[draft.interaction.id]
    for name in draft.names:
        row = lookups.row_named(name, type_)
        if row is not None:
            return row
    for alias in draft.aliases:
        row = lookups.row_named(alias, type_)
        if row is not None and not lookups.states[row].version:
            return row
    return lookups.earlier_rows.get(draft.index)


def fault_of_target(draft: Draft, type_: int, found: int | None, row: int | None, lookups: Lookups) -> Fault | None:
    """What is wrong with writing to `row`; `found` is what met the condition, if anything did."""
    aim = draft.interaction
    if aim.id in lookups.addressed and (row is None or not lookups.may_write(row, type_)):
        return "forbidden", "no such record, or no permission to write it"
    if aim.method == "PUT" and aim.condition is not None and not _may_be_called(draft, type_, found, lookups):
        return "invalid", "the id in the resource is that of another one than the search in the address finds"
    if aim.if_match is not None and not _matches(None if row is None else lookups.states.get(row), aim.if_match):
        return "conflict", "If-Match names another version than the current one"
    return None


def _may_be_called(draft: Draft, type_: int, found: int | None, lookups: Lookups) -> bool:
    """Whether the id in a conditionally updated resource fits: it is what the search found, or it leads to nothing that is there."""
    id_ = draft.resource.source_id
    if id_ is None:
        return True
    if id_ in lookups.addressed:
        return lookups.addressed[id_] == found
    named = lookups.row_named(id_, type_)
    return named in (None, found) or (found is None and not is_live(lookups.states.get(named)))


def _matches(state: ResourceState | None, if_match: int) -> bool:
    """A tombstone can be matched as a version, but not as something that is there."""
    if if_match == ANY_VERSION:
        return is_live(state)
    return state is not None and state.version == if_match
