"""Containers and the bundles in them: written with a submission, walked by audits."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, func, select

from gateway.index import schema as t
from gateway.index.database import Index
from gateway.index.rows import KeyedQuery, Statement, insert_rows
from gateway.vault.container import container_name


@dataclass(frozen=True, slots=True)
class ContainerRow:
    """A container that was acknowledged. Rows ascend in commit order."""

    row: int
    digest: bytes  # SHA-256 of the object
    size: int
    root: bytes
    bundles: int
    leaves: int
    created_at: int

    @property
    def name(self) -> str:
        return container_name(self.digest)


@dataclass(frozen=True, slots=True)
class BundleRow:
    row: int
    container: int
    ordinal: int
    offset: int
    length: int
    archive: int
    number: int
    leaves: int


_QUERY = select(t.container)
_BY_DIGEST = KeyedQuery(_QUERY, t.container.c.digest)
_LAST_ROWS = Statement(
    select(
        select(func.max(t.container.c.row)).scalar_subquery().label("container"),
        select(func.max(t.bundle.c.row)).scalar_subquery().label("bundle"),
    )
)


def after(connection: Connection, row: int, limit: int) -> list[ContainerRow]:
    """The first `limit` containers whose row number is above `row`, in order."""
    found = connection.execute(_QUERY.where(t.container.c.row > row).order_by(t.container.c.row).limit(limit))
    return [ContainerRow(*values) for values in found]


def batches(index: Index, size: int = 1000) -> Iterator[list[ContainerRow]]:
    """All containers in order, `size` at a time, each batch read in a unit of its own: memory stays flat, no reader is held open."""
    row = 0
    while True:
        with index.reading() as connection:
            batch = after(connection, row, size)
        if not batch:
            return
        yield batch
        row = batch[-1].row


def by_digest(connection: Connection, digest: bytes) -> ContainerRow | None:
    found = next(_BY_DIGEST.tuples_among(connection, (digest,)), None)
    return None if found is None else ContainerRow(*found)


def write(connection: Connection, container: ContainerRow) -> None:
    """Insert a container; its bundles follow in the same unit."""
    insert_rows(
        connection,
        t.container,
        [
            (
                container.row,
                container.digest,
                container.size,
                container.root,
                container.bundles,
                container.leaves,
                container.created_at,
            )
        ],
    )


def write_bundles(connection: Connection, bundles: Sequence[BundleRow]) -> None:
    """Insert the bundles of a container."""
    insert_rows(connection, t.bundle, [(b.row, b.container, b.ordinal, b.offset, b.length, b.archive, b.number, b.leaves) for b in bundles])


def next_rows(connection: Connection) -> tuple[int, int]:
    """The row numbers that the next container and the next bundle get; they hold within the unit that writes them."""
    last = _LAST_ROWS.first(connection)
    return (last.container or 0) + 1, (last.bundle or 0) + 1
