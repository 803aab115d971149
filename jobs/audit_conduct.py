"""Audit level `conduct`: every disclosure had a permit in force, every consent row its chain state.

The chain is believed: it says in which order grants, revokes and accesses were committed, and what each commits to. The rows are opened
with the archives' secrets and held against that. A shard is a run of the commit sequence (`audit_sequence`); it reads the database once, in
one snapshot; only where a grant makes exceptions are the records opened that were read by it, one by one.
"""

from collections.abc import Callable, Iterator
from concurrent.futures.process import BrokenProcessPool
from functools import partial

from chain.consent import ConsentGrantBody, ConsentRevokeBody
from chain.errors import LedgerError
from chain.ledger import Ledger
from gateway.bootstrap import open_services, read_genesis
from gateway.errors import Unavailable
from gateway.index import consents, outbox
from gateway.index.database import Index
from gateway.services import Services
from gateway.settings import Settings
from gateway.storage.packs import object_reader
from gateway.wording import counted
from jobs.audit_accesses import AccessAudit, number_names
from jobs.audit_consents import ConsentAudit
from jobs.audit_notes import Notes
from jobs.audit_report import Finding, Report
from jobs.audit_reports import verify_reports
from jobs.audit_sequence import SHARD_NUMBERS, Extent, Shard, shards
from jobs.audit_shards import ShardRunner
from jobs.audit_storage import Bounds
from jobs.audit_stored_conduct import read_conduct


def verify_shard(shard: Shard, services: Services, ledger: Ledger) -> Report:
    """Everything of the shard's numbers."""
    notes = Notes()
    if shard.unreadable:
        notes.could_not_check(f"height {shard.last_height} cannot be read; see level ledger")
        return notes.report()
    grant_ids = {act.grant_id for act in shard.acts if isinstance(act, ConsentGrantBody | ConsentRevokeBody)}
    try:
        stored = read_conduct(services.index, shard.numbers, grant_ids)
        consent_audit = ConsentAudit(services, ledger, shard, stored, notes)
        consent_audit.verify()
        AccessAudit(services, ledger, shard, stored, consent_audit, notes).verify()
    except (Unavailable, LedgerError) as error:
        notes.could_not_check(f"the commit sequence from {shard.numbers.start} to {shard.numbers.stop - 1}: {error}")
    return notes.report()


def open_verify(settings: Settings) -> Callable[[Shard], Report]:
    """`verify_shard` for one process, with all that it needs opened; the process keeps it to its end."""
    services = open_services(settings)
    ledger = Ledger.open(settings.effective_ledger_url, read_genesis(settings), object_reader(settings.effective_bucket_url))
    return partial(verify_shard, services=services, ledger=ledger)


def verify_conduct(
    settings: Settings, ledger: Ledger, bounds: Bounds, processes: int | None = None, numbers: int = SHARD_NUMBERS
) -> Iterator[tuple[int, Report]]:
    """The whole level up to the ledger's present head: reports to merge, each with the height that is reached.

    Raises BadSetting, WrongKey, KeyFileUnusable or Unavailable where the gateway cannot be opened at all.
    """
    services = open_services(settings)

    def next_used(after: int) -> int | None:
        with services.index.reading() as connection:
            return consents.next_number_used(connection, after)

    head = ledger.head()  # before anything is read of the database: see `audit_sequence`
    height = head.height if head else 0
    try:
        recorded = ledger.last_sequence(services.gateway)
        with services.index.reading() as connection:
            given_out, used = consents.last_number(connection), consents.highest_number(connection)
        yield 0, verify_numbers(given_out, max(used, recorded, bounds.lost.last_number))
        extent = Extent(services.gateway, head, min(given_out, used), bounds)
        try:
            for shard, report in ShardRunner(settings, open_verify, processes).run(shards(ledger, extent, next_used, numbers)):
                yield shard.last_height, report
        except BrokenProcessPool:
            yield height, Report(could_not_check=("a process of the audit was killed; the commit sequence from there on",))
        yield height, verify_outbox(services.index, bounds)
        yield height, verify_reports(services.index, ledger, services.gateway, bounds)
    finally:
        services.index.close()


def verify_numbers(given_out: int, used: int) -> Report:
    """The last number that was given out is the last that something stands under."""
    if given_out == used:
        return Report()
    first, last = sorted((given_out, used))
    detail = "given out, and nothing stands under it" if given_out > used else "in use, and never given out"
    return Report(findings=(Finding("sequence-gap", number_names(range(first + 1, last + 1)), detail),))


def verify_outbox(index: Index, bounds: Bounds) -> Report:
    """What waits to be submitted has not waited for long, and nothing was set aside."""
    with index.reading() as connection:
        waiting, since, refused = outbox.size(connection), outbox.oldest(connection), outbox.dead_letters(connection)
    findings = tuple(Finding("outbox-refused", f"outbox row {letter.id}", letter.reason) for letter in refused)
    if since is None:
        return Report(findings=findings)
    if bounds.is_pending(since):
        return Report(pending=(f"{counted(waiting, 'transactions')} in the outbox",), findings=findings)
    detail = f"waiting: {counted(waiting, 'transactions')}, the first for {bounds.now - since} s"
    return Report(findings=(*findings, Finding("outbox-waiting", "outbox", detail)))
