"""The chain alone: transactions into final blocks, executed and voted for by four delegates, and what they take on disk."""

import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.chain_home import ChainHome, chain_home, random_anchors
from benchmarks.served import DidNotRun, database_bytes
from benchmarks.timing import percentile

BULK_BLOCK = 25  # ANCHORs a block where 5,000 resources a second come in containers of 400 and a slot has 2 seconds


def measure(folder: Path, *, transactions: int, records_per_container: float) -> dict[str, float]:
    """`transactions` for each size of block. Rates are a second of CPU: submitting, building, four executions, four votes, committing."""
    with chain_home(folder) as home:
        large, _, _ = _produce(home, transactions, 1000)
        hundred, _, _ = _produce(home, transactions, 100)
        _, bytes_in_bulk, _ = _produce(home, transactions // 10, BULK_BLOCK)
        _, bytes_in_four, _ = _produce(home, transactions // 25, 4)
        _, _, seconds = _produce(home, transactions // 200, 1)
    return {
        "transactions_per_s_per_core": round(large, 1),
        "transactions_per_s_per_core_blocks_of_100": round(hundred, 1),
        "bytes_per_record_bulk": round(bytes_in_bulk / records_per_container, 3),
        "bytes_per_record_single": round(bytes_in_four, 1),
        "block_of_one_p50_ms": round(percentile(seconds, 0.5) * 1000, 2),
    }


def _produce(home: ChainHome, transactions: int, size: int) -> tuple[float, float, Sequence[float]]:
    """Transactions a second of CPU, ledger.db's growth in bytes a transaction, seconds by the clock of each block."""
    prepared = [home.signed(random_anchors(size)) for _ in range(max(1, transactions // size))]
    path = home.settings.home / "ledger.db"
    before, cpu, walls = database_bytes(path), time.process_time(), []
    for block in prepared:
        started = time.perf_counter()
        if home.block(block) != size:
            raise DidNotRun("a block did not take what was submitted")
        walls.append(time.perf_counter() - started)
    cpu = time.process_time() - cpu
    done = len(prepared) * size
    return done / cpu, (database_bytes(path) - before) / done, walls
