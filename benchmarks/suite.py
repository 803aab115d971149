"""The run: which benchmarks share a gateway, in what order, and how much of each is enough."""

import os
import platform
import tempfile
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import audit, content_audit, crowd, fetch, ingest, ledger, limits, long_chain, receipts, stages
from benchmarks.places import Places
from benchmarks.pushing import Pushed, push
from benchmarks.served import ServedGateway, make_home, served
from benchmarks.workload import Workload
from chain.format import MOST

NAMES = ("ingest", "fetch", "ledger", "audit", "receipts")
Result = dict[str, Any]
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Extent:
    """How much is measured. `rows` is how many the index holds for the second measurement of ingest; 0 leaves that out."""

    limit_seconds: float = 0.5
    bundles: int | None = None  # of the workload; None: all
    rounds: int = 4
    singles: int = 400
    crowd_creates: int = 30  # by each client
    large_entries: int = 6000
    rows: int = 1_000_000
    reads: int = 1000
    receipts: int = 400
    creates: int = 50
    transactions: int = 10_000
    megabytes: int = 128
    blocks: int = 200
    chain_blocks: int = 100_000
    largest_block: int = MOST.transactions
    log_size: int = 10_000_000
    audit_rounds: int = 9


QUICK = Extent(
    limit_seconds=0.1,
    bundles=6,
    rounds=1,
    singles=60,
    crowd_creates=4,
    rows=0,
    reads=150,
    receipts=100,
    creates=5,
    transactions=1000,
    megabytes=32,
    blocks=30,
    chain_blocks=100,
    largest_block=500,
    log_size=30_000,
    audit_rounds=2,
)


def run(names: Collection[str], workload: Workload, extent: Extent, say: Say, places: Places = Places()) -> Result:  # noqa: B008 - frozen
    """One document. `places` are those of the gateway over HTTP. Raises DidNotRun where a figure could not be taken."""
    if extent.bundles is not None:
        workload = workload.first(extent.bundles)
    result: Result = {"cores": len(os.sched_getaffinity(0)), "python": platform.python_version(), "machine": machine()}
    with tempfile.TemporaryDirectory(prefix="fhir-anchor-bench-") as made:
        folder = Path(made)
        say("this machine's own limits")
        measured = limits.measure(folder, workload.bundles[0], extent.limit_seconds)
        result["limits"] = {name: round(value, 1) for name, value in measured.items()}
        result |= _over_http(folder, names, workload, extent, say, measured["fsync_per_s"], places)
        if "ledger" in names:
            say("ledger: blocks by four delegates")
            per_container = workload.resources / len(workload.all)
            result["ledger"] = ledger.measure(_new(folder, "ledger"), transactions=extent.transactions, records_per_container=per_container)
            say(f"ledger: a chain of {extent.chain_blocks:,} blocks, a log of {extent.log_size:,} transactions")
            result["ledger"] |= long_chain.measure(
                _new(folder, "chain"), blocks=extent.chain_blocks, largest=extent.largest_block, log_size=extent.log_size
            )
        if "audit" in names:
            say("audit: storage and ledger")
            result["audit"] = audit.measure(_new(folder, "audit"), megabytes=extent.megabytes, blocks=extent.blocks)
            result["audit"] |= content_audit.measure(_new(folder, "content-audit"), workload, rounds=extent.audit_rounds, say=say)
    return {name: result[name] for name in ("cores", "python", "machine", "places", "limits", *NAMES) if name in result}


def machine() -> str:
    """The processor's name and the system."""
    try:
        names = [line.split(":", 1)[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    except OSError:
        names = []
    return ", ".join([*names[:1], platform.machine(), f"{platform.system()} {platform.release()}"])


def _over_http(
    folder: Path, names: Collection[str], workload: Workload, extent: Extent, say: Say, fsync_per_s: float, places: Places
) -> Result:
    """What one running gateway is measured by; it is stopped before anything else is."""
    if not {"ingest", "fetch", "receipts"} & set(names):
        return {}
    result: Result = {"places": places.told()} if places.told() else {}
    say("a gateway is made and started")
    home = make_home(folder, options=places.options())
    with places.emptied(), served(folder, home) as gateway:
        if "ingest" in names:
            result["ingest"] = ingest.measure(
                gateway, workload, rounds=extent.rounds, singles=extent.singles, large_entries=extent.large_entries, say=say
            )
            say(f"ingest: {crowd.CLIENTS} clients at once")
            result["ingest"]["crowd"] = crowd.measure(gateway, extent.crowd_creates, fsync_per_s)
        result |= _reading(gateway, names, workload, extent, say)
    if "ingest" in names and not places.told():  # below the home alone, as they take it apart
        result["ingest"] |= _more_on_ingest(folder, home, workload, extent, say)
    return result


def _reading(gateway: ServedGateway, names: Collection[str], workload: Workload, extent: Extent, say: Say) -> Result:
    """Reads and receipts of what a party of their own has pushed."""
    result: Result = {}
    if {"fetch", "receipts"} & set(names):
        say("records to read are pushed")
        party = gateway.new_party()
        pushed: Pushed = push(gateway, workload.first(1 if len(workload.bundles) == 1 else 2), party)
        if "fetch" in names:
            say("fetch: reads")
            result["fetch"] = fetch.measure(gateway, party, pushed.records, extent.reads)
        if "receipts" in names:
            say("receipts: made, verified twice, and waited for")
            result["receipts"] = receipts.measure(gateway, party, pushed.records[-extent.receipts :], extent.creates)
    return result


def _more_on_ingest(folder: Path, home: Path, workload: Workload, extent: Extent, say: Say) -> Result:
    """At a million rows, on the same home; and by stages, in this process."""
    result: Result = {}
    if extent.rows:
        say(f"ingest: the index is filled up to {extent.rows:,} rows")
        rows = ingest.filled(home, extent.rows)
        with served(_new(folder, "filled"), home) as gateway:
            say(f"ingest: at {rows:,} rows")
            result["at_rows"] = ingest.at_many_rows(gateway, workload, rows=rows, rounds=max(1, extent.rounds // 2))
    say("ingest: stages")
    return result | stages.measure(folder, workload, max(1, extent.rounds // 2))


def _new(folder: Path, name: str) -> Path:
    made = folder / name
    made.mkdir()
    return made
