"""The access log: what left by a grant, and the batches in which it goes to the ledger (docs/design/access.md).

A batch is a run of accesses without a grant or revoke among them: who takes a number for one of these closes the batch first, in the same
unit, so that the outbox has the order of the numbers.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from itertools import accumulate, chain, pairwise
from typing import Any, Literal

from sqlalchemy import ColumnElement, Connection, and_, or_, select, update

from chain.access_batch import AccessBatchBody
from chain.encoding import EncodingError, decode, encode
from chain.merkle import root
from gateway.index import outbox
from gateway.index import schema as t
from gateway.index.rows import insert_rows

Prefix = Literal["eq", "ge", "le", "gt", "lt"]
_IS_OPEN = t.access.c.batch.is_(None)
_HIGHEST = (1 << 63) - 1  # what a row number can be


@dataclass(frozen=True, slots=True)
class AccessRow:
    """One access, with what its grant and its reader are known by. `accessed_ms` in milliseconds since the epoch."""

    sequence: int
    party: int  # row of who read
    client_id: str
    name: str
    purpose: str
    consent: int  # row of the grant
    grant_id: bytes
    archive: int  # of the grant
    accessed_ms: int
    leaf: bytes
    records: list[tuple[int, int]]  # (row, version), ascending
    batch: int | None  # last number of its batch, None while that is open


def write(
    connection: Connection,
    *,
    sequence: int,
    party: int,
    purpose: str,
    consent: int,
    accessed_ms: int,
    leaf: bytes,
    records: Iterable[tuple[int, int]],
) -> None:
    """Log one access. `party` and `consent` are rows, `records` (row, version) of what leaves; `sequence` was taken in the same unit."""
    insert_rows(connection, t.access, [(sequence, party, purpose, consent, accessed_ms, leaf, pack(records), None)])


def find(connection: Connection, sequence: int) -> AccessRow | None:
    """The access of that number."""
    found = connection.execute(_ROWS.where(t.access.c.sequence == sequence)).one_or_none()
    return None if found is None else _row(found)


def of_archives(
    connection: Connection,
    archives: Collection[int],
    *,
    below: int,
    limit: int,
    times: Iterable[Iterable[tuple[Prefix, int, int]]] = (),
    sequences: Collection[int] | None = None,
) -> list[AccessRow]:
    """The last `limit` accesses by grants on these archives, descending, below number `below` if that is not 0.

    Of each group of `times` one must hold: how the second of the access lies to those from first to last.
    """
    granted = select(t.consent_grant.c.row).where(t.consent_grant.c.archive.in_(archives))
    query = _ROWS.where(t.access.c.consent.in_(granted)).order_by(t.access.c.sequence.desc()).limit(limit)
    if below:
        query = query.where(t.access.c.sequence < below)
    if sequences is not None:
        query = query.where(t.access.c.sequence.in_(sorted(sequences)))
    for group in times:
        query = query.where(or_(*(_lies(*time) for time in group)))
    return [_row(row) for row in connection.execute(query)]


def _lies(prefix: Prefix, first: int, last: int) -> ColumnElement[bool]:
    at, start, end = t.access.c.accessed_ms, first * 1000, (last + 1) * 1000
    match prefix:
        case "eq":
            return and_(at >= start, at < end)
        case "ge":
            return at >= start
        case "gt":
            return at >= end
        case "le":
            return at < end
        case "lt":
            return at < start


def leaves_of_batch(connection: Connection, last: int) -> list[tuple[int, bytes]]:
    """(number, leaf) of all accesses in the batch that ends with number `last`, ascending."""
    # A batch is a run, so the key finds it; nothing lies between it and the one before but grants and revokes.
    before = select(t.access.c.sequence).where(t.access.c.sequence < last, t.access.c.batch < last).order_by(t.access.c.sequence.desc())
    first = (connection.scalar(before.limit(1)) or 0) + 1
    inside = t.access.c.sequence.between(first, last)
    return [(row.sequence, row.leaf) for row in connection.execute(_LEAVES.where(inside))]


def is_batch_open(connection: Connection) -> bool:
    """Whether an access waits for its batch."""
    return connection.scalar(select(t.access.c.sequence).where(_IS_OPEN).limit(1)) is not None


def close_batch(connection: Connection, now: int) -> int:
    """Put the accesses that are in no batch yet into one, and its ACCESS_BATCH into the outbox; `now` in seconds.

    Returns how many they were. Without any nothing is written.
    """
    found = connection.execute(select(t.access.c.sequence, t.access.c.leaf).where(_IS_OPEN).order_by(t.access.c.sequence)).all()
    if found:
        first, last = found[0].sequence, found[-1].sequence
        outbox.add(connection, AccessBatchBody(root([row.leaf for row in found]), len(found), first, last), now)
        connection.execute(update(t.access).where(_IS_OPEN).values(batch=last))
    return len(found)


def pack(records: Iterable[tuple[int, int]]) -> bytes:
    """(row, version) pairs in a few bytes each: CBOR of [row, version, ...], ascending, each row but the first as its distance."""
    ordered = sorted(records)
    distances = (after - before for before, after in pairwise([0, *(row for row, _ in ordered)]))
    return encode(list(chain.from_iterable(zip(distances, (version for _, version in ordered), strict=True))))


def unpack(packed: bytes) -> list[tuple[int, int]]:
    """The (row, version) pairs of `pack`, ascending. EncodingError for what is none."""
    numbers = decode(packed)
    if type(numbers) is not list or len(numbers) % 2 or not all(type(number) is int and number >= 0 for number in numbers):
        raise EncodingError("the records of an access are no list of pairs of numbers")
    rows = list(accumulate(numbers[::2]))
    if rows and rows[-1] > _HIGHEST:
        raise EncodingError("the records of an access have row numbers that none has")
    return list(zip(rows, numbers[1::2], strict=True))


_LEAVES = select(t.access.c.sequence, t.access.c.leaf).order_by(t.access.c.sequence)
_ROWS = select(t.access, t.consent_grant.c.grant_id, t.consent_grant.c.archive, t.party.c.client_id, t.party.c.name).select_from(
    t.access.join(t.consent_grant, t.consent_grant.c.row == t.access.c.consent).join(t.party, t.party.c.row == t.access.c.party)
)


def _row(found: Any) -> AccessRow:
    return AccessRow(**(found._asdict() | {"records": unpack(found.records)}))
