"""Row numbers of resources, taken a block at a time: an id is needed before its row is written, and a number a commit would be slow.

A process that stops leaves the rest of its block unused. Gaps mean nothing.
"""

import threading
from collections.abc import Iterator
from itertools import islice

from sqlalchemy import Connection, text

from gateway.index.database import Index
from gateway.index.rows import Statement

BLOCK = 4096
_TAKE = Statement(
    text(
        "INSERT INTO sequence (name, next) VALUES (:name, :count + 1) "
        "ON CONFLICT (name) DO UPDATE SET next = sequence.next + :count RETURNING next"
    )
)


def take(connection: Connection, name: str, count: int) -> range:
    """The next `count` numbers of the sequence `name`, from 1 on; they are given back if the unit of `connection` is not committed."""
    [(end,)] = _TAKE.rows(connection, name=name, count=count)
    return range(end - count, end)


class RowNumbers:
    """The numbers of this process; safe among its threads. Made after the fork."""

    def __init__(self, index: Index, name: str = "resource") -> None:
        self._index, self._name = index, name
        self._lock = threading.Lock()
        self._free: Iterator[int] = iter(())

    def take(self, count: int) -> list[int]:
        """`count` numbers that nobody else has, ascending, and consecutive unless a block ends among them.

        Unavailable if a new block cannot be had.
        """
        with self._lock:
            taken = list(islice(self._free, count))
            missing = count - len(taken)
            if missing > 0:
                block = self._block(max(BLOCK, missing))
                taken += block[:missing]
                self._free = iter(block[missing:])
            return taken

    def _block(self, count: int) -> range:
        with self._index.atomic() as connection:
            return take(connection, self._name, count)
