"""Restores from a backup (docs/adr/0032-backup.md): what may have been given out after the backup and must never be given out again.

A restored database goes on far above all that it can have numbered before it was lost, so the numbers between stand for nothing for ever.
Each row says which they are, with a tag: whoever can write the database could hide by one of their own what they took away.
"""

from dataclasses import astuple, dataclass, fields, replace

from sqlalchemy import Connection, func, insert, select, update

from gateway.index import row_numbers
from gateway.index import schema as t
from gateway.index.row_tags import TaggedTable

NUMBERS = 1 << 32  # skipped in the commit sequence and in each archive: years of writing at the speed of the fastest disk
IDS = 1 << 40  # skipped among the row numbers of resources, of which one request can take ten thousand


@dataclass(frozen=True, slots=True)
class Restore:
    """One restore; times in seconds since the epoch, sizes in transactions of the chain."""

    row: int
    restored_at: int
    made_at: int  # when the backup was made
    log_size: int  # of the chain in the backup
    ledger_size: int  # of the chain with which the gateway went on
    last_archive: int  # row of the last archive in the backup
    first_lost: int  # in the commit sequence
    last_lost: int
    accepted_at: int | None = None

    @property
    def recorded_later(self) -> range:
        """Log indices of what the chain has and the backup does not."""
        return range(self.log_size, self.ledger_size)

    @property
    def lost_numbers(self) -> range:
        """Numbers of the commit sequence under which nothing stands, or something that only the chain has."""
        return range(self.first_lost, self.last_lost + 1)


TAGGED = TaggedTable(t.restore, tuple(field.name for field in fields(Restore)))


@dataclass(frozen=True, slots=True)
class Losses:
    """What restores lost, to be asked by audits."""

    restores: tuple[Restore, ...] = ()

    @property
    def is_open(self) -> bool:
        """Whether the operator has not yet given up what came after a backup."""
        return any(restore.accepted_at is None for restore in self.restores)

    def has_recorded(self, log_index: int) -> bool:
        """Whether the chain recorded this after a backup that then was restored."""
        return any(log_index in restore.recorded_later for restore in self.restores)

    @property
    def last_number(self) -> int:
        """The last lost number of the commit sequence, 0 where none was lost."""
        return max((restore.last_lost for restore in self.restores), default=0)

    def numbers_in(self, numbers: range) -> list[range]:
        """What of a run of the commit sequence is lost, ascending."""
        runs = (restore.lost_numbers for restore in self.restores)
        within = (range(max(run.start, numbers.start), min(run.stop, numbers.stop)) for run in runs)
        return [run for run in within if run]

    def bundle_numbers(self, archive: int) -> int:
        """How many running numbers of the archive of this row were skipped."""
        return NUMBERS * sum(archive <= restore.last_archive for restore in self.restores)


NOTHING_LOST = Losses()


def losses(connection: Connection) -> Losses:
    """All restores, oldest first. RowAltered if one is not as this gateway wrote it."""
    found = []
    for values in connection.execute(select(t.restore).order_by(t.restore.c.row)):
        TAGGED.check(connection, values)
        found.append(Restore(*values[:-1]))
    return Losses(tuple(found))


def is_open(connection: Connection) -> bool:
    """Whether what came after a backup still waits for the operator's word; needs no keyring."""
    return connection.scalar(select(t.restore.c.row).where(t.restore.c.accepted_at.is_(None)).limit(1)) is not None


def begin(connection: Connection, *, made_at: int, log_size: int, ledger_size: int, last_sequence: int, now: int) -> Restore:
    """Skip all that may have been given out since the backup, and write down what. `last_sequence`: the chain's last of the gateway."""
    row_numbers.take(connection, "resource", IDS)
    first = row_numbers.take(connection, "commit", 1).start
    last = max(first, last_sequence) + NUMBERS
    row_numbers.take(connection, "commit", last - first)
    connection.execute(update(t.archive).values(next_number=t.archive.c.next_number + NUMBERS))
    last_archive = connection.scalar(select(func.max(t.archive.c.row))) or 0
    row = (connection.scalar(select(func.max(t.restore.c.row))) or 0) + 1
    restore = Restore(row, now, made_at, log_size, ledger_size, last_archive, first, last)
    connection.execute(insert(t.restore).values((*astuple(restore), TAGGED.tag_of(connection, astuple(restore)))))
    return restore


def accept(connection: Connection, now: int) -> int:
    """Give up what came after the backups. Returns of how many restores."""
    waiting = [restore for restore in losses(connection).restores if restore.accepted_at is None]
    for restore in waiting:
        accepted = replace(restore, accepted_at=now)
        chosen = update(t.restore).where(t.restore.c.row == restore.row)
        connection.execute(chosen.values(accepted_at=now, tag=TAGGED.tag_of(connection, astuple(accepted))))
    return len(waiting)
