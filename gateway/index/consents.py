"""What patients granted and revoked, and the one commit sequence that grants, revokes and accesses share (docs/design/access.md).

A number of the sequence is taken in the unit that writes what it numbers. Units are written one at a time, so the numbers ascend in commit
order without gaps; the outbox has the same order, which the ledger insists on.
"""

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, cast

from sqlalchemy import ColumnElement, Connection, Select, bindparam, func, insert, or_, select, update

from chain.encoding import EncodingError, decode, encode
from gateway.consent.decision import Grant, Right
from gateway.consent.provision import WITHHELD, Provision
from gateway.consent.terms import Terms
from gateway.index import row_numbers, row_tags
from gateway.index import schema as t
from gateway.index.resource_types import PATIENT
from gateway.index.rows import KeyedQuery
from gateway.vault.errors import SealBroken

_SEQUENCE = "commit"
_NUMBERS = (t.consent_grant.c.sequence, t.consent_grant.c.revoked_at_sequence, t.access.c.sequence)


@dataclass(frozen=True, slots=True)
class ConsentRow:
    """A grant with what its Consent is written from. Times in milliseconds since the epoch."""

    grant: Grant
    granted_ms: int
    revoked_ms: int | None
    sealed: bytes  # the Consent, for the keyring
    content: bytes  # its blind token


def next_sequence(connection: Connection) -> int:
    """The next number of the commit sequence, from 1 on; `connection` must write, in the same unit, what it numbers."""
    return row_numbers.take(connection, _SEQUENCE, 1)[0]


def grants_for(connection: Connection, grantee: int, archives: Collection[int]) -> list[Grant]:
    """All that was ever granted to the party of that row on these archives, ended and revoked ones included: `decide` tells."""
    return [_row(connection, row).grant for row in _GRANTED.among(connection, archives, grantee=grantee)]


def visible(
    connection: Connection,
    party: int,
    own: Collection[int],
    *,
    after: int,
    limit: int,
    archives: Collection[int] | None = None,
    rows: Collection[int] | None = None,
    grantees: Collection[str] | None = None,
) -> list[ConsentRow]:
    """The first `limit` grants above number `after` that the party of that row was given, or that are on its `own` archives; ended, too.

    Each of the others narrows it: to grants on some archives, of some rows, to some client ids.
    """
    grant = t.consent_grant.c
    query = _query().where(_concerns(party, own), grant.sequence > after).order_by(grant.sequence).limit(limit)
    for column, wanted in ((grant.archive, archives), (grant.row, rows), (t.party.c.client_id, grantees)):
        if wanted is not None:
            query = query.where(column.in_(sorted(wanted)))
    return [_row(connection, row) for row in connection.execute(query)]


def find_visible(connection: Connection, row: int, party: int, own: Collection[int]) -> ConsentRow | None:
    """The grant of that row number, if the party was given it or it is on one of its `own` archives."""
    found = connection.execute(_query().where(t.consent_grant.c.row == row, _concerns(party, own))).one_or_none()
    return None if found is None else _row(connection, found)


def last_number(connection: Connection) -> int:
    """The last number of the commit sequence that was taken, 0 before the first."""
    return (connection.scalar(select(t.sequence.c.next).where(t.sequence.c.name == _SEQUENCE)) or 1) - 1


def highest_number(connection: Connection) -> int:
    """The highest number that a grant, a revoke or an access stands under, 0 where there is none."""
    return max(connection.scalar(select(func.max(column))) or 0 for column in _NUMBERS)


def next_number_used(connection: Connection, after: int) -> int | None:
    """The lowest number above `after` that a grant, a revoke or an access stands under."""
    found = (connection.scalar(select(func.min(column)).where(column > after)) for column in _NUMBERS)
    return min((number for number in found if number is not None), default=None)


def numbered(connection: Connection, numbers: range) -> Iterator[ConsentRow]:
    """What was granted or revoked under one of these numbers, in no order that counts."""
    for column in (t.consent_grant.c.sequence, t.consent_grant.c.revoked_at_sequence):
        found = connection.execute(_query().where(column.between(numbers.start, numbers.stop - 1)))
        yield from (_row(connection, row) for row in found)


def by_rows(connection: Connection, rows: Iterable[int]) -> Iterator[ConsentRow]:
    """The grants with these row numbers."""
    return (_row(connection, row) for row in _BY_ROW.among(connection, set(rows)))


def by_archives(connection: Connection, archives: Iterable[int]) -> Iterator[ConsentRow]:
    """All that was ever granted on these archives, in no order that counts."""
    return (_row(connection, row) for row in _BY_ARCHIVE.among(connection, set(archives)))


def by_grant_ids(connection: Connection, grant_ids: Iterable[bytes]) -> Iterator[ConsentRow]:
    """The grants that the ledger knows by these ids."""
    return (_row(connection, row) for row in _BY_GRANT_ID.among(connection, set(grant_ids)))


def find(connection: Connection, row: int, archives: Collection[int]) -> ConsentRow | None:
    """The grant of that row number if it is on one of these archives."""
    found = connection.execute(_query().where(t.consent_grant.c.row == row, t.consent_grant.c.archive.in_(archives))).one_or_none()
    return None if found is None else _row(connection, found)


def find_equal(connection: Connection, archive: int, content: bytes) -> ConsentRow | None:
    """A grant on `archive` that stands and was made by a Consent of the same content token."""
    is_it = (t.consent_grant.c.archive == archive, t.consent_grant.c.content == content, t.consent_grant.c.revoked_at_sequence.is_(None))
    found = connection.execute(_query().where(*is_it).order_by(t.consent_grant.c.sequence).limit(1)).one_or_none()
    return None if found is None else _row(connection, found)


def write(
    connection: Connection,
    *,
    row: int,
    grant_id: bytes,
    archive: int,
    grantee: int,
    terms: Terms,
    sequence: int,
    granted_ms: int,
    content: bytes,
    sealed: bytes,
    exceptions: bytes | None,
) -> ConsentRow:
    """Write a grant; its CONSENT_GRANT belongs into the same unit. `exceptions`: those of `terms`, sealed; None where there are none."""
    connection.execute(
        insert(t.consent_grant).values(
            row=row,
            grant_id=grant_id,
            archive=archive,
            grantee=grantee,
            types=" ".join(sorted(terms.types)),
            purposes=" ".join(sorted(terms.purposes)),
            rights=" ".join(sorted(terms.rights)),
            starts_at=terms.starts_at,
            ends_at=terms.ends_at,
            sequence=sequence,
            granted_ms=granted_ms,
            content=content,
            sealed=sealed,
            exceptions_sealed=exceptions,
        )
    )
    return cast(ConsentRow, find(connection, row, (archive,)))


def standing(connection: Connection, archive: int) -> list[ConsentRow]:
    """What was granted on an archive and not revoked, oldest first."""
    stands = (t.consent_grant.c.archive == archive, t.consent_grant.c.revoked_at_sequence.is_(None))
    return [_row(connection, found) for found in connection.execute(_query().where(*stands).order_by(t.consent_grant.c.row))]


def revoke(connection: Connection, row: int, sequence: int, now_ms: int) -> None:
    """End a grant that stands; its CONSENT_REVOKE belongs into the same unit."""
    stands = (t.consent_grant.c.row == row, t.consent_grant.c.revoked_at_sequence.is_(None))
    connection.execute(update(t.consent_grant).where(*stands).values(revoked_at_sequence=sequence, revoked_ms=now_ms))


def patient_resource(connection: Connection, archive: int) -> int | None:
    """The row of the first live Patient resource of an archive."""
    is_live = (t.resource.c.archive == archive, t.resource.c.type == PATIENT, t.resource.c.version > 0, t.resource.c.deleted == 0)
    return connection.scalar(select(t.resource.c.row).where(*is_live).order_by(t.resource.c.row).limit(1))


def _concerns(party: int, own: Collection[int]) -> ColumnElement[bool]:
    given = t.consent_grant.c.grantee == party
    return or_(given, t.consent_grant.c.archive.in_(own)) if own else given


def _query() -> Select[Any]:
    joined = t.consent_grant.join(t.party, t.party.c.row == t.consent_grant.c.grantee)
    return select(t.consent_grant, t.party.c.client_id).select_from(joined)


def _row(connection: Connection, found: Any) -> ConsentRow:
    grant = Grant(
        id=found.grant_id,
        row=found.row,
        archive=found.archive,
        grantee=found.client_id,
        types=frozenset(found.types.split()),
        purposes=frozenset(found.purposes.split()),
        rights=frozenset(cast(list[Right], found.rights.split())),
        starts_at=found.starts_at,
        ends_at=found.ends_at,
        sequence=found.sequence,
        revoked_at_sequence=found.revoked_at_sequence,
        exceptions=() if found.exceptions_sealed is None else _opened(connection, found),
    )
    return ConsentRow(grant, found.granted_ms, found.revoked_ms, found.sealed, found.content)


def exceptions_context(row: int) -> str:
    """What the exceptions of the grant of that row are sealed for."""
    return f"consent-exceptions/{row}"


def pack_exceptions(exceptions: Iterable[Provision]) -> bytes:
    """What is sealed: they may have codes, which stand nowhere in clear."""
    return encode([one.to_map() for one in exceptions])


def _opened(connection: Connection, found: Any) -> tuple[Provision, ...]:
    """The exceptions of a grant; what was altered withholds all."""
    try:
        packed = row_tags.keyring_of(connection).open(exceptions_context(found.row), found.exceptions_sealed)
        return tuple(Provision.from_map(one) for one in decode(packed))
    except (SealBroken, EncodingError, LookupError, TypeError, ValueError, AttributeError):
        return WITHHELD


_BY_ROW = KeyedQuery(_query(), t.consent_grant.c.row)
_BY_ARCHIVE = KeyedQuery(_query(), t.consent_grant.c.archive)
_BY_GRANT_ID = KeyedQuery(_query(), t.consent_grant.c.grant_id)
_GRANTED = KeyedQuery(_query().where(t.consent_grant.c.grantee == bindparam("grantee")), t.consent_grant.c.archive)
