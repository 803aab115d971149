"""The budget (what each figure should be) beside what was measured and what the machine could do at best."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

Result = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Target:
    """`value` finds the figure in a result, `limit` what the machine would allow. `at_most`: the target is an upper bound."""

    what: str
    goal: float
    unit: str
    value: Callable[[Result], float]
    at_most: bool = False
    limit: Callable[[Result], float] | None = None

    def is_met(self, measured: float) -> bool:
        return measured <= self.goal if self.at_most else measured >= self.goal


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the table. `share` is measured / limit, where a limit is known."""

    target: Target
    measured: float
    share: float | None

    @property
    def is_met(self) -> bool:
        return self.target.is_met(self.measured)


_SERVED = (
    Target("ingest at 10^6 rows, resources/s a core", 5000, "", lambda r: r["ingest"]["at_rows"]["resources_per_s_per_core"]),
    Target("ingest from empty, resources/s a core", 5000, "", lambda r: r["ingest"]["resources_per_s_per_core"]),
    Target(
        "single create, p99",
        25,
        "ms",
        lambda r: r["ingest"]["single_create_p99_ms"],
        at_most=True,
        limit=lambda r: 1000 / r["limits"]["fsync_per_s"],
    ),
    Target("64 clients' single creates, by the disk's fsyncs", 5, "x", lambda r: r["ingest"]["crowd"]["creates_per_fsync"]),
    Target(
        "ledger bytes a record, 64 clients' single creates",
        400,
        "B",
        lambda r: r["ingest"]["crowd"]["ledger_bytes_per_record"],
        at_most=True,
    ),
    Target("memory while 6,000 entries go in", 600, "MB", lambda r: r["ingest"]["memory_mb"], at_most=True),
    Target("memory over rest, times the body", 12, "x", lambda r: r["ingest"]["memory_times_body"], at_most=True),
    Target("sealed bytes a record", 200, "B", lambda r: r["ingest"]["sealed_bytes_per_record"], at_most=True),
    Target("index bytes a record", 200, "B", lambda r: r["ingest"]["index_bytes_per_record"], at_most=True),
    Target("read, p50", 5, "ms", lambda r: r["fetch"]["read_p50_ms"], at_most=True),
)
_LEDGER = (
    Target("ledger, transactions/s a core, blocks of 1,000", 3000, "", lambda r: r["ledger"]["transactions_per_s_per_core"]),
    Target("ledger, transactions/s a core, blocks of 100", 3000, "", lambda r: r["ledger"]["transactions_per_s_per_core_blocks_of_100"]),
    Target("ledger, blocks of a long chain verified/s", 2000, "", lambda r: r["ledger"]["chain_blocks_verified_per_s"]),
    Target("ledger, largest block applied", 1000, "ms", lambda r: r["ledger"]["largest_block_applied_ms"], at_most=True),
    Target("ledger, proof from a large log", 5, "ms", lambda r: r["ledger"]["log_proof_ms"], at_most=True),
    Target("chain bytes a record, in bulk", 1, "B", lambda r: r["ledger"]["chain_bytes_per_record_bulk"], at_most=True),
    Target("ledger.db bytes a record, in bulk", 1, "B", lambda r: r["ledger"]["bytes_per_record_bulk"], at_most=True),
    Target(
        "chain bytes a record, four singles a block",
        400,
        "B",
        lambda r: r["ledger"]["chain_bytes_per_record_single"],
        at_most=True,
    ),
    Target(
        "ledger.db bytes a record, four singles a block",
        400,
        "B",
        lambda r: r["ledger"]["bytes_per_record_single"],
        at_most=True,
    ),
)
_AUDIT_AND_RECEIPTS = (
    Target("audit of content, records/s a core", 100_000, "", lambda r: r["audit"]["content_records_per_s_per_core"]),
    Target(
        "audit of content, originals in turns, records/s a core",
        100_000,
        "",
        lambda r: r["audit"]["content_rotating_records_per_s_per_core"],
    ),
    Target(
        "receipts verified, /s a core",
        10_000,
        "",
        lambda r: r["receipts"]["verified_per_s_per_core"],
        limit=lambda r: float(r["limits"]["ed25519_verify_per_s"]),
    ),
    Target("receipt final, p99", 2, "slots", lambda r: r["receipts"]["final_slots_p99"], at_most=True),
)


def _sha256_half(result: Result) -> float:
    return float(result["limits"]["sha256_mb_per_s"]) / 2


def targets(result: Result) -> tuple[Target, ...]:
    """Every figure that has a target; that of storage depends on the machine."""
    storage = Target(
        "audit of storage, containers of 1 MB",
        _sha256_half(result),
        "MB/s",
        lambda r: r["audit"]["storage_mb_per_s"],
        limit=lambda r: float(r["limits"]["sha256_mb_per_s"]),
    )
    return (*_SERVED, *_LEDGER, storage, *_AUDIT_AND_RECEIPTS)


def rows(result: Result) -> Iterator[Row]:
    """One for each target whose figure was measured."""
    for target in targets(result):
        try:
            measured = float(target.value(result))
        except KeyError:
            continue
        limit = target.limit(result) if target.limit else None
        yield Row(target, measured, measured / limit if limit else None)
