"""The chain alone: transactions into final blocks, executed and voted for by four delegates, and what they take on disk."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from benchmarks.chain_home import ChainHome, chain_home, random_anchors
from benchmarks.served import DidNotRun, database_bytes
from benchmarks.timing import percentile
from chain.queries import votes_to

BULK_BLOCK = 25  # ANCHORs a block where 5,000 resources a second come in containers of 400 and a slot has 2 seconds


class Produced(NamedTuple):
    """What blocks of one size take."""

    per_s_per_core: float  # transactions, a second of CPU
    chain_bytes: float  # a transaction: of transactions, headers, signatures and votes
    database_bytes: float  # a transaction: by which ledger.db grows, with all that is derived
    seconds: Sequence[float]  # by the clock, of each block


def measure(folder: Path, *, transactions: int, records_per_container: float) -> dict[str, float]:
    """`transactions` for each size of block. Rates are a second of CPU: submitting, building, four executions, four votes, committing."""
    with chain_home(folder) as home:
        large = _produce(home, transactions, 1000)
        hundred = _produce(home, transactions, 100)
        bulk = _produce(home, transactions // 10, BULK_BLOCK)
        four = _produce(home, transactions // 25, 4)
        one = _produce(home, transactions // 200, 1)
    return {
        "transactions_per_s_per_core": round(large.per_s_per_core, 1),
        "transactions_per_s_per_core_blocks_of_100": round(hundred.per_s_per_core, 1),
        "bytes_per_record_bulk": round(bulk.database_bytes / records_per_container, 3),
        "chain_bytes_per_record_bulk": round(bulk.chain_bytes / records_per_container, 3),
        "bytes_per_record_single": round(four.database_bytes, 1),
        "chain_bytes_per_record_single": round(four.chain_bytes, 1),
        "block_of_one_p50_ms": round(percentile(one.seconds, 0.5) * 1000, 2),
    }


def _produce(home: ChainHome, transactions: int, size: int) -> Produced:
    prepared = [home.signed(random_anchors(size)) for _ in range(max(1, transactions // size))]
    path = home.settings.home / "ledger.db"
    before, cpu, walls, chain = database_bytes(path), time.process_time(), [], 0
    for block in prepared:
        started = time.perf_counter()
        final = home.block(block)
        walls.append(time.perf_counter() - started)
        if final is None or len(final.transactions) != size:
            raise DidNotRun("a block did not take what was submitted")
        chain += sum(map(len, (final.header.to_bytes(), final.signature, votes_to(final.votes), *final.transactions)))
    cpu = time.process_time() - cpu
    done = len(prepared) * size
    return Produced(done / cpu, chain / done, (database_bytes(path) - before) / done, walls)
