"""What the database says of a run of the commit sequence, read in one snapshot: accesses, consents, and the places of the records named."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, NamedTuple

from sqlalchemy import Connection, Select, Table, join, select

from chain.encoding import EncodingError
from gateway.index import accesses, archives, consents, directory_links, memberships, persons, records
from gateway.index import schema as t
from gateway.index.consents import ConsentRow
from gateway.index.database import Index
from gateway.index.memberships import Memberships
from gateway.index.resource_types import NAME_OF
from gateway.index.rows import KeyedQuery
from gateway.vault.keyring import SealedArchive

Version = tuple[int, int]  # row and version of a resource


class LoggedRow(NamedTuple):
    """An access as it is stored, whatever became of what it points to. `party` and `consent` are rows; see `accesses.unpack`."""

    sequence: int
    party: int
    purpose: str
    consent: int
    accessed_ms: int
    leaf: bytes
    records: bytes
    batch: int | None


class Place(NamedTuple):
    """Whose a version is: the archive of its bundle and those of further patients; `type` is "" for a number that no type has.

    Of what belongs to no patient: to which parties, by which grants, a record was given that refers to it (both are rows).
    """

    type: str
    archive: int
    also: frozenset[int]
    issuer: int  # party row
    linked_by: frozenset[tuple[int, int]] = frozenset()


class Reader(NamedTuple):
    """A party as far as the database is asked; what it is, the ledger says."""

    row: int
    client_id: str
    archive: int | None


class StoredArchive(NamedTuple):
    """An archive as it is stored, believed by nobody: what its secret does not open shows."""

    row: int
    joined_to: int | None  # the root of its group
    key_id: bytes
    suite: int
    public_key: bytes
    sealed_seed: bytes | None
    sealed_secret: bytes

    @property
    def keys(self) -> SealedArchive:
        return SealedArchive(*self[2:])


@dataclass(frozen=True, slots=True)
class StoredConduct:
    """Accesses ascending; consents by the number of the grant, by that of the revoke, by grant id, by row; readers and archives by row."""

    accesses: Sequence[LoggedRow]
    granted: Mapping[int, ConsentRow]
    revoked: Mapping[int, ConsentRow]
    by_grant_id: Mapping[bytes, ConsentRow]
    consents: Mapping[int, ConsentRow]
    readers: Mapping[int, Reader]
    archives: Mapping[int, StoredArchive]
    memberships: Memberships  # of the archives of all grants: how they were joined, and when
    places: Mapping[Version, Place]
    parted: Mapping[int, Sequence[tuple[int, int]]]  # by archive: each that was split from it, and when, in seconds
    shared: Mapping[int, Sequence[ConsentRow]]  # by archive, where a record that was read is about several patients: all they ever granted


def read_conduct(index: Index, numbers: range, grant_ids: Collection[bytes]) -> StoredConduct:
    """All that the database has under `numbers`, and the consents that the ledger knows by `grant_ids`. Unavailable."""
    with index.reading() as connection:
        logged = _logged(connection, numbers)
        numbered = list(consents.numbered(connection, numbers))
        named = list(consents.by_grant_ids(connection, grant_ids))
        relied_on = list(consents.by_rows(connection, {access.consent for access in logged}))
        places = _places(connection, {version for access in logged for version in _records(access)})
        shared = _shared(connection, places)
        every = {one.grant.row: one for one in chain(numbered, named, relied_on, *shared.values())}
        archives = {found.row: found for found in _archives(connection, _BY_ROW, {consent.grant.archive for consent in every.values()})}
        return StoredConduct(
            accesses=logged,
            granted={one.grant.sequence: one for one in numbered if one.grant.sequence in numbers},
            revoked={number: one for one in numbered if (number := one.grant.revoked_at_sequence or 0) in numbers},
            by_grant_id={one.grant.id: one for one in named},
            consents=every,
            readers=_readers(connection, {access.party for access in logged}),
            archives=archives,
            memberships=memberships.of(connection, archives),
            parted=persons.parted(connection, archives),
            places=places,
            shared=shared,
        )


def _logged(connection: Connection, numbers: range) -> list[LoggedRow]:
    inside = t.access.c.sequence.between(numbers.start, numbers.stop - 1)
    columns = (t.access.c[name] for name in LoggedRow._fields)
    return [LoggedRow._make(row) for row in connection.execute(select(*columns).where(inside).order_by(t.access.c.sequence))]


_ARCHIVES = select(*(t.archive.c[name] for name in StoredArchive._fields))
_BY_ROW, _BY_ROOT = KeyedQuery(_ARCHIVES, t.archive.c.row), KeyedQuery(_ARCHIVES, t.archive.c.joined_to)


def _archives(connection: Connection, query: KeyedQuery, keys: Collection[int]) -> list[StoredArchive]:
    return [StoredArchive._make(row) for row in query.among(connection, keys)]


def _groups(connection: Connection, archives: Mapping[int, StoredArchive]) -> dict[int, frozenset[int]]:
    roots = {row: archive.joined_to or row for row, archive in archives.items()}
    members = {root: {root} for root in roots.values()}
    for archive in _archives(connection, _BY_ROOT, members):
        members[archive.joined_to or archive.row].add(archive.row)
    return {row: frozenset(members[root]) for row, root in roots.items()}


def _records(access: LoggedRow) -> list[Version]:
    try:
        return accesses.unpack(access.records)
    except EncodingError:
        return []


_READERS = KeyedQuery(select(*(t.party.c[name] for name in Reader._fields)), t.party.c.row)


def _readers(connection: Connection, rows: Collection[int]) -> dict[int, Reader]:
    return {found.row: Reader._make(found) for found in _READERS.among(connection, rows)}


def _placed(version: Table, origin: Any) -> Select[Any]:
    columns = (version.c.row, version.c.version, t.resource.c.type, t.bundle.c.archive, version.c.issuer)
    return select(*columns).select_from(origin.join(t.bundle, t.bundle.c.row == version.c.bundle))


_CURRENT = KeyedQuery(_placed(t.resource, t.resource), t.resource.c.row)
_EARLIER = KeyedQuery(_placed(t.history, join(t.history, t.resource, t.history.c.row == t.resource.c.row)), t.history.c.row)


def _places(connection: Connection, versions: Collection[Version]) -> dict[Version, Place]:
    """Each version where it lies: a record's present archive is not what an earlier version's was."""
    found = {(row.row, row.version): row for row in _CURRENT.among(connection, {row for row, _ in versions})}
    missing = {row for row, version in versions if (row, version) not in found}
    found |= {(row.row, row.version): row for row in _EARLIER.among(connection, missing)}
    also = records.also_archives(connection, {row for row, _ in versions})
    wanted = ((version, found[version]) for version in versions if version in found)
    links = _links(connection, {row: place.archive for (row, _), place in found.items()})
    return {
        at: Place(NAME_OF.get(row.type, ""), row.archive, frozenset(also.get(at, ())), row.issuer, links.get(at[0], frozenset()))
        for at, row in wanted
    }


def _links(connection: Connection, archive_of: Mapping[int, int]) -> dict[int, frozenset[tuple[int, int]]]:
    """By resource, of those that lie in an institution's directory."""
    known = archives.by_rows(connection, set(archive_of.values()))
    rows = {row for row, archive in archive_of.items() if archive in known and known[archive].directory_of is not None}
    return {row: frozenset(links) for row, links in directory_links.every(connection, rows).items()}


def _shared(connection: Connection, places: Mapping[Version, Place]) -> dict[int, list[ConsentRow]]:
    concerned = {archive for place in places.values() if place.also for archive in (place.archive, *place.also)}
    found: dict[int, list[ConsentRow]] = {}
    known = {row.row: row for row in _archives(connection, _BY_ROW, concerned)}
    joined = concerned.union(*_groups(connection, known).values())
    for row in consents.by_archives(connection, joined):
        found.setdefault(row.grant.archive, []).append(row)
    return found
