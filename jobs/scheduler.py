"""The jobs process: APScheduler fires each job at its time. One process on one chain; its only scheduler, its only writer of ledger.db."""

import signal
import threading
import time
from datetime import UTC, datetime
from types import FrameType

import structlog
from apscheduler.schedulers.background import BackgroundScheduler

from chain.engine import EmbeddedEngine
from chain.errors import LedgerError
from chain.genesis import Genesis
from chain.ledger import Ledger
from chain.store import LedgerStore
from gateway.bootstrap import read_genesis
from gateway.errors import GatewayError
from gateway.index.database import open_index
from gateway.key_files import delegate_key_paths, read_key
from gateway.settings import Settings
from jobs.produce_blocks import BlockProduction
from jobs.registry import JOBS, Job, opened_for

LATE_BY = 3600  # seconds; a slot that could not run for so long still runs once, which is all that is wanted of it


def run(settings: Settings) -> None:
    """Run the jobs of the gateway of `settings` until SIGTERM or SIGINT; returns when the running job has ended."""
    genesis = read_genesis(settings)
    store = LedgerStore.open(settings.effective_ledger_url, genesis)
    index = open_index(settings.effective_database_url)
    keys = [(read_key(path), path.with_suffix(".watermark")) for path in delegate_key_paths(settings.keys_path)]
    engine = EmbeddedEngine.open(store, genesis, keys)
    try:
        production = BlockProduction(index, engine, Ledger(store, genesis), read_key(settings.keys_path / "gateway.json"))
        _run_until_told(settings, production, genesis)
    finally:
        engine.close()
        store.close()
        index.close()


def _run_one(settings: Settings, job: Job) -> None:
    log = structlog.get_logger().bind(job=job.name)
    try:
        with opened_for(settings) as opened:
            log.info("job done", **job.run(opened))
    except (GatewayError, LedgerError) as error:
        log.error("job failed; it runs again at its next time", reason=str(error))  # noqa: TRY400 - the sentence says it all


def _run_until_told(settings: Settings, production: BlockProduction, genesis: Genesis) -> None:
    scheduler = BackgroundScheduler(timezone=UTC)
    for job in JOBS:
        scheduler.add_job(
            _run_one,
            "interval",
            args=(settings, job),
            seconds=job.every,
            id=job.name,
            coalesce=True,
            max_instances=1,
            misfire_grace_time=LATE_BY,
        )
    scheduler.add_job(
        lambda: production.produce(time.time()),
        "interval",
        seconds=genesis.slot_seconds,
        start_date=datetime.fromtimestamp(genesis.slot_time(genesis.slot_at(time.time()) + 1), UTC),
        id="produce-blocks",
        coalesce=True,
        max_instances=1,
        misfire_grace_time=LATE_BY,
    )
    told = threading.Event()

    def stop(_number: int, _frame: FrameType | None) -> None:
        told.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    scheduler.start()
    structlog.get_logger().info("jobs run", jobs=[job.id for job in scheduler.get_jobs()], slot_seconds=genesis.slot_seconds)
    told.wait()
    scheduler.shutdown(wait=True)
