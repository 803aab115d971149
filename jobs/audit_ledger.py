"""Audit level `ledger`: every block again from the genesis, every derived row against what that gives, and the delegates' own marks."""

import multiprocessing
import os
from collections.abc import Iterator
from concurrent.futures import Executor, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy.exc import DatabaseError

from chain import queries
from chain.genesis import Genesis
from chain.snapshot import Progress
from chain.store import LedgerStore
from chain.verify import verify_chain
from chain.watermark import Duty, Mark, WatermarkUnusable, read_marks
from gateway.errors import Unavailable
from gateway.key_files import KeyFileUnusable, delegate_key_paths, read_key
from jobs.audit_report import Finding, Report

WORTH_PROCESSES = 20_000  # signatures


def verify_ledger(store: LedgerStore, genesis: Genesis, keys: Path, progress: Progress = lambda _height, _of: None) -> Report:
    """The whole chain. `keys` holds the delegates' watermarks: what a delegate voted for must still be there.

    A ledger without its watermarks could have been cut short, so a missing one is said as not checked.
    """
    marks, missing = _marks(genesis, keys)
    try:
        sizes = _sizes(store)
        with _processes(sizes) as executor:
            found = verify_chain(store, genesis, marks, executor, progress)
            findings = tuple(Finding(f.code.value, f.subject, f.detail) for f in found)
        return Report(sizes, findings=findings, could_not_check=missing)
    except Unavailable as error:
        return Report(could_not_check=(*missing, f"old blocks in the bucket: {error}"))
    except BrokenProcessPool:
        return Report(could_not_check=(*missing, "a process that verified signatures was killed; run it again"))
    except DatabaseError as error:
        return Report(could_not_check=(*missing, f"ledger.db cannot be read: {error.orig}"))


@contextmanager
def _processes(sizes: dict[str, int]) -> Iterator[Executor | None]:
    """Processes that verify signatures ahead, where there are enough of them to be worth starting: it takes as long as some thousand."""
    cores = len(os.sched_getaffinity(0))
    if cores < 2 or 5 * sizes["blocks"] + sizes["transactions"] < WORTH_PROCESSES:
        yield None
    else:
        with ProcessPoolExecutor(cores, multiprocessing.get_context("spawn")) as executor:
            yield executor


def _marks(genesis: Genesis, keys: Path) -> tuple[list[Mark], tuple[str, ...]]:
    """What each delegate says it voted for last, and which of them cannot be read."""
    marks: list[Mark] = []
    missing: list[str] = []
    try:
        paths = _watermarks(genesis, keys)
    except KeyFileUnusable as error:
        return [], (str(error),)
    for path, key in paths.items():
        try:
            marks += [mark for duty, mark in read_marks(path, genesis.chain_id, key).items() if duty is Duty.VOTE]
        except WatermarkUnusable as error:
            missing.append(str(error))
    return marks, tuple(missing)


def _watermarks(genesis: Genesis, keys: Path) -> dict[Path, bytes]:
    """Where the delegates of the genesis, and those whose keys came later, keep their marks. Those elsewhere keep theirs there.

    A delegate is elsewhere if neither key nor mark is here; where that is so of all, nobody here could tell whether the end was cut off.
    """
    found = {keys / f"{delegate.name}.watermark": delegate.key for delegate in genesis.delegates}
    here = {path: key for path, key in found.items() if path.exists() or path.with_suffix(".json").exists()}
    found = here or found
    if genesis.seats:
        found = {path.with_suffix(".watermark"): read_key(path).public for path in delegate_key_paths(keys)} | found
    return found


def _sizes(store: LedgerStore) -> dict[str, int]:
    with store.engine.connect() as connection:
        height = queries.height_of(connection)
        return {"blocks": height, "transactions": queries.log_size_at(connection, height)}
