"""The jobs besides block production: what each does, and how often. The scheduler and the command line read the same lines."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass

from chain.ledger import Ledger
from chain.store import LedgerStore
from gateway.bootstrap import read_genesis
from gateway.index import accesses, parties
from gateway.index.database import Index, open_index
from gateway.settings import Settings
from gateway.storage.file_store import FileObjectStore
from gateway.storage.opening import open_object_store
from gateway.storage.port import ObjectStore
from jobs.sweep_orphans import GRACE_SECONDS, sweep_orphans

Result = dict[str, int]


@dataclass(frozen=True, slots=True)
class Opened:
    """What a job may use, opened for one run."""

    index: Index
    ledger: Ledger
    store: ObjectStore


@dataclass(frozen=True, slots=True)
class Job:
    """`every` in seconds. Running one twice, or late, does no harm."""

    name: str
    does: str
    every: int
    run: Callable[[Opened], Result]


def _sweep(opened: Opened) -> Result:
    return asdict(sweep_orphans(opened.ledger, opened.index, opened.store, now=int(time.time())))


def _prune(opened: Opened) -> Result:
    """One-time tokens of sign-ins that have expired, and the temporary files of puts that never ended."""
    with opened.index.atomic() as connection:
        pruned = parties.prune_jtis(connection, int(time.time()))
    if isinstance(opened.store, FileObjectStore):
        opened.store.remove_left_overs(older_than=GRACE_SECONDS, now=int(time.time()))
    return {"tokens": pruned}


def _close_access_batch(opened: Opened) -> Result:
    """Looked at without the write lock first: most of the time nobody has read anything."""
    with opened.index.reading() as connection:
        if not accesses.is_batch_open(connection):
            return {"accesses": 0}
    with opened.index.atomic() as connection:
        return {"accesses": accesses.close_batch(connection, int(time.time()))}


JOBS = (
    Job("sweep-orphans", "Remove objects that no record points to, once they are an hour old.", 3600, _sweep),
    Job("prune", "Forget expired one-time tokens and unfinished temporary files.", 600, _prune),
    Job("close-access-batch", "Put what was read by consent since the last batch in line for the ledger.", 10, _close_access_batch),
)


@contextmanager
def opened_for(settings: Settings) -> Iterator[Opened]:
    """Index, chain (read-only) and bucket, closed again afterwards."""
    genesis = read_genesis(settings)
    ledger = Ledger(LedgerStore.open(settings.effective_ledger_url, genesis, read_only=True), genesis)
    index = open_index(settings.effective_database_url)
    try:
        yield Opened(index, ledger, open_object_store(settings.effective_bucket_url))
    finally:
        index.close()
        ledger.close()
