"""Since when each archive belongs to which group (docs/design/identity.md): what was read is held against how archives were joined then.

A line is written where a link changes, with the number of the commit sequence that is given next: accesses from that number on come after.
An archive without lines stands by itself, as it does before its first.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import NamedTuple

import cbor2
from sqlalchemy import Connection, func, insert, select

from gateway.index import schema as t
from gateway.index.row_tags import TaggedTable
from gateway.index.rows import KeyedQuery

_COMMIT = "commit"  # the sequence of grants, revokes and accesses
_COLUMNS = (t.membership.c.row, t.membership.c.archive, t.membership.c.root, t.membership.c.sequence, t.membership.c.tag)
_BY_ARCHIVE = KeyedQuery(select(*_COLUMNS), t.membership.c.archive)
_BY_ROOT = KeyedQuery(select(*_COLUMNS), t.membership.c.root)


class Membership(NamedTuple):
    """From `sequence` on, `archive` belongs to the group of `root`, which may be itself. All but `sequence` are rows."""

    row: int
    archive: int
    root: int
    sequence: int


TAGGED = TaggedTable(t.membership, Membership._fields)


@dataclass(frozen=True, slots=True)
class Memberships:
    """By archive, its lines in their order; only those that are as this gateway wrote them."""

    lines: Mapping[int, tuple[Membership, ...]]

    def root_at(self, archive: int, sequence: int) -> int:
        """To whose group the archive belonged for what was committed under `sequence`."""
        before = [line.root for line in self.lines.get(archive, ()) if line.sequence <= sequence]
        return before[-1] if before else archive

    def joined_at(self, archive: int, sequence: int) -> frozenset[int]:
        """The archives that it was joined with then, and itself."""
        root = self.root_at(archive, sequence)
        return frozenset(other for other in {archive, root, *self.lines} if self.root_at(other, sequence) == root)

    def were_ever_joined(self, one: int, other: int) -> bool:
        return not self._roots(one).isdisjoint(self._roots(other))

    def _roots(self, archive: int) -> set[int]:
        return {archive, *(line.root for line in self.lines.get(archive, ()))}


def add(connection: Connection, archive: int, root: int) -> None:
    """The archive's link changes in this unit."""
    following = connection.scalar(select(t.sequence.c.next).where(t.sequence.c.name == _COMMIT))
    _write(connection, archive, root, following or 1)


def write_down(connection: Connection) -> None:
    """The joins that there are and that nobody wrote down: since ever, for all that is known."""
    written = select(t.membership.c.archive)
    joined = t.archive.c.joined_to.is_not(None) & t.archive.c.row.not_in(written)
    for row, root in connection.execute(select(t.archive.c.row, t.archive.c.joined_to).where(joined)).all():
        _write(connection, row, root, 0)


def of(connection: Connection, archives: Collection[int]) -> Memberships:
    """Of these archives and of all that were ever in a group with one of them."""
    own = list(_BY_ARCHIVE.among(connection, archives))
    met = list(_BY_ROOT.among(connection, {*archives, *(line.root for line in own)}))
    lines: dict[int, list[Membership]] = {}
    for found in sorted(_BY_ARCHIVE.among(connection, {line.archive for line in (*own, *met)}), key=lambda line: int(line.row)):
        if TAGGED.is_own(connection, found):
            lines.setdefault(found.archive, []).append(Membership(*found[:4]))
    return Memberships({archive: tuple(known) for archive, known in lines.items()})


def digest(connection: Connection, most: int | None = None) -> tuple[int, bytes]:
    """How many of the first `most` lines there are, and SHA-256 over what they say: no line changes, and none goes."""
    hashed, count = sha256(), 0
    for found in connection.execute(select(*_COLUMNS).order_by(t.membership.c.row).limit(most)):
        hashed.update(cbor2.dumps(tuple(found[:4])))
        count += 1
    return count, hashed.digest()


def contradicted(connection: Connection) -> list[int]:
    """The archives, by row, whose link is another than was last written down."""
    lines = connection.execute(select(t.membership.c.archive, t.membership.c.root).order_by(t.membership.c.row))
    last = {line.archive: line.root for line in lines}
    links = connection.execute(select(t.archive.c.row, t.archive.c.joined_to).order_by(t.archive.c.row))
    return [row for row, joined_to in links if last.get(row, row) != (joined_to or row)]


def _write(connection: Connection, archive: int, root: int, sequence: int) -> None:
    row = (connection.scalar(select(func.max(t.membership.c.row))) or 0) + 1
    line = Membership(row, archive, root, sequence)
    connection.execute(insert(t.membership).values(**line._asdict(), tag=TAGGED.tag_of(connection, line)))
