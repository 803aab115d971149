"""The jobs process: APScheduler fires each job at its time. One process on one chain; its only scheduler, its only writer of ledger.db.

Jobs whose times are claimed are looked at once a minute: what is due and unclaimed is claimed and run. So what a downtime missed, what
failed, and what this host began and did not end before its last stop all come right by the ordinary way; what another host began and has
not been heard of, too.
"""

import os
import signal
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial

from apscheduler.jobstores.base import ConflictingIdError
from apscheduler.schedulers.background import BackgroundScheduler

from chain.engine import EmbeddedEngine
from chain.format import Switch
from chain.genesis import Genesis
from chain.ledger import Ledger
from chain.store import LedgerStore
from gateway import tenure
from gateway.bootstrap import keyring_of, read_genesis
from gateway.checkpoint_keys import log_key, log_watermark
from gateway.errors import GatewayError, Unavailable
from gateway.index import job_runs
from gateway.index.database import Index, open_index
from gateway.key_files import delegate_key_paths, read_key
from gateway.logs import logger
from gateway.settings import Settings
from gateway.storage.opening import open_object_store
from gateway.supervisor import signals_as_bytes
from jobs.at_work import AtWork, Running
from jobs.checkpoints import CheckpointSigning
from jobs.mailbox import IndexMailbox
from jobs.produce_blocks import BlockProduction
from jobs.registry import Job, jobs_of
from jobs.runs import JobFailed, claim, due_at, holder_of, perform, perform_apart, run_now, say_overdue
from jobs.wall_clock import WallClock

LATE_BY = 3600  # seconds; a slot that could not run for so long still runs once, which is all that is wanted of it
LOOK_EVERY = 60  # seconds between two looks at what is due
FIRST_LOOK = 5  # seconds after the start
LOOK_UP_EVERY = 5.0  # seconds between two looks at whether the clock was put, and a job hangs
SLOT_WITHIN = 600  # seconds for a slot's work, which takes some: for loading a large state after another host produced, too
TO_RECORD = 5.0  # seconds for writing down which job hangs; the database may be what it hangs on
APART_LONGER = 60  # seconds that whoever watches over a process of its own has for ending that at its deadline
HANGING = 4  # exit code of a jobs process that a job hangs in


def run(settings: Settings) -> None:
    """Run the jobs of the gateway of `settings` until SIGTERM or SIGINT; returns when the running job has ended."""
    genesis = read_genesis(settings)
    store = LedgerStore.open(settings.effective_ledger_url, genesis)
    index = open_index(settings.effective_database_url, keyring_of(settings))
    keys = [(read_key(path), path.with_suffix(".watermark")) for path in delegate_key_paths(settings.keys_path)]
    engine = EmbeddedEngine.open(store, genesis, keys, IndexMailbox(index, genesis.slot_seconds), switch_of(settings))
    reader, mark = Ledger(store, genesis), None
    try:
        gateway_key, delegates = read_key(settings.keys_path / "gateway.json"), [key for key, _ in keys]
        production = BlockProduction(index, engine, reader, gateway_key, delegates)
        mark = log_watermark(settings.keys_path, genesis.chain_id, store.put_mark if store.is_shared else None)
        checkpoints = CheckpointSigning(index, engine, reader, log_key(settings.keys_path), mark)
        turn = tenure.tenure_of(index, keyring_of(settings), open_object_store(settings.effective_bucket_url))
        JobsProcess(settings, genesis, index, production, checkpoints=checkpoints, turn=turn).run_until_told()
    finally:
        if mark is not None:
            mark.close()
        engine.close()
        store.close()
        index.close()


def switch_of(settings: Settings) -> Switch | None:
    """What the operator planned for the chain's format."""
    return None if settings.ledger_switch is None else Switch(*settings.ledger_switch)


class JobsProcess:
    """The scheduler with what it fires."""

    def __init__(
        self,
        settings: Settings,
        genesis: Genesis,
        index: Index,
        production: BlockProduction,
        clock: WallClock | None = None,
        checkpoints: CheckpointSigning | None = None,
        jobs: Sequence[Job] | None = None,
        turn: tenure.Tenure | None = None,
    ) -> None:
        """`jobs`: those of the settings unless others are given. Without `turn` nobody looks whether another home took over."""
        self._settings, self._genesis, self._index, self._production = settings, genesis, index, production
        self._checkpoints, self._turn, self._is_over = checkpoints, turn, False
        self._jobs = jobs_of(settings) if jobs is None else jobs
        self._holder = holder_of(settings)
        self._scheduler = BackgroundScheduler(timezone=UTC)
        self._told = threading.Event()
        self._clock = clock or WallClock()
        self._fired: dict[str, tuple[int, float]] = {}  # by name: seconds between two times, and one of them
        self._at_work = AtWork()
        self._log = logger()

    def run_until_told(self) -> None:
        """Returns after SIGTERM or SIGINT, when no job runs any more. Where one hangs, the process ends with the code HANGING."""
        with signals_as_bytes((signal.SIGTERM, signal.SIGINT)) as heard:
            self._start()
            heard.settimeout(LOOK_UP_EVERY)
            while not self._told.is_set():
                try:
                    heard.recv(1)
                except TimeoutError:
                    self._follow_clock()
                    if overdue := self._at_work.overdue():
                        self._end_at_once(overdue)
                else:
                    self._told.set()
            self._scheduler.shutdown(wait=True)

    def _start(self) -> None:
        genesis = self._genesis
        self._say_what_was_interrupted()
        first_slot = genesis.slot_time(genesis.slot_at(time.time()) + 1)
        self._fire("produce-blocks", self._produce, genesis.slot_seconds, first_slot)
        for job in self._jobs:
            if not job.claimed:
                self._fire(job.name, partial(self._run_quietly, job), job.schedule.following(0), time.time())
        if self._turn is not None:
            self._fire("look-who-serves", partial(self._look_who_serves, self._turn), tenure.LOOK_EVERY, time.time())
        self._fire("look-what-is-due", self._start_due, LOOK_EVERY, time.time() + FIRST_LOOK)
        self._scheduler.start()
        self._log.info("jobs run", jobs=[job.id for job in self._scheduler.get_jobs()], slot_seconds=genesis.slot_seconds)

    def _end_at_once(self, overdue: Sequence[Running]) -> None:
        """See `jobs.at_work`. What cannot be recorded now, the next start says of all that was interrupted."""

        def record() -> None:
            for run in overdue:
                say_overdue(self._settings, run.job, run.scheduled_for, run.within)

        recording = threading.Thread(target=record, daemon=True)
        recording.start()
        recording.join(TO_RECORD)
        os._exit(HANGING)

    def _look_who_serves(self, turn: tenure.Tenure) -> None:
        """Without the bucket nobody can tell, and whoever would take over needs it as much: all goes on until it is back."""
        if tenure.told(self._settings.home) is not None:
            return
        try:
            turn.verify()
        except tenure.TakenOver as error:
            self._log.error("another home took over: nothing is produced, written or served here any more", reason=str(error))
            self._is_over = True  # even where the disk has no room to tell the others: that is tried again
            tenure.tell(self._settings.home, str(error))
        except GatewayError as error:
            self._log.warning("whether another home took over cannot be seen for now", reason=str(error))

    def _is_taken_over(self) -> bool:
        return self._is_over or tenure.told(self._settings.home) is not None

    def _produce(self) -> None:
        if self._is_taken_over():
            return
        with self._at_work.on("produce-blocks", SLOT_WITHIN):
            self._serve_slot()

    def _serve_slot(self) -> None:
        leapt_by = self._clock.leapt_by()
        if leapt_by:
            self._log.error(
                "the clock was put: no block until it is right again, or has gone on so for 10 minutes", seconds=round(leapt_by)
            )
        else:
            self._production.produce(self._clock.now())
            if self._checkpoints is not None:
                self._checkpoints.sign(self._clock.now())

    def _follow_clock(self) -> None:
        """Where the clock was put back, what is fired would wait for times that were near when it was ahead."""
        now = self._clock.now()
        for name, (every, at) in self._fired.items():
            following = datetime.fromtimestamp(now + every - (now - at) % every, UTC)
            if self._scheduler.get_job(name).next_run_time > following:
                self._scheduler.modify_job(name, next_run_time=following)

    def _fire(self, name: str, run: Callable[[], object], every: int, first_at: float) -> None:
        self._fired[name] = every, first_at
        self._scheduler.add_job(
            run,
            "interval",
            seconds=every,
            start_date=datetime.fromtimestamp(first_at, UTC),
            id=name,
            coalesce=True,
            max_instances=1,
            misfire_grace_time=LATE_BY,
        )

    def _say_what_was_interrupted(self) -> None:
        try:
            with self._index.atomic() as connection:
                count = job_runs.interrupt(connection, self._holder)
        except Unavailable as error:
            self._log.error("runs of before that did not end are not marked", reason=str(error))
        else:
            if count:
                self._log.warning("jobs did not end before the last stop", runs=count)

    def _run_quietly(self, job: Job) -> None:
        if self._is_taken_over():
            return
        try:
            with self._at_work.on(job.name, job.within):
                counts = run_now(self._settings, job).counts
        except JobFailed as error:
            self._log.error("job failed; it runs again at its next time", job=job.name, reason=str(error))
        else:
            if any(counts.values()):
                self._log.info("job done", job=job.name, **counts)

    def _start_due(self) -> None:
        """Each in a thread of its own, so that a long one holds up no other; one that still runs is not started again."""
        if self._is_taken_over():
            return
        try:
            self._look_after_runs(int(time.time()))
            for job in self._jobs:
                if job.claimed and due_at(self._index, job, int(time.time()), self._genesis.started_at) is not None:
                    with suppress(ConflictingIdError):  # it was added a moment ago
                        self._scheduler.add_job(self._serve, args=[job], id=job.name, max_instances=1, misfire_grace_time=LATE_BY)
        except Unavailable as error:
            self._log.error("what is due cannot be seen for now", reason=str(error))

    def _look_after_runs(self, now: int) -> None:
        with self._index.reading() as connection:
            if not job_runs.is_any_running(connection):
                return
        with self._index.atomic() as connection:
            job_runs.seen(connection, self._holder, self._at_work.claimed(), now)
            count = job_runs.interrupt_silent(connection, now)
        if count:
            self._log.warning("jobs were not heard of and are anyone's now", runs=count)

    def _serve(self, job: Job) -> None:
        now = int(time.time())
        try:
            scheduled_for = due_at(self._index, job, now, self._genesis.started_at)
            if scheduled_for is None or not claim(self._index, job, scheduled_for, now, self._holder):
                return
            with self._at_work.on(job.name, job.within + job.apart * APART_LONGER, scheduled_for):
                if job.apart:
                    perform_apart(self._settings, job, scheduled_for, self._told)
                else:
                    perform(self._settings, job, scheduled_for)
        except Unavailable as error:
            self._log.error("a job could not be claimed or recorded", job=job.name, reason=str(error))
