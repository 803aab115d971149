"""One stored block after the other, executed again from the genesis: what an audit compares the stored rows with.

The replay believes the recorded bytes only as far as roots, signatures and votes confirm them. After a fault it goes on as if the place had
been whole, so that one altered place is named once and the next one is still found.
"""

from collections.abc import Collection, Iterator, Sequence
from typing import Any

from msgspec import Struct
from msgspec.structs import replace
from sqlalchemy import Connection, Row, func, select

from chain import queries
from chain.block import BlockInvalid, Header, bitmap
from chain.block_audit import BlockAudit
from chain.delegate_set import DelegateSet
from chain.encoding import EncodingError, decode
from chain.execution import Execution
from chain.findings import Code, Finding
from chain.format import MOST
from chain.log import TILE_WIDTH, LogHead, Tiles, extended_tiles
from chain.merkle import HASH_SIZE
from chain.refusal import TransactionRefused
from chain.schedule import epoch_seed_height, is_last_of_epoch
from chain.stake_entries import delegate_set_key
from chain.state import State, bucket_of
from chain.state_machine import StateMachine, Tip
from chain.stored_rows import StoredRows
from chain.tables import transaction_index


class Base(Struct, frozen=True):
    """Where a replay begins that does not begin at genesis: a block with its state, proven by other means."""

    tip: Tip
    entries: list[tuple[bytes, bytes]]  # in the order of keys
    tiles: Tiles  # the last of each level that is not full
    headers: dict[int, bytes]  # by height, of the blocks up to this one that a copy has besides


class Replay:
    """The chain as the recorded transactions make it. Its state and the last tile of each level are held in memory."""

    def __init__(self, machine: StateMachine, base: Base | None = None) -> None:
        self.machine = machine
        base = base or Base(machine.start(), machine.genesis_entries(), {}, {})
        self.tip = base.tip
        self._entries: dict[int, dict[bytes, bytes]] = {}  # bucket -> entries
        self.tiles: Tiles = dict(base.tiles)
        self.is_state_sound = True  # whether the replay's state can be the chain's; a refused transaction ends that
        self.indexed = 0  # rows of the transaction index that belong to replayed transactions
        self.party_rows: set[tuple[bytes, int]] = set()  # what the history of parties should be
        self.refused: set[int] = set()  # log indices of which it cannot be said
        self.last_state_root = b""  # by the last header that could be read
        self._write(base.entries)
        self._state = State(self._read, base.entries)
        self._is_log_sound = True
        self._absent = 0  # blocks just before the next that could not be read
        self._skipped: Tip | None = None  # what the last block of an epoch would have followed, where that could not be read
        self._is_hash_doubtful = self._are_votes_doubtful = self._is_seed_doubtful = False

    def block(self, rows: StoredRows, height: int) -> list[Finding]:
        """Replays the block of `height`, the next one: what is wrong with it, with its rows, or with the votes of the one before."""
        row = rows.block(height, (self.tip.acting, self.tip.following))
        try:
            header = None if row is None else Header.from_bytes(row.header)
        except BlockInvalid as error:
            return [self._skip(Code.BLOCK_INVALID, height, str(error))]
        if row is None or header is None:
            return [self._skip(Code.BLOCK_MISSING, height, "there is no such block")]
        audit = BlockAudit(f"height {height}", self.machine.genesis.chain_id)
        if height not in rows.signed.producers:
            audit.check_signature(row, header)
        self._resume(rows.connection, height, header)
        transactions = rows.transactions(self.tip.log.size, self._end(audit, row, header))
        self._check_header(audit, height, header, transactions)
        is_final = rows.signed.votes.get(height) == self.tip.acting.hash
        votes = queries.votes_from(row.votes) if is_final else audit.check_votes(self.tip.acting, row, header)
        execution = self._execute(audit, transactions, rows.signed.transactions)
        leaf_hashes = self._check_log(rows.connection, audit, header, execution)
        if self.is_state_sound and execution.overlay.root() != header.state_root:
            audit.find(Code.STATE_MISMATCH, "execution does not give the header's state root")
            self.is_state_sound = audit.has(Code.BLOCK_INVALID)  # an altered header says nothing about the replay
        self._check_tiles(rows.connection, audit, leaf_hashes)
        self.indexed += _check_index(rows, audit, self.tip.log.size, execution)
        for index, item in enumerate(execution.recorded, self.tip.log.size):
            if item.party is not None:
                self.party_rows.add((item.party, index))
            elif not item.tx_id:
                self.refused.add(index)
        self._write(execution.overlay.changes.items())
        self._state.commit(execution.overlay)
        self.last_state_root = header.state_root
        self._are_votes_doubtful = not votes
        self._is_hash_doubtful = audit.has(Code.BLOCK_INVALID)
        voters = bitmap(votes, len(self.tip.acting.keys))
        slot, version = (self.tip.slot, self.tip.version) if self._is_hash_doubtful else (header.slot, header.version)
        log = self.tip.log.extended(leaf_hashes)
        self.tip = replace(self.machine.advance(self.tip, header, log, voters, execution.elected), slot=slot, version=version)
        self._is_seed_doubtful = self._is_seed_doubtful and self.tip.seed != self.tip.hash
        return audit.found

    def state_nodes(self) -> dict[int, bytes]:
        """The nodes of the tree over the replay's state."""
        return self._state.nodes

    def state_rows(self) -> Iterator[tuple[int, bytes, bytes]]:
        """The replay's state as (bucket, entry key, value) in that order."""
        for bucket in sorted(self._entries):
            for key, value in sorted(self._entries[bucket].items()):
                yield bucket, key, value

    def _skip(self, code: Code, height: int, detail: str) -> Finding:
        """A block that cannot be read: its transactions are executed with the next block's."""
        self._absent += 1
        self._is_hash_doubtful = self._are_votes_doubtful = True
        if is_last_of_epoch(height, self.machine.genesis.epoch_blocks):
            self._is_seed_doubtful = True
            self._skipped = replace(self.tip, height=height - 1)
        return Finding(code, f"height {height}", detail)

    def _resume(self, connection: Connection, height: int, header: Header) -> None:
        """After a doubtful block its hash and votes, and who was elected, are taken from its successor, which commits to them."""
        tip = self.tip
        hash_ = header.previous if self._is_hash_doubtful else tip.hash
        voters = header.voters if self._are_votes_doubtful else tip.voters
        seed = tip.seed
        if self._is_hash_doubtful and height > 1 and epoch_seed_height(height, self.machine.genesis.epoch_blocks) == height - 1:
            seed, self._is_seed_doubtful = hash_, False
        self.tip = replace(tip, height=height - 1, hash=hash_, voters=voters, seed=seed)
        if self._skipped is not None:
            acting = self._set_named(connection, header.delegates_hash) or tip.following
            following = self._set_named(connection, header.next_delegates_hash) or tip.following
            self.tip = replace(self.tip, acting=acting, following=following)

    def _set_named(self, connection: Connection, hash_: bytes) -> DelegateSet | None:
        """The set of this hash, which may be one that a block elected which is not here: its stored row proves itself."""
        chain_id, key = self.machine.genesis.chain_id, delegate_set_key(hash_)
        value = queries.state_value(connection, bucket_of(key), key)
        try:
            found = None if value is None else DelegateSet.of(chain_id, decode(value))
        except (EncodingError, TypeError):
            return None
        return found if found is not None and found.hash == hash_ else None

    def _end(self, audit: BlockAudit, row: Row[Any], header: Header) -> int:
        """The log size after the block, by the header if it is its producer's, else by the row."""
        if row.log_size != header.log_size:
            audit.find(Code.INDEX_MISMATCH, "the row's log size is not the header's")
        end: int = row.log_size if audit.has(Code.BLOCK_INVALID) else header.log_size
        start, absent = self.tip.log.size, self._absent
        self._absent = 0
        if 0 <= end - start <= MOST.transactions * (absent + 1):
            return end
        audit.find(Code.LOG_MISMATCH, "the log does not go on where the block before left it")
        return start

    def _check_header(self, audit: BlockAudit, height: int, header: Header, transactions: Sequence[bytes]) -> None:
        for fault in self.machine.header_faults(self.tip, header, transactions):
            if fault.code is Code.VOTE_INVALID:
                audit.found.append(Finding(fault.code, f"height {height - 1}", "its votes are not those that the next header names"))
            elif fault.code is not Code.SCHEDULE_INVALID or not self._is_seed_doubtful:
                audit.find(fault.code, str(fault))

    def _execute(self, audit: BlockAudit, transactions: Sequence[bytes], signed: frozenset[int]) -> Execution:
        execution = self.machine.execution(self.tip, self._state)
        execution.signed = signed
        if self._skipped is not None:
            self.machine.end_block(self._skipped, execution)
            self._skipped = execution.elected = None
        refused = []
        for place, (raw, parsed) in enumerate(zip(transactions, execution.read(transactions), strict=True)):
            try:
                execution.record(parsed)
            except TransactionRefused as refusal:
                refused.append(f"transaction {self.tip.log.size + place} is not admitted: {refusal}")
                execution.keep_place(raw)
        self.machine.end_block(self.tip, execution)
        if refused:
            self.is_state_sound = False
            others = f", and {len(refused) - 1} more" if len(refused) > 1 else ""
            audit.find(Code.TRANSACTION_INVALID, refused[0] + others)
        return execution

    def _check_log(self, connection: Connection, audit: BlockAudit, header: Header, execution: Execution) -> list[bytes]:
        """The leaf hashes to go on with: the stored tiles' where these give the header's root and the transactions do not."""
        start, leaf_hashes = self.tip.log, [item.leaf_hash for item in execution.recorded]
        if not self._is_log_sound or _gives(start, leaf_hashes, header):
            return leaf_hashes
        stored = _stored_leaf_hashes(connection, start.size, len(leaf_hashes))
        if not _gives(start, stored, header):
            self._is_log_sound = audit.has(Code.BLOCK_INVALID)
            audit.find(Code.LOG_MISMATCH, "the transactions do not give the header's log")
            return leaf_hashes
        for place, (ours, tile) in enumerate(zip(leaf_hashes, stored, strict=True)):
            if ours != tile:
                audit.find(Code.LOG_MISMATCH, f"transaction {start.size + place} is not the one that the log holds")
        return stored

    def _check_tiles(self, connection: Connection, audit: BlockAudit, leaf_hashes: list[bytes]) -> None:
        """Compares tiles that are complete; the last of each level is for the end."""
        read = queries.tile_reader(connection)
        self.tiles.update(extended_tiles(lambda level, number: self.tiles.get((level, number), b""), self.tip.log.size, leaf_hashes))
        for (level, number), hashes in list(self.tiles.items()):
            if len(hashes) == TILE_WIDTH * HASH_SIZE:
                del self.tiles[level, number]
                if read(level, number) != hashes:
                    audit.found.append(Finding(Code.LOG_MISMATCH, f"log tile {level}/{number}", "the tile is missing or altered"))

    def _read(self, buckets: Collection[int]) -> Iterator[tuple[bytes, bytes]]:
        for number in buckets:
            yield from self._entries.get(number, {}).items()

    def _write(self, entries: Collection[tuple[bytes, bytes]]) -> None:
        for key, value in entries:
            self._entries.setdefault(bucket_of(key), {})[key] = value


def _gives(start: LogHead, leaf_hashes: list[bytes], header: Header) -> bool:
    log = start.extended(leaf_hashes)
    return (log.size, log.root()) == (header.log_size, header.log_root)


def _stored_leaf_hashes(connection: Connection, start: int, count: int) -> list[bytes]:
    read = queries.tile_reader(connection)
    hashes = []
    for index in range(start, start + count):
        at = index % TILE_WIDTH * HASH_SIZE
        hashes.append(read(0, index // TILE_WIDTH)[at : at + HASH_SIZE])
    return hashes


def _check_index(stored: StoredRows, audit: BlockAudit, start: int, execution: Execution) -> int:
    """Compares the index rows of a block, and returns how many there are; those of refused transactions are known by their place alone."""
    rows = stored.index_rows([item.tx_id for item in execution.recorded if item.tx_id])
    for index, item in enumerate(execution.recorded, start):
        if item.tx_id and index not in rows.get(queries.tx_prefix(item.tx_id), ()):
            audit.found.append(Finding(Code.INDEX_MISMATCH, f"transaction {index}", "its row in the index is missing or altered"))
    refused = [index for index, item in enumerate(execution.recorded, start) if not item.tx_id]
    count = sum(queries.tx_prefix(item.tx_id) in rows for item in execution.recorded if item.tx_id)  # one each, whatever else is there
    if not refused:
        return count
    return count + (stored.connection.scalar(select(func.count()).where(transaction_index.c.log_index.in_(refused))) or 0)
