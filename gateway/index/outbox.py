"""What is to be recorded on the ledger: bodies of transactions, written with the rows they speak of, signed and submitted by the jobs.

Rows leave only after the ledger's pool has them, so they are submitted at least once; the pool drops an id that it has seen.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, bindparam, delete, func, insert, select, update

from chain.encoding import encode
from chain.transactions import Body
from gateway.index.schema import outbox


@dataclass(frozen=True, slots=True)
class OutboxRow:
    id: int  # ascending in commit order, never given twice
    kind: int  # chain.transactions.Kind
    body: bytes  # CBOR of the transaction's body map


def add(connection: Connection, body: Body, now: int) -> None:
    """Put `body` in line; `now` in seconds. It counts when `connection` commits."""
    connection.execute(insert(outbox).values(kind=int(body.kind), body=encode(body.to_map()), created_at=now, attempts=0))


def pending(connection: Connection, after: int = 0, limit: int = 1000) -> list[OutboxRow]:
    """The first `limit` rows whose id is above `after`, in order of id."""
    rows = connection.execute(
        select(outbox.c.id, outbox.c.kind, outbox.c.body).where(outbox.c.id > after).order_by(outbox.c.id).limit(limit)
    )
    return [OutboxRow(*row) for row in rows]


def done(connection: Connection, ids: Sequence[int]) -> None:
    """Forget rows that the ledger's pool has."""
    if ids:
        connection.execute(delete(outbox).where(outbox.c.id == bindparam("done")), [{"done": id_} for id_ in ids])


def attempted(connection: Connection, ids: Sequence[int]) -> None:
    """Count a try that failed, so that a row which never gets through shows."""
    connection.execute(update(outbox).where(outbox.c.id.in_(ids)).values(attempts=outbox.c.attempts + 1))


def size(connection: Connection) -> int:
    """How many rows wait."""
    return connection.scalar(select(func.count()).select_from(outbox)) or 0
