"""Audits: containers of 1 MB against their anchors, and the chain from its genesis."""

import os
import time
from pathlib import Path

from benchmarks.chain_home import ChainHome, chain_home, random_anchors
from benchmarks.served import DidNotRun
from chain.ledger import Ledger
from chain.transactions import AnchorBody
from gateway.index import containers
from gateway.index.containers import ContainerRow
from gateway.index.database import Index, open_index
from gateway.storage.opening import open_object_store
from gateway.storage.port import ObjectStore
from gateway.vault.container import Container, build_container
from gateway.vault.seal import SealedBundle
from jobs.audit_ledger import verify_ledger
from jobs.audit_report import Report, merge
from jobs.audit_storage import Bounds, verify_storage

_MB = 1_000_000


def measure(folder: Path, *, megabytes: int, blocks: int) -> dict[str, float]:
    """Rates a second of CPU, over `megabytes` containers of 1 MB and `blocks` blocks of ten transactions. Both audits must be clean."""
    with chain_home(folder) as home:
        index, store = open_index(home.settings.effective_database_url), open_object_store(home.settings.effective_bucket_url)
        try:
            store_containers(home, index, store, range(1, megabytes + 1))
            storage = _storage_rate(home, index, store)
        finally:
            index.close()
        for _ in range(blocks):
            home.block(home.signed(random_anchors(10)))
        return {"storage_mb_per_s": round(storage, 1), "container_mb": 1.0, **_ledger_rates(home)}


def store_containers(home: ChainHome, index: Index, store: ObjectStore, rows: range) -> None:
    """Containers of 1 MB with these rows in the database, in the bucket, and anchored by one block."""
    anchors = []
    for row in rows:
        made = _container()
        store.put_if_absent(made.name, made.body)
        with index.atomic() as connection:
            kept = ContainerRow(row, made.digest, len(made.body), made.root, len(made.slots), made.leaf_count, 0)
            containers.write(connection, kept)
        anchors.append(AnchorBody(made.digest, len(made.body), made.root, len(made.slots), made.leaf_count))
    home.block(home.signed(anchors))


def _container() -> Container:
    """A container of 1 MB in one bundle, whose content this level does not look at."""
    return build_container([SealedBundle(os.urandom(_MB), os.urandom(16), os.urandom(32), 7000, ())])


def _storage_rate(home: ChainHome, index: Index, store: ObjectStore) -> float:
    ledger, bounds = Ledger(home.store, home.genesis), Bounds(int(time.time()), 60)
    report, started = Report(), time.process_time()
    for shard in verify_storage(home.settings, ledger, index, store, bounds):
        report = merge(report, shard)
    passed = time.process_time() - started
    _require_clean(report)
    return report.checked["container bytes"] / passed / _MB


def _ledger_rates(home: ChainHome) -> dict[str, float]:
    started = time.process_time()
    report = verify_ledger(home.store, home.genesis, home.settings.keys_path)
    passed = time.process_time() - started
    _require_clean(report)
    return {
        "ledger_blocks_per_s": round(report.checked["blocks"] / passed, 1),
        "ledger_transactions_per_s": round(report.checked["transactions"] / passed, 1),
    }


def _require_clean(report: Report) -> None:
    if report.exit_code != 0:
        raise DidNotRun(f"an audit of what was just written is not clean: {report.findings[:1] or report.could_not_check[:1]}")
