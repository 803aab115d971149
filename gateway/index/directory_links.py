"""Which resources of an institution's directory were referred to by a record that a party was given (docs/adr/0020-directory-links.md).

A row says: the party of that row was given, by that grant or as its own, a record that refers to this resource. It permits as long as the
grant does. It has a tag, so that nobody else can permit anything by a row.
"""

from collections.abc import Collection, Iterable

from sqlalchemy import Connection, bindparam, select

from gateway.index import schema as t
from gateway.index.row_tags import TaggedTable
from gateway.index.rows import KeyedQuery, insert_rows

OWN = 0  # in place of a grant's row: the record was the party's own

_IN_DIRECTORIES = KeyedQuery(
    select(t.resource.c.row, t.resource.c.issuer)
    .select_from(t.resource.join(t.archive, t.archive.c.row == t.resource.c.archive))
    .where(t.archive.c.directory_of.is_not(None), t.resource.c.version > 0, t.resource.c.deleted == 0),
    t.resource.c.row,
)
_LINKS = KeyedQuery(select(t.directory_link), t.directory_link.c.resource)
_LINKED = KeyedQuery(select(t.directory_link).where(t.directory_link.c.party == bindparam("party")), t.directory_link.c.resource)
TAGGED = TaggedTable(t.directory_link, ("resource", "party", "consent"))


def in_directories(connection: Connection, rows: Collection[int]) -> dict[int, int]:
    """Those of `rows` that are live resources of an institution's directory, with the row of the institution that issued each."""
    return {found.row: found.issuer for found in _IN_DIRECTORIES.among(connection, rows)}


def every(connection: Connection, rows: Collection[int]) -> dict[int, set[tuple[int, int]]]:
    """By resource among `rows`: (party, grant or OWN) for each party that was given a record which refers to it; altered rows left out."""
    found: dict[int, set[tuple[int, int]]] = {}
    for link in _LINKS.among(connection, rows):
        if TAGGED.is_own(connection, link):
            found.setdefault(link.resource, set()).add((link.party, link.consent))
    return found


def linked(connection: Connection, party: int, rows: Collection[int]) -> dict[int, set[int]]:
    """The same for one party: the grants, or OWN. Resources without any are left out. RowAltered for a row that is not as it was written.

    The database picks the party out: a practitioner of a large hospital has links of all who ever read there.
    """
    found: dict[int, set[int]] = {}
    for row in _LINKED.among(connection, rows, party=party):
        TAGGED.check(connection, row)
        found.setdefault(row.resource, set()).add(row.consent)
    return found


def add(connection: Connection, party: int, links: Iterable[tuple[int, int]]) -> None:
    """Write (resource, grant or OWN) pairs of the party; those that are there stay."""
    wanted = set(links)
    known = linked(connection, party, {resource for resource, _ in wanted})
    new = sorted(link for link in wanted if link[1] not in known.get(link[0], ()))
    rows = [(resource, party, consent) for resource, consent in new]
    insert_rows(connection, t.directory_link, [(*row, TAGGED.tag_of(connection, row)) for row in rows])
