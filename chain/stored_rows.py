"""What an audit reads of a ledger's recorded rows: a stretch of blocks in a few statements, where a statement a block would take longer
than replaying it. Other processes can verify the signatures of the stretch that comes next meanwhile.

Headers say which rows are asked for, and an audit cannot believe them: what the stretch at hand does not hold is read by itself. Likewise
only signatures that hold are taken from other processes; the audit verifies the rest itself, and says what is wrong.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future
from typing import Any

from sqlalchemy import Connection, Row, select

from chain import queries
from chain.archive import Packs, read_transactions
from chain.delegate_set import DelegateSet
from chain.execution import transaction_id
from chain.findings import Finding
from chain.format import MOST
from chain.keys import ChainId
from chain.signatures import RecordedBlock, Signed, signed
from chain.tables import block

STRETCH_BLOCKS = 256
STRETCH_TRANSACTIONS = 1000

IndexRows = dict[bytes, list[int]]  # prefix of a transaction's identity -> log indices


class StoredRows:
    """The rows of blocks, log and index, read ahead. It holds a stretch, with an executor the next one, too."""

    def __init__(self, connection: Connection, chain_id: ChainId, packs: Packs, executor: Executor | None = None) -> None:
        """`faults` is what is found of `packs`, where old transactions lie. The executor's processes are sent what they verify, and need
        nothing else. Without one nothing is verified ahead.
        """
        self.connection, self._chain_id, self._executor = connection, chain_id, executor
        self._packs, self.faults = packs, list[Finding]()
        self.signed = Signed()
        self._stretch = self._next = _Stretch()
        self._index: IndexRows = {}
        self._indexed: frozenset[bytes] = frozenset()  # the transaction ids that `_index` was read for

    def block(self, height: int, sets: Sequence[DelegateSet]) -> Row[Any] | None:
        """The row of a block. Heights are asked for one after the other; `sets` are those that act at this one and in the next epoch."""
        if height >= self._stretch.end:
            self._go_on(height, sets)
        return self._stretch.blocks.get(height)

    def transactions(self, start: int, end: int) -> list[bytes]:
        """The transactions with log indices from `start` up to, not including, `end`; empty where one is missing."""
        log = self._stretch.log
        entries = self._stretch.entries if log.start <= start and end <= log.stop else self._entries(range(start, end))
        return [entries.get(index, b"") for index in range(start, end)]

    def index_rows(self, tx_ids: Sequence[bytes]) -> IndexRows:
        """See `chain.queries.index_rows`."""
        if not self._indexed.issuperset(tx_ids):
            return queries.index_rows(self.connection, tx_ids)
        prefixes = map(queries.tx_prefix, tx_ids)
        return {prefix: self._index[prefix] for prefix in prefixes if prefix in self._index}

    def _go_on(self, height: int, sets: Sequence[DelegateSet]) -> None:
        self._stretch = self._next if height < self._next.end else _Stretch.read(self.connection, height, self._entries)
        if self._executor is not None:
            if self._stretch.signed is None:
                self._verify_ahead(self._executor, self._stretch, sets)
            self._next = _Stretch.read(self.connection, self._stretch.end, self._entries)
            self._verify_ahead(self._executor, self._next, sets)
        self.signed = Signed() if self._stretch.signed is None else self._stretch.signed.result()
        ids = (transaction_id(raw, self._chain_id) for raw in self._stretch.entries.values())
        self._indexed = frozenset(tx_id for tx_id in ids if tx_id is not None)
        self._index = queries.index_rows(self.connection, list(self._indexed))

    def _entries(self, wanted: range) -> dict[int, bytes]:
        return read_transactions(self.connection, self._packs, wanted, self.faults)

    def _verify_ahead(self, executor: Executor, stretch: "_Stretch", sets: Sequence[DelegateSet]) -> None:
        blocks = [RecordedBlock(row.height, row.header, row.signature, row.votes) for row in stretch.blocks.values()]
        stretch.signed = executor.submit(signed, self._chain_id, blocks, stretch.entries, sets)


class _Stretch:
    """Blocks up to, not including, the height `end`, and their part of the log: as many as the two limits let in, at least one."""

    def __init__(self) -> None:
        self.end = 0
        self.blocks: dict[int, Row[Any]] = {}
        self.log = range(0)
        self.entries: dict[int, bytes] = {}
        self.signed: Future[Signed] | None = None

    @classmethod
    def read(cls, connection: Connection, first: int, entries: Callable[[range], dict[int, bytes]]) -> "_Stretch":
        """The stretch that begins with the height `first`."""
        read = cls()
        query = select(block).where(block.c.height >= first, block.c.height < first + STRETCH_BLOCKS).order_by(block.c.height)
        start = last = connection.scalar(select(block.c.log_size).where(block.c.height == first - 1)) or 0
        read.end = first + STRETCH_BLOCKS
        for row in connection.execute(query):
            if read.blocks and row.log_size > start + STRETCH_TRANSACTIONS:
                read.end = row.height
                break
            read.blocks[row.height] = row
            last = row.log_size
        read.log = range(start, min(last, start + STRETCH_TRANSACTIONS + MOST.transactions))
        read.entries = entries(read.log)
        return read
