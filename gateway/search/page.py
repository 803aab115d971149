"""One page of a search: found by the index, opened, compared where tokens cannot tell, released."""

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from fhir_adapters import parse_resource
from gateway import directory, disclosure
from gateway.access_log import LoggedAccess
from gateway.disclosure import Disclosed
from gateway.index import records
from gateway.index import search as index_search
from gateway.index.parties import Party
from gateway.search.opener import RecordOpener
from gateway.search.parse import Search, Token
from gateway.search.scope import resolve
from gateway.services import Services

MAX_BYTES = 16 << 20  # of records, after which a page ends early
MAX_LOOKED_AT = 5000  # records, likewise
_SPARE = 11  # looked up beyond what a page still lacks: one tells that there is more, the others stand in for what drops out


@dataclass(frozen=True, slots=True)
class Page:
    """`next_after`: the row to go on after; None if nothing is left. A page may have fewer records than asked for, and yet a next one.

    `accesses`: how it was logged. `included`: what the records refer to of an institution's directory, beyond the count.
    """

    records: list[Disclosed]
    next_after: int | None
    accesses: Sequence[LoggedAccess] = ()
    included: Sequence[Disclosed] = ()


def find_page(services: Services, reader: Party, purpose: str | None, search: Search, after: int = 0) -> Page:
    """The first `search.count` records above row `after` that `reader` may have for `purpose`.

    What leads to no row is looked for like what leads to others': an answer that came sooner would tell who is known here by an identifier.
    Raises as `resolve`, `RecordOpener.body` and `release_page`.
    """
    with services.index.reading() as connection:
        reaches, filters = resolve(services, connection, reader, purpose, search)
    opener, kept = RecordOpener(services), list[Disclosed]()
    looked_at = size = 0
    going_on: int | None = after
    while going_on is not None and looked_at < MAX_LOOKED_AT and size < MAX_BYTES:
        with services.index.reading() as connection:
            limit = search.count - len(kept) + _SPARE
            rows, following = index_search.rows_after(connection, reaches, filters, going_on, limit)
            located = records.current(connection, rows)
            allowed = disclosure.candidates(connection, reader, purpose, located, services.clock())
        ids = services.ids.encode(at.row for at, _ in allowed)
        for (at, settled), id_ in zip(allowed, ids, strict=True):
            if len(kept) == search.count or size >= MAX_BYTES:
                return _released(services, reader, purpose, search, kept, opener, going_on)
            body = opener.body(at)
            going_on = at.row
            record = Disclosed(at, id_, body)
            if _holds(search, body) and (settled or _may_leave(services, reader, purpose, record)):
                kept.append(record)
                size += len(body)
        looked_at += len(rows)
        going_on = following
        if len(rows) < limit:  # the end, or as far as the index looks in one go
            break
    return _released(services, reader, purpose, search, kept, opener, going_on)


def _may_leave(services: Services, reader: Party, purpose: str | None, record: Disclosed) -> bool:
    """What a grant makes an exception of takes no place on a page: it would show by its absence."""
    with services.index.reading() as connection:
        return disclosure.permitted(connection, reader, purpose, record, services.clock())


def _released(
    services: Services,
    reader: Party,
    purpose: str | None,
    search: Search,
    kept: list[Disclosed],
    opener: RecordOpener,
    next_after: int | None,
) -> Page:
    included = _referred_to(services, search, kept, opener) if search.with_directory else []
    released = disclosure.release_page(services, reader, purpose, [*kept, *included])
    rows = {record.location.row for record in included}
    matches, others = ([r for r in released.records if (r.location.row in rows) is is_other] for is_other in (False, True))
    return Page(matches, next_after, released.accesses, others)


def _referred_to(services: Services, search: Search, kept: list[Disclosed], opener: RecordOpener) -> list[Disclosed]:
    """What of the institutions' directories the records of a page refer to, as far as its type was asked for."""
    with services.index.reading() as connection:
        rows = set().union(*directory.referred_to(services, connection, [(r.location, r.body) for r in kept]).values())
        located = [at for at in records.current(connection, rows) if not search.types or at.type in search.types]
    ids = services.ids.encode(at.row for at in located)
    return [Disclosed(at, id_, opener.body(at)) for at, id_ in zip(located, ids, strict=True)]


def _holds(search: Search, body: bytes) -> bool:
    """Whether the systems of codes and categories are those asked for: their tokens leave the system out."""
    codes = [group for group in search.codes if _names_system(group)]
    categories = [group for group in search.categories if _names_system(group)]
    if codes:
        found = parse_resource(body).index.codes
        if not all(any(_is_one(token, *coding) for token in group for coding in found) for group in codes):
            return False
    if categories:
        coded = _categories(body)
        return all(any(_is_one(token, *coding) for token in group for coding in coded) for group in categories)
    return True


def _names_system(group: tuple[Token, ...]) -> bool:
    return any(token.system is not None for token in group)


def _is_one(token: Token, system: str | None, code: str | None) -> bool:
    return token.code == code and token.system in (None, system or "")


class _Coding(msgspec.Struct):
    system: str | None = None
    code: str | None = None


class _Concept(msgspec.Struct):
    coding: list[_Coding] = []


class _Categorised(msgspec.Struct):
    category: list[_Concept | str] | _Concept | None = None


def _categories(body: bytes) -> list[tuple[str | None, str | None]]:
    """(system, code) of every category; a plain code (AllergyIntolerance) has no system in its text."""
    category = msgspec.json.decode(body, type=_Categorised).category
    found = [] if category is None else category if isinstance(category, list) else [category]
    return [
        (coding.system, coding.code)
        for concept in found
        for coding in ([_Coding(None, concept)] if isinstance(concept, str) else concept.coding)
    ]
