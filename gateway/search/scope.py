"""Where a reader's search looks, and for what: parameters resolved against the index.

Looking only where something may be permitted keeps pages full and tells nobody how much else there is. It is no permission: each record
that is found is still decided on by itself.
"""

from collections.abc import Iterable, Sequence

from sqlalchemy import Connection

from fhir_adapters.issue import InvalidInput
from gateway.consent.decision import Grant
from gateway.disclosure import REFUSAL
from gateway.errors import Forbidden
from gateway.identity.literal import parse_literal
from gateway.index import archives, consents, sources
from gateway.index import search as index_search
from gateway.index.parties import Party, PartyRole
from gateway.index.resource_types import NUMBER_OF, PATIENT
from gateway.index.search import MAX_ROWS, Filters, Reach, Time
from gateway.index.tokens import CodeTokens
from gateway.search.parse import Search, refused
from gateway.services import Services

MAX_ARCHIVES = 200  # that a search may go through when it names no patient


def resolve(services: Services, connection: Connection, reader: Party, purpose: str | None, search: Search) -> tuple[list[Reach], Filters]:
    """Where to look and what must hold there.

    Raises Forbidden where nothing could be permitted, whether or not it exists; InvalidInput (400) for what costs too much.
    """
    named = named_archives(services, connection, reader, search)
    grants = _grants(connection, reader, named, services.clock(), purpose) if purpose else []
    reaches = [*_own(connection, reader, named, search), *_granted(connection, grants, search)]
    if not reaches:
        raise Forbidden(REFUSAL)
    times = tuple(tuple(Time(*bound) for bound in group) for group in search.dates)
    coded = tuple(_coded(services, connection, reaches, search)) if search.codes or search.categories else ()
    return reaches, Filters(rows=_rows(services, connection, search), times=times, coded=coded, undated_too=search.undated_too)


def named_archives(services: Services, connection: Connection, reader: Party, search: Search) -> tuple[int, ...] | None:
    """The archives of the patients that the search names, None if it names none."""
    groups = [_joined(connection, {_archive(services, connection, reader, name) for name in group}) for group in search.patients]
    return tuple(sorted(set.intersection(*groups))) if groups else None


def _joined(connection: Connection, found: Iterable[int | None]) -> set[int]:
    """These archives and all that they are joined with."""
    groups = archives.groups_of(connection, {archive for archive in found if archive is not None})
    return {member for members in groups.values() for member in members}


def _archive(services: Services, connection: Connection, reader: Party, name: str) -> int | None:
    """By the gateway's id of the Patient, or by what the reader calls it; either alone or as a reference.

    An absolute URL is a name of its own: two servers may both have a `Patient/5`.
    """
    literal = parse_literal(name)
    if literal.type not in (None, "Patient"):
        return None
    row = services.ids.decode(literal.id)
    if row is None:
        called = literal.id if literal.base is None else f"{literal.base}/{literal.type}/{literal.id}"
        [token] = services.tokens.sources(reader.row, [called])
        row = sources.rows_by_source(connection, [token]).get(token, {}).get(PATIENT)
    return None if row is None else index_search.archive_of_patient(connection, row)


def _own(connection: Connection, reader: Party, named: tuple[int, ...] | None, search: Search) -> list[Reach]:
    types = _numbers(search.types)
    if reader.role is PartyRole.PATIENT:
        own = _joined(connection, [reader.archive])
        within = tuple(sorted(own if named is None else own.intersection(named)))
        return [Reach(types, within)] if within else []
    if named is None:
        # An institution always has a place of its own, be it empty; an agency only what it issued.
        has_own = reader.role is PartyRole.INSTITUTION or index_search.has_issued_in(connection, reader.row, None)
    else:
        has_own = bool(named) and index_search.has_issued_in(connection, reader.row, named)
    return [Reach(types, named, reader.row)] if has_own else []


def _grants(connection: Connection, reader: Party, named: tuple[int, ...] | None, now: float, purpose: str) -> list[Grant]:
    if named is None:
        named = tuple(index_search.archives_granted_to(connection, reader.row, MAX_ARCHIVES + 1))
        if len(named) > MAX_ARCHIVES:
            raise _too_costly("more than 200 patients have granted you something")
        named = tuple(_joined(connection, named))
    found = consents.grants_for(connection, reader.row, named)
    return [grant for grant in found if grant.is_in_force(now) and purpose in grant.purposes and "read" in grant.rights]


def _granted(connection: Connection, grants: Sequence[Grant], search: Search) -> list[Reach]:
    """One reach for all archives in which the same types were granted: a grant reaches what its archive is joined with."""
    groups = archives.groups_of(connection, {grant.archive for grant in grants})
    types_in: dict[int, set[str]] = {}
    for grant in grants:
        for archive in groups[grant.archive]:
            types_in.setdefault(archive, set()).update(grant.types.intersection(search.types) if search.types else grant.types)
    archives_with: dict[frozenset[str], list[int]] = {}
    for archive, types in types_in.items():
        archives_with.setdefault(frozenset(types), []).append(archive)
    return [Reach(_numbers(sorted(types)), tuple(sorted(found))) for types, found in archives_with.items() if types]


def _numbers(types: Iterable[str]) -> tuple[int, ...]:
    return tuple(NUMBER_OF[name] for name in types)


def _rows(services: Services, connection: Connection, search: Search) -> frozenset[int] | None:
    """The rows that `_id` and `identifier` lead to, None where neither is given."""
    groups = [{row for id_ in group if (row := services.ids.decode(id_)) is not None} for group in search.ids]
    for group in search.identifiers:
        tokens = [services.tokens.identifier(type_, system or None, value) for type_ in search.types for system, value in group]
        groups.append(set().union(*sources.rows_by_identifier(connection, tokens).values()))
    if not groups:
        return None
    rows = frozenset(set.intersection(*groups))
    if len(rows) > MAX_ROWS:
        raise refused("too-costly", "too many resources have this identifier")
    return rows


def _coded(services: Services, connection: Connection, reaches: Sequence[Reach], search: Search) -> Iterable[tuple[tuple[int, int], ...]]:
    """For each group of codes, every archive with its own token of each: tokens of two archives do not compare."""
    within: set[int] = set()
    for reach in reaches:
        if reach.archives is None:
            raise _too_costly("codes and categories are looked up within the archive of one patient")
        within.update(reach.archives)
    known = archives.by_rows(connection, within)
    tokens = {
        row: CodeTokens(services.keyring.archive_secret(archive.keys).token_key)
        for row, archive in known.items()
        if not archive.keys.is_erased
    }
    for group in search.codes:
        yield tuple((row, token) for row, made in tokens.items() for token in made.of((), group))
    for group in search.categories:
        yield tuple((row, token) for row, made in tokens.items() for _, code in group for token in made.of((code,), ()))


def _too_costly(why: str) -> InvalidInput:
    return refused("too-costly", f"{why}: name the patient (patient=ID)")
