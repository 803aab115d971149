"""What of institutions' directories is disclosed with the records that refer to it (docs/adr/0020-directory-links.md)."""

from collections.abc import Collection, Iterable, Sequence

from sqlalchemy import Connection

from gateway.directory_references import directory_references
from gateway.index import directory_links
from gateway.index.records import RecordLocation
from gateway.services import Services

Opened = tuple[RecordLocation, bytes]  # a record's place and its committed bytes


def referred_to(services: Services, connection: Connection, opened: Sequence[Opened]) -> dict[int, set[int]]:
    """By record's row: the rows of the directory resources to which the records of patients among these refer, of the same issuer.

    Of the same issuer, so that nobody opens another's directory by a reference of its own; from patients' records alone, so that one
    reference leads to one resource and not through a whole directory.
    """
    rows = {at.row: _rows_referred_to(services, body) for at, body in opened}
    if not any(rows.values()):
        return {}
    issuers = directory_links.in_directories(connection, set(rows).union(*rows.values()))
    found: dict[int, set[int]] = {}
    for at, _ in opened:
        if at.row not in issuers:
            found.setdefault(at.row, set()).update(row for row in rows[at.row] if issuers.get(row) == at.issuer)
    return found


def new_links(
    services: Services, connection: Connection, party: int, giving: Iterable[tuple[Opened, Collection[int]]]
) -> set[tuple[int, int]]:
    """(resource, way) for what is referred to by records that the party is given, each with its ways (grants, or OWN), and was not yet."""
    given = [(opened, ways) for opened, ways in giving if ways]
    targets = referred_to(services, connection, [opened for opened, _ in given]) if given else {}
    links = {(row, way) for (at, _), ways in given for row in targets.get(at.row, ()) for way in ways}
    known = directory_links.linked(connection, party, {row for row, _ in links}) if links else {}
    return {(row, way) for row, way in links if way not in known.get(row, ())}


def _rows_referred_to(services: Services, body: bytes) -> set[int]:
    return {row for id_ in directory_references(body) if (row := services.ids.decode(id_)) is not None}
