"""A resource on its way in: valid, not yet placed. Its names are what its sender calls it (docs/adr/0009-identity.md)."""

from dataclasses import dataclass

from fhir_adapters import Resource
from gateway.identity.condition import Condition
from gateway.identity.interaction import Interaction
from gateway.identity.literal import parse_literal


@dataclass(frozen=True, slots=True, eq=False)
class Draft:
    """`index` counts the submission's entries from 0. `names` identify an earlier version of it; `aliases` only lead to it from now on.

    The resource of a DELETE is a tombstone.
    """

    index: int
    path: str  # where faults are reported, such as Bundle.entry[3].resource
    interaction: Interaction
    resource: Resource
    entry: bytes  # exact bytes as submitted
    full_url: str | None
    names: tuple[str, ...]
    aliases: tuple[str, ...]

    @property
    def condition(self) -> Condition | None:
        return self.interaction.condition

    @property
    def deletes(self) -> bool:
        return self.interaction.method == "DELETE"


def names_of(full_url: str | None, source_id: str | None, *, keeps_ids: bool) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The names and aliases of an entry.

    A POST creates, whatever id its resource carries, so that id is only an alias; the fullUrl identifies. In a release (`keeps_ids`) the
    resources exist already at their source, and the id identifies them too.
    """
    names: list[str] = []
    aliases: list[str] = []
    if full_url:
        literal = parse_literal(full_url)
        names.append(literal.id)
        if literal.kind == "absolute":
            aliases.append(full_url)
    if source_id and source_id not in names:
        (names if keeps_ids else aliases).append(source_id)
    return tuple(names), tuple(aliases)


def names_of_update(target: str | None, full_url: str | None, source_id: str | None) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The names and aliases of what a PUT writes: the id in its address identifies, and nothing else does.

    Where a search stands in the address (`target` is None), all that the sender calls it leads to it from now on.
    """
    names, aliases = names_of(full_url, source_id, keeps_ids=False)
    known = (*names, *aliases)
    return ((target,), tuple(name for name in known if name != target)) if target else ((), known)
