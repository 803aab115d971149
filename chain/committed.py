"""What is final, in memory: the delegates of one process share and only read it, the engine moves it on once a block is durable."""

from collections.abc import Iterator

from sqlalchemy import Connection

from chain import queries
from chain.block import FinalBlock, FormatUnknown, Header, Vote, bitmap, block_hash
from chain.database import LedgerDamaged, snapshot
from chain.delegate_set import DelegateSet
from chain.election import ATTENDANCE_BLOCKS, Attended, read_set
from chain.encoding import decode
from chain.errors import LedgerError
from chain.execution import Execution
from chain.log import read_head
from chain.schedule import epoch_seed_height, is_last_of_epoch
from chain.stake_entries import ELECTED_KEY
from chain.state import Overlay, State, bucket_of
from chain.state_machine import StateMachine, Tip
from chain.store import LedgerStore


class Committed:
    """The tip and the state of the final chain."""

    def __init__(self, machine: StateMachine, tip: Tip, state: State) -> None:
        self.machine, self.tip, self.state = machine, tip, state

    @classmethod
    def load(cls, machine: StateMachine, store: LedgerStore) -> "Committed":
        """Reads tip and state; all entries are hashed once. Raises `LedgerDamaged` if log or state do not give the last header's
        roots, `FormatUnknown` if that has a version of later programs.
        """
        with snapshot(store.engine) as connection:
            state = State(store.read_buckets, _entries(connection))
            height = queries.height_of(connection)
            try:
                expected = _header(connection, height).state_root if height else State(lambda _: (), machine.genesis_entries()).root()
                if state.root() != expected:
                    raise LedgerDamaged(f"the stored state is not the one of height {height}")
                tip = _tip(connection, machine, state, height) if height else machine.start()
            except (LedgerDamaged, FormatUnknown):
                raise
            except LedgerError as error:
                raise LedgerDamaged(f"the end of the ledger cannot be read: {error}") from error
        return cls(machine, tip, state)

    def reload(self, store: LedgerStore) -> None:
        """Reads again what is stored, after a write whose outcome is not known. Raises `LedgerDamaged`."""
        stored = Committed.load(self.machine, store)
        self.tip, self.state = stored.tip, stored.state

    def advance(self, final: FinalBlock, execution: Execution) -> None:
        """The block has become final and is durable."""
        self.state.commit(execution.overlay)
        voters = bitmap(final.votes, len(self.tip.acting.keys))
        self.tip = self.machine.advance(self.tip, final.header, execution.log(), voters, execution.elected)


def _entries(connection: Connection) -> Iterator[tuple[bytes, bytes]]:
    for bucket, key, value in queries.state_rows(connection):
        if bucket != bucket_of(key):
            raise LedgerDamaged("a state entry lies in another bucket than its key's")
        yield key, value


def _tip(connection: Connection, machine: StateMachine, state: State, height: int) -> Tip:
    genesis, sets = machine.genesis, _Sets(machine, state)
    header_bytes, votes = _stored(connection, height)
    header = Header.from_bytes(header_bytes)
    log = read_head(queries.tile_reader(connection), header.log_size)
    if log.root() != header.log_root:
        raise LedgerDamaged(f"the stored log tiles are not those of height {height}")
    seed_height = epoch_seed_height(height + 1, genesis.epoch_blocks)
    seed = block_hash(genesis.chain_id, _stored(connection, seed_height)[0]) if seed_height else genesis.chain_id
    voters = bitmap(votes, len(sets.named(header.delegates_hash).keys))
    acting, following = sets.named(header.delegates_hash), sets.named(header.next_delegates_hash)
    if is_last_of_epoch(height, genesis.epoch_blocks):
        acting, following = following, sets.elected()
    attendance = tuple(_attendance(connection, sets, height)) if genesis.seats else ()
    hash_ = block_hash(genesis.chain_id, header_bytes)
    return Tip(height, hash_, header.slot, log, voters, seed, acting, following, attendance, header.version)


class _Sets:
    """The sets of delegates that the stored state knows."""

    def __init__(self, machine: StateMachine, state: State) -> None:
        self._genesis, self._overlay = machine.genesis, Overlay(state)

    def named(self, hash_: bytes) -> DelegateSet:
        first = self._genesis.first_set
        found = first if hash_ == first.hash else read_set(self._overlay, self._genesis.chain_id, hash_)
        if found is None:
            raise LedgerDamaged("a header names a set of delegates that was never elected")
        return found

    def elected(self) -> DelegateSet:
        value = self._overlay.get(ELECTED_KEY)
        return self._genesis.first_set if value is None else self.named(decode(value))


def _attendance(connection: Connection, sets: _Sets, height: int) -> Iterator[Attended]:
    for at in range(max(1, height - ATTENDANCE_BLOCKS + 1), height + 1):
        header, votes = _stored(connection, at)
        delegates = sets.named(Header.from_bytes(header).delegates_hash)
        yield Attended(delegates, bitmap(votes, len(delegates.keys)))


def _header(connection: Connection, height: int) -> Header:
    return Header.from_bytes(_stored(connection, height)[0])


def _stored(connection: Connection, height: int) -> tuple[bytes, tuple[Vote, ...]]:
    stored = queries.header_and_votes(connection, height)
    if stored is None:
        raise LedgerDamaged(f"the block of height {height} is missing")
    return stored
