"""Who is who: the row of each draft, and what each reference points to (docs/adr/0009-identity.md). Pure; `Lookups` is all it knows."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from fhir_adapters import Issue
from gateway.identity.condition import Condition
from gateway.identity.draft import Draft
from gateway.identity.interaction import ORDER
from gateway.identity.lookups import Lookups, Reference
from gateway.identity.target import fault_of_target, is_live, row_of
from gateway.index.records import ResourceState
from gateway.index.resource_types import NAME_OF, NUMBER_OF


@dataclass(slots=True, eq=False)
class Placed:
    """A draft with its row. `state` is what the row held, None where the row is new.

    `is_settled`: nothing is to be written. If-None-Exist found it there, or a DELETE finds nothing; then `row` may be NOWHERE.
    """

    draft: Draft
    type: int
    row: int
    state: ResourceState | None
    is_settled: bool = False


@dataclass(frozen=True, slots=True)
class Reserved:
    """A row for what is referred to and has not come."""

    row: int
    type: int
    name: str


@dataclass(slots=True)
class Resolution:
    """`targets` has the row and type of every reference that leads to a resource; a literal that leads elsewhere stays as it is."""

    placed: list[Placed] = field(default_factory=list)
    reserved: list[Reserved] = field(default_factory=list)
    targets: dict[str, tuple[int, int]] = field(default_factory=dict)
    faults: dict[int, list[Issue]] = field(default_factory=dict)  # by draft's index


def resolve(drafts: Sequence[Draft], lookups: Lookups, take_rows: Callable[[int], Sequence[int]]) -> Resolution:
    """Give every draft a row and every reference its target. With faults, the rest of the result is not to be used.

    Drafts are placed in the order in which a transaction's entries take effect, whatever their order in it.
    """
    resolver = _Resolver(lookups)
    for draft in sorted(drafts, key=lambda draft: ORDER.index(draft.interaction.method)):
        resolver.place(draft)
    written = [placed.draft for placed in resolver.resolution.placed if not placed.is_settled]  # what stays refers to nothing anew
    resolver.follow(dict.fromkeys(text for draft in written for text in draft.resource.references))
    resolver.report(written)
    if not resolver.resolution.faults:
        resolver.number(take_rows)
    return resolver.resolution


NOWHERE = 0  # no resource has this row number
_UNNUMBERED = -1


class _Resolver:
    def __init__(self, lookups: Lookups) -> None:
        self._lookups = lookups
        self.resolution = Resolution()
        self._by_url: dict[str, Placed] = {}
        self._by_name: dict[tuple[int, str], Placed] = {}
        self._by_row: dict[int, Placed] = {}
        self._by_condition: dict[Condition, list[Placed]] = {}
        self._conditions: set[Condition] = set()
        self._deleted: set[tuple[int, str]] = set()  # by name
        self._to: dict[str, Placed | tuple[int, str] | int] = {}  # text -> draft, name to reserve, or row
        self._bad: dict[str, tuple[str, str]] = {}  # text -> issue code, words

    # --- drafts

    def place(self, draft: Draft) -> None:
        type_ = NUMBER_OF[draft.interaction.type]
        met = self._meeting(draft.condition) if draft.condition else set()
        if len(met) > 1:
            self._fault(draft, "multiple-matches", "the condition matches several resources")
            return
        found = next(iter(met), None)
        row = row_of(draft, type_, self._lookups) if found is None else found
        fault = fault_of_target(draft, type_, found, row, self._lookups)
        if fault is not None:
            self._fault(draft, *fault)
            return
        placed = Placed(draft, type_, _UNNUMBERED, None, is_settled=found is not None and draft.interaction.method == "POST")
        if row is not None:
            placed.row, placed.state = row, self._lookups.states[row]
        if draft.deletes and not is_live(placed.state):
            placed.is_settled = True
            placed.row = NOWHERE if placed.state is None else placed.row
        if self._is_taken(placed):
            self._fault(draft, "duplicate", "another entry is the same resource")
            return
        self._remember(placed)

    def _meeting(self, condition: Condition) -> set[int]:
        """What meets the condition once this submission's deletions have taken effect."""
        met = self._lookups.rows_meeting(condition)
        return {row for row in met if not (row in self._by_row and self._by_row[row].draft.deletes)}

    def _is_taken(self, placed: Placed) -> bool:
        draft = placed.draft
        return (
            (draft.full_url is not None and draft.full_url in self._by_url)
            or any((placed.type, name) in self._by_name or (placed.type, name) in self._deleted for name in draft.names)
            or (placed.row in self._by_row and placed.row != NOWHERE)
            or (draft.condition is not None and not draft.deletes and self._is_met_here(draft, draft.condition))
        )

    def _is_met_here(self, draft: Draft, condition: Condition) -> bool:
        """Whether another entry is what the condition is about: it has the same one, or an update's search would find what it writes."""
        if condition in self._conditions:
            return True
        return draft.interaction.method == "PUT" and any(not p.is_settled for p in self._by_condition.get(condition, ()))

    def _remember(self, placed: Placed) -> None:
        draft = placed.draft
        self.resolution.placed.append(placed)
        if placed.row != _UNNUMBERED:
            self._by_row[placed.row] = placed
        if draft.deletes:
            self._deleted.update((placed.type, name) for name in draft.names)
            return
        if draft.condition is not None:
            self._conditions.add(draft.condition)
        if draft.full_url:
            self._by_url[draft.full_url] = placed
        for name in (*draft.names, *draft.aliases):
            self._by_name.setdefault((placed.type, name), placed)
        if self._lookups.identifier_tokens:
            for system, value in draft.resource.index.identifiers:
                if value:
                    self._by_condition.setdefault(Condition(draft.resource.type, system, value), []).append(placed)

    # --- references

    def follow(self, texts: Iterable[str]) -> None:
        for text in texts:
            in_bundle = self._by_url.get(text)
            if in_bundle is not None:
                self._to[text] = in_bundle
            else:
                self._follow(text, self._lookups.references[text])

    def _follow(self, text: str, reference: Reference) -> None:
        literal = reference.literal
        if reference.condition is not None:
            self._follow_condition(text, reference.condition)
        elif literal.kind == "conditional":
            self._bad[text] = ("not-supported", "a conditional reference must be Type?identifier=system|value")
        elif literal.kind == "urn":
            self._follow_urn(text, literal.id)
        elif reference.row is not None:
            written = self._by_row.get(reference.row)
            type_ = NUMBER_OF[literal.type or ""]
            if (written is not None and written.type == type_) or self._lookups.may_refer_to(reference.row, type_):
                self._to[text] = reference.row
            else:
                self._bad[text] = ("not-found", "a reference names no resource that this sender may refer to")
        elif reference.name is not None:
            key = (NUMBER_OF[literal.type or ""], reference.name)
            row = self._lookups.row_named(reference.name, key[0])
            self._to[text] = self._by_name.get(key) or (key if row is None else row)

    def _follow_urn(self, text: str, name: str) -> None:
        rows = set(self._lookups.source_rows.get(self._lookups.source_tokens[name], {}).values())
        if len(rows) == 1:
            self._to[text] = rows.pop()
        elif text.startswith("urn:uuid:"):
            self._bad[text] = ("not-found", "a reference by urn:uuid names no entry of this Bundle and none that came before")

    def _follow_condition(self, text: str, condition: Condition) -> None:
        rows = {row for row in self._lookups.rows_meeting(condition) if row not in self._by_row or self._by_row[row].is_settled}
        new = [placed for placed in self._by_condition.get(condition, ()) if not placed.is_settled]
        if len(rows) + len(new) == 1:
            self._to[text] = new[0] if new else rows.pop()
        elif new or rows:
            self._bad[text] = ("multiple-matches", "a conditional reference matches several resources")
        else:
            self._bad[text] = ("not-found", "a conditional reference matches no resource")

    def report(self, drafts: Iterable[Draft]) -> None:
        if not self._bad:
            return
        for draft in drafts:
            for text in draft.resource.references:
                if text in self._bad:
                    self._fault(draft, *self._bad[text])

    # --- numbers

    def number(self, take_rows: Callable[[int], Sequence[int]]) -> None:
        new = [placed for placed in self.resolution.placed if placed.row == _UNNUMBERED]
        wanted = dict.fromkeys(target for target in self._to.values() if isinstance(target, tuple))
        rows = take_rows(len(new) + len(wanted))
        for placed, row in zip(new, rows, strict=False):
            placed.row = row
        reserved = {key: Reserved(row, *key) for key, row in zip(wanted, rows[len(new) :], strict=True)}
        self.resolution.reserved.extend(reserved.values())
        for text, target in self._to.items():
            if isinstance(target, Placed):
                self.resolution.targets[text] = (target.row, target.type)
            elif isinstance(target, int):
                self.resolution.targets[text] = (target, self._lookups.states[target].type)
            else:
                self.resolution.targets[text] = (reserved[target].row, target[0])

    def _fault(self, draft: Draft, code: str, words: str) -> None:
        self.resolution.faults.setdefault(draft.index, []).append(Issue(code, words, draft.path))


def rewritten(resolution: Resolution, lookups: Lookups, id_of: dict[int, str]) -> dict[str, str]:
    """What each reference reads in the standard record: `Type/id`, with the version where it named one of the gateway's."""
    rewrites = {}
    for text, (row, type_) in resolution.targets.items():
        reference = lookups.references[text]
        version = reference.literal.version if reference.row is not None else None
        rewrites[text] = f"{NAME_OF[type_]}/{id_of[row]}" + (f"/_history/{version}" if version else "")
    return rewrites
