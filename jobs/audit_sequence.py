"""The commit sequence of a gateway in runs: what the chain has of it, up to the head that the audit began with, and the numbers after that.

The chain's head is read first, the database afterwards. What the chain has up to that head was committed before it came there, so every
later state of the database must show it; what the database has beyond is not anchored yet, and has its time to become so. The other way
round, a grant committed and recorded between the two would look lost.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from chain.access_batch import AccessBatchBody
from chain.block import Header
from chain.consent import ConsentGrantBody, ConsentRevokeBody
from chain.database import LedgerDamaged
from chain.encoding import EncodingError
from chain.errors import LedgerError
from chain.ledger import Ledger
from chain.transactions import PartyBody, parse_transaction
from jobs.audit_storage import Bounds

SHARD_NUMBERS = 10_000  # some seconds' work; an access of a page of a hundred records takes 20 KB meanwhile
Act = ConsentGrantBody | ConsentRevokeBody | AccessBatchBody


@dataclass(frozen=True, slots=True)
class Shard:
    """Consecutive numbers with the acts that the chain has of them, in its order, and the last height that it reaches."""

    numbers: range
    acts: tuple[Act, ...]
    recorded: bool  # whether the chain has passed them
    log_size: int  # of the head that the audit goes up to
    bounds: Bounds
    last_height: int
    unreadable: bool = False  # the height itself; then there are no numbers


@dataclass(frozen=True, slots=True)
class Extent:
    """What an audit goes over: the chain up to `head`, then the numbers up to `taken`, the database's last one, read after the head."""

    gateway: str  # client id
    head: Header | None
    taken: int
    bounds: Bounds

    def shard(self, first: int, last: int, height: int, acts: tuple[Act, ...] = (), *, recorded: bool = True) -> Shard:
        log_size = self.head.log_size if self.head else 0
        return Shard(range(first, last + 1), acts, recorded, log_size, self.bounds, height)

    def unreadable(self, height: int) -> Shard:
        return Shard(range(0), (), True, 0, self.bounds, height, unreadable=True)


def shards(ledger: Ledger, extent: Extent, next_used: Callable[[int], int | None], size: int = SHARD_NUMBERS) -> Iterator[Shard]:
    """Every number once, in order, about `size` in a shard, a batch in one. A height that cannot be read is a shard of its own.

    `next_used` says what number the database uses next after one: a gap may be wide.
    """
    height = extent.head.height if extent.head else 0
    after: int | None = 0  # the number before the run; None: what was recorded before it could not be read
    run: list[Act] = []
    for at, acts in _read(ledger, extent.gateway, height):
        if acts is None:
            if run:
                yield extent.shard(_first(run, after), last_of(run[-1]), at, tuple(run))
            yield extent.unreadable(at)
            after, run = None, []
            continue
        for act in acts:
            run.append(act)
            if last_of(act) - _first(run, after) + 1 >= size:
                yield extent.shard(_first(run, after), last_of(act), at, tuple(run))
                after, run = last_of(act), []
    if run:
        yield extent.shard(_first(run, after), last_of(run[-1]), height, tuple(run))
        after = last_of(run[-1])
    done = ledger.last_sequence(extent.gateway) if after is None else after
    while done < extent.taken and (used := next_used(done)) is not None:
        last = min(used + size - 1, extent.taken)
        yield extent.shard(done + 1, last, height, recorded=False)
        done = last


def first_of(act: Act) -> int:
    return act.first if isinstance(act, AccessBatchBody) else act.sequence


def last_of(act: Act) -> int:
    return act.last if isinstance(act, AccessBatchBody) else act.sequence


def _first(run: list[Act], after: int | None) -> int:
    return first_of(run[0]) if after is None else after + 1


def _read(ledger: Ledger, gateway: str, end: int) -> Iterator[tuple[int, list[Act] | None]]:
    """Each height up to `end` with the acts of the gateway in its block, None where the block cannot be read whole."""
    keys = _signing_keys(ledger, gateway)
    log_size: int | None = 0
    for height in range(1, end + 1):
        try:
            block = ledger.block(height)
            if block is None or log_size not in (None, block.first_log_index):
                raise LedgerDamaged("the block or some of its transactions are missing")
            recorded = [parse_transaction(raw) for raw in block.transactions]
        except (LedgerError, EncodingError):
            log_size = None
            yield height, None
            continue
        log_size = block.header.log_size
        yield height, [one.body for one in recorded if one.signer in keys and isinstance(one.body, Act)]


def _signing_keys(ledger: Ledger, gateway: str) -> set[bytes | None]:
    """All that the gateway ever signed with: a key belongs to one party for ever."""
    bodies = [party for party in ledger.genesis.parties if party.client_id == gateway]
    later = (parse_transaction(ledger.prove(index).transaction).body for index in ledger.party_history(gateway))
    return {body.signing_key for body in (*bodies, *later) if isinstance(body, PartyBody)}
