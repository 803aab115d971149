"""What is to be recorded on the ledger: bodies of transactions, written with the rows they speak of, signed and submitted by the jobs.

Rows leave only after the ledger's pool has them, so they are submitted at least once; the pool drops a source that it has seen. A row
that no ledger could take (its bytes are damaged) is set aside with the reason, so that those behind it go on: the dead letters.

What is to be signed has a tag (docs/adr/0037-signed-rows.md). It does not cover the row's id, which is not known when the row is written:
copies of a row, whatever their ids, are one source, and that counts once.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, and_, bindparam, delete, func, insert, select, update

from chain.encoding import encode
from chain.kinds import Kind
from chain.transactions import Body
from gateway.index.row_tags import TaggedTable
from gateway.index.rows import Statement
from gateway.index.schema import outbox

SIGNED = 0  # a row's kind: its body is a whole transaction, which a holder of stake or a delegate signed


@dataclass(frozen=True, slots=True)
class OutboxRow:
    id: int  # ascending in commit order, never given twice
    kind: int  # chain.transactions.Kind, or SIGNED
    body: bytes  # CBOR of the transaction's body map, or all of a signed one
    created_at: int  # seconds since the epoch
    tag: bytes | None  # None: a signed one, or nobody's

    def is_altered(self, connection: Connection) -> bool:
        """Whether the gateway is to sign what it did not write."""
        return self.kind != SIGNED and not TAGGED.is_own(connection, self)


_COLUMNS = tuple(outbox.c[name] for name in OutboxRow.__slots__)
TAGGED = TaggedTable(outbox, ("kind", "body", "created_at"), outbox.c.kind != SIGNED)  # of what the gateway is to sign


@dataclass(frozen=True, slots=True)
class DeadLetter:
    id: int
    kind: int
    created_at: int  # seconds since the epoch
    attempts: int
    reason: str


_OWN: dict[str, Any] = {
    "kind": bindparam("the_kind"),
    "body": bindparam("the_body"),
    "created_at": bindparam("now"),
    "tag": bindparam("the_tag"),
}
_ADD = Statement(insert(outbox).values(**_OWN, attempts=0))


def add(connection: Connection, body: Body, now: int) -> None:
    """Put `body` in line; `now` in seconds. It counts when `connection` commits."""
    kind, encoded = int(body.kind), encode(body.to_map())
    _ADD.run(connection, the_kind=kind, the_body=encoded, now=now, the_tag=TAGGED.tag_of(connection, (kind, encoded, now)))


def add_signed(connection: Connection, transaction: bytes, now: int) -> None:
    """Put a whole, signed transaction in line; `now` in seconds. It counts when `connection` commits."""
    _ADD.run(connection, the_kind=SIGNED, the_body=transaction, now=now, the_tag=None)


def signed(connection: Connection) -> list[bytes]:
    """The signed transactions in line, in order of id."""
    waiting = and_(outbox.c.kind == SIGNED, outbox.c.refused.is_(None))
    return list(connection.scalars(select(outbox.c.body).where(waiting).order_by(outbox.c.id)))


def held(connection: Connection, kind: Kind) -> list[bytes]:
    """The encoded bodies of one kind, in line or set aside, in order of id; one that was set aside may not decode."""
    return list(connection.scalars(select(outbox.c.body).where(outbox.c.kind == int(kind)).order_by(outbox.c.id)))


def pending(connection: Connection, after: int = 0, limit: int = 1000, *, from_outside: bool = False) -> list[OutboxRow]:
    """The first `limit` rows in line whose id is above `after`, in order of id: the gateway's own, or what others signed themselves."""
    kind = outbox.c.kind == SIGNED if from_outside else outbox.c.kind != SIGNED
    in_line = and_(outbox.c.id > after, outbox.c.refused.is_(None), kind)
    rows = connection.execute(select(*_COLUMNS).where(in_line).order_by(outbox.c.id).limit(limit))
    return [OutboxRow(*row) for row in rows]


def done(connection: Connection, ids: Sequence[int]) -> None:
    """Forget rows that the ledger's pool has."""
    if ids:
        connection.execute(delete(outbox).where(outbox.c.id == bindparam("done")), [{"done": id_} for id_ in ids])


def set_aside(connection: Connection, id_: int, reason: str) -> None:
    """Make the row a dead letter."""
    connection.execute(update(outbox).where(outbox.c.id == id_).values(refused=reason, attempts=outbox.c.attempts + 1))


def dead_letters(connection: Connection) -> list[DeadLetter]:
    """All that was set aside, in order of id."""
    columns = (outbox.c.id, outbox.c.kind, outbox.c.created_at, outbox.c.attempts, outbox.c.refused)
    return [DeadLetter(*row) for row in connection.execute(select(*columns).where(outbox.c.refused.is_not(None)).order_by(outbox.c.id))]


def retry(connection: Connection, ids: Sequence[int] | None = None) -> int:
    """Put dead letters, all or those of `ids`, in line again. Returns how many."""
    chosen = outbox.c.refused.is_not(None) if ids is None else and_(outbox.c.refused.is_not(None), outbox.c.id.in_(ids))
    return connection.execute(update(outbox).where(chosen).values(refused=None)).rowcount


def oldest(connection: Connection) -> int | None:
    """When the first of those that wait was put in line, in seconds; None where nothing waits."""
    since: int | None = connection.scalar(select(func.min(outbox.c.created_at)).where(outbox.c.refused.is_(None)))
    return since


def drop(connection: Connection, id_: int) -> bool:
    """Forget the dead letter of that id; whether there was one."""
    letter = and_(outbox.c.id == id_, outbox.c.refused.is_not(None))
    return connection.execute(delete(outbox).where(letter)).rowcount == 1


def size(connection: Connection) -> int:
    """How many rows wait in line."""
    return connection.scalar(select(func.count()).select_from(outbox).where(outbox.c.refused.is_(None))) or 0
