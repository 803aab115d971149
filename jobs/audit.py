"""All levels of the audit, one after another: what the command line and the nightly job run."""

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from sqlalchemy.exc import DatabaseError

from chain.errors import LedgerError
from chain.ledger import Ledger
from chain.store import LedgerStore
from gateway.bootstrap import read_genesis
from gateway.errors import GatewayError
from gateway.settings import BadSetting, Settings
from gateway.storage.packs import object_reader
from jobs.audit_report import Report, merge

if TYPE_CHECKING:
    from gateway.index.database import Index
    from jobs.audit_storage import Bounds

ROTATION_DAYS = 30
PENDING_SLOTS = 60  # slots after which an unanchored container is a finding: longer than a restart takes

Progress = Callable[[str, int, int], None]  # level, height reached, height in all


@dataclass(frozen=True, slots=True)
class Audit:
    """What is audited and how: `now` in seconds since the epoch; `rotating`: of the senders' original entries a ROTATION_DAYSth is opened,
    another each day.
    """

    settings: Settings
    now: int
    rotating: bool = False
    progress: Progress = lambda _level, _reached, _total: None


def run_audit(audit: Audit, levels: tuple[str, ...]) -> Report:
    """The report of `levels` (of LEVELS), one after another; what hinders a whole level is in it."""
    report = Report()
    for level in levels:
        try:
            for part in LEVELS[level](audit):
                report = merge(report, part)
        except (BadSetting, GatewayError, LedgerError, DatabaseError, OSError) as error:
            report = merge(report, Report(could_not_check=(f"level {level}: {_sentence(error)}",)))
    return replace(report, findings=tuple(dict.fromkeys(report.findings)))  # two shards may meet the same archive


def _sentence(error: Exception) -> str:
    """SQLAlchemy's own text is its cause with a statement and an address around it."""
    return str(error.orig if isinstance(error, DatabaseError) else error)


@contextmanager
def _opened_chain(settings: Settings) -> Iterator[Ledger]:
    genesis = read_genesis(settings)
    with closing(Ledger.open(settings.effective_ledger_url, genesis, object_reader(settings.effective_bucket_url))) as ledger:
        yield ledger


def _ledger(audit: Audit) -> Iterator[Report]:
    from jobs.audit_ledger import verify_ledger

    genesis = read_genesis(audit.settings)
    archive = object_reader(audit.settings.effective_bucket_url)
    with closing(LedgerStore.open(audit.settings.effective_ledger_url, genesis, read_only=True, archive=archive)) as store:
        yield verify_ledger(store, genesis, audit.settings.keys_path, partial(audit.progress, "ledger"))


def _storage(audit: Audit) -> Iterator[Report]:
    from gateway.storage.opening import open_object_store
    from jobs.audit_storage import verify_storage

    with closing(_opened_index(audit.settings)) as index, _opened_chain(audit.settings) as ledger:
        store = open_object_store(audit.settings.effective_bucket_url)
        yield from verify_storage(audit.settings, ledger, index, store, _bounds(audit, index))


def _opened_index(settings: Settings) -> "Index":
    from gateway.bootstrap import keyring_of
    from gateway.index.database import open_index

    return open_index(settings.effective_database_url, keyring_of(settings))


def _bounds(audit: Audit, index: "Index") -> "Bounds":
    from gateway.index import restores
    from jobs.audit_storage import Bounds

    with index.reading() as connection:
        lost = restores.losses(connection)
    return Bounds(audit.now, PENDING_SLOTS * read_genesis(audit.settings).slot_seconds, lost)


def _content(audit: Audit) -> Iterator[Report]:
    from jobs.audit_content import ALL, Turn, verify_content

    originals = Turn(audit.now // 86_400, ROTATION_DAYS) if audit.rotating else ALL
    with _opened_chain(audit.settings) as ledger:
        total = ledger.height()
        for height, part in verify_content(audit.settings, ledger, originals=originals):
            audit.progress("content", height, total)
            yield part


def _conduct(audit: Audit) -> Iterator[Report]:
    from jobs.audit_conduct import verify_conduct

    with closing(_opened_index(audit.settings)) as index:
        bounds = _bounds(audit, index)
    with _opened_chain(audit.settings) as ledger:
        total = ledger.height()
        for height, part in verify_conduct(audit.settings, ledger, bounds):
            audit.progress("conduct", height, total)
            yield part


LEVELS: dict[str, Callable[[Audit], Iterator[Report]]] = {
    "ledger": _ledger,
    "storage": _storage,
    "content": _content,
    "conduct": _conduct,
}
