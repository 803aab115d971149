"""What an audit reads of a ledger's recorded rows: a stretch of blocks in a few statements, where a statement a block would take longer
than replaying it.

Headers say which rows are asked for, and an audit cannot believe them: what the stretch at hand does not hold is read by itself.
"""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Row, select

from chain import queries
from chain.block import MAX_BLOCK_TRANSACTIONS
from chain.execution import transaction_id
from chain.keys import ChainId
from chain.tables import block, log_entry

STRETCH_BLOCKS = 256
STRETCH_TRANSACTIONS = 1000

IndexRows = dict[bytes, tuple[int, bytes | None]]  # transaction id -> log index, party


class StoredRows:
    """The rows of blocks, log and index, read ahead from the height that is asked for; it holds one stretch at a time."""

    def __init__(self, connection: Connection, chain_id: ChainId) -> None:
        self.connection, self._chain_id = connection, chain_id
        self._end = 0  # the height after the stretch
        self._blocks: dict[int, Row[Any]] = {}
        self._entries: dict[int, bytes] = {}
        self._log = range(0)  # the log indices that `_entries` was read for
        self._index: IndexRows = {}
        self._indexed: frozenset[bytes] = frozenset()  # the transaction ids that `_index` was read for

    def block(self, height: int) -> Row[Any] | None:
        """The row of a block. Heights are asked for in ascending order."""
        if height >= self._end:
            self._read(height)
        return self._blocks.get(height)

    def transactions(self, start: int, end: int) -> list[bytes]:
        """The transactions with log indices from `start` up to, not including, `end`; empty where one is missing."""
        is_here = self._log.start <= start and end <= self._log.stop
        entries = self._entries if is_here else self._read_entries(range(start, end))
        return [entries.get(index, b"") for index in range(start, end)]

    def index_rows(self, tx_ids: Sequence[bytes]) -> IndexRows:
        """For each of the transactions that the index has: its log index and its party."""
        if not self._indexed.issuperset(tx_ids):
            return queries.index_rows(self.connection, tx_ids)
        return {tx_id: self._index[tx_id] for tx_id in tx_ids if tx_id in self._index}

    def _read(self, height: int) -> None:
        query = select(block).where(block.c.height >= height, block.c.height < height + STRETCH_BLOCKS).order_by(block.c.height)
        start = self.connection.scalar(select(block.c.log_size).where(block.c.height == height - 1)) or 0
        self._blocks, self._end, end = {}, height + STRETCH_BLOCKS, start
        for row in self.connection.execute(query):
            if self._blocks and row.log_size > start + STRETCH_TRANSACTIONS:
                self._end = row.height
                break
            self._blocks[row.height] = row
            end = row.log_size
        self._log = range(start, min(end, start + STRETCH_TRANSACTIONS + MAX_BLOCK_TRANSACTIONS))
        self._entries = self._read_entries(self._log)
        ids = [transaction_id(raw, self._chain_id) for raw in self._entries.values()]
        self._indexed = frozenset(tx_id for tx_id in ids if tx_id is not None)
        self._index = queries.index_rows(self.connection, list(self._indexed))

    def _read_entries(self, wanted: range) -> dict[int, bytes]:
        query = select(log_entry).where(log_entry.c.log_index >= wanted.start, log_entry.c.log_index < wanted.stop)
        return {row.log_index: row.raw for row in self.connection.execute(query)}
