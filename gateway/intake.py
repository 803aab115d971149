"""Release and storage: a submission on its way from bytes to a durable answer, in the order in which things become true.

    1 authenticated, decoded          the caller's (gateway.web)
      sent before?                    then answered as it was then (gateway.repetition)
    2 read and checked                a fault: nothing was written
    3 adapted                         nothing was written
    4 named and placed                reads only; a block of row numbers may be used up
    5 sealed                          nothing was written
    6 container put, durable          a crash: an orphan object, which the audit names and the sweeper removes
    7 rows and ANCHOR committed       a crash: all of it is there, and a repeated submission is told so
    8 answered

Another submission may win between 4 and 7. Then this one starts again at 4. Submissions that arrive together share 6 and 7.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from threading import Lock

from sqlalchemy import Connection

from fhir_adapters import InvalidInput
from gateway import joining, sealing
from gateway.errors import Refused, Unavailable
from gateway.identity.compartment import Compartments, assign_archives
from gateway.identity.lookups import Lookups, look_up
from gateway.identity.resolution import NOWHERE, Resolution, resolve, rewritten
from gateway.index import archives, changes
from gateway.index.archives import Archive
from gateway.index.database import LostRace
from gateway.index.index_row import IndexRow
from gateway.index.parties import Party
from gateway.index.submissions import Result
from gateway.index.tokens import CodeTokens
from gateway.pending import Pending, Sealed
from gateway.reading import Reading, read_submission
from gateway.repetition import Past, answered, look_back, replayed
from gateway.sealing import Attested, Sealing
from gateway.services import Services
from gateway.submission import Accepted, Failed, Submission, all_of, failed_by
from gateway.vault.seal import RecordToSeal
from gateway.versions import Version, changes_of, decide_version, index_rows, records_of

ATTEMPTS = 30
PATIENCE = 60.0  # seconds; who has the turn may wait for a bucket that hangs
_contended = Lock()  # of this process: who lost once goes on one at a time, so that many who change one record all get their turn


def receive(services: Services, sender: Party, submission: Submission) -> Accepted:
    """Take a submission: all of it or nothing, except for a batch, whose entries stand each for itself.

    Raises InvalidInput with every fault; PreconditionFailed, NotSupported or SubmissionInvalid (all Refused); Unavailable if storage or
    database cannot be reached. Then nothing was written that anyone can see.
    """
    try:
        accepted = _receive(services, sender, submission)
    except (InvalidInput, Refused, Unavailable) as error:
        services.metrics.submission("unavailable" if isinstance(error, Unavailable) else "refused")
        raise
    outcomes = ("failed" if isinstance(result, Failed) else result.status for result in accepted.results)
    services.metrics.submission("replayed" if accepted.replayed else "accepted", () if accepted.replayed else outcomes)
    return accepted


def _receive(services: Services, sender: Party, submission: Submission) -> Accepted:
    read: tuple[Reading, Attested] | None = None
    for attempt in range(ATTEMPTS):
        with _turn_of_a_loser() if attempt else nullcontext(), suppress(LostRace):
            past = look_back(services, sender, submission)  # sent before?
            answer = replayed(services, sender, submission, past)
            if answer is not None:
                return answer
            read = read or _read(services, sender, submission)  # 2, 3
            return _Attempt(services, sender, submission, read[1], past).run(read[0])
    raise Unavailable("too many submissions change the same records at once")


@contextmanager
def _turn_of_a_loser() -> Iterator[None]:
    if not _contended.acquire(timeout=PATIENCE):
        raise Unavailable("too many submissions change the same records at once")
    try:
        yield
    finally:
        _contended.release()


def _read(services: Services, sender: Party, submission: Submission) -> tuple[Reading, Attested]:
    """Steps 2 and 3: the entries, checked, and whose signature covers them."""
    reading = read_submission(submission)
    return reading, sealing.attest(services, sender, submission, reading.entries)


class _Attempt:
    """Steps 4 to 8, once."""

    def __init__(self, services: Services, sender: Party, submission: Submission, attested: Attested, past: Past) -> None:
        self._services, self._sender, self._submission, self._attested = services, sender, submission, attested
        self._past, self._now_ms = past, int(submission.received_at * 1000)

    def run(self, reading: Reading) -> Accepted:
        """LostRace if another submission came first."""
        lookups, resolution, reading = self._name(self._past.left_of(reading))  # 4
        compartments = assign_archives(resolution, lookups, self._open_archive)
        ids = self._ids(resolution)
        rewrites = rewritten(resolution, lookups, ids)
        versions = [decide_version(placed, rewrites, self._services.tokens, self._now_ms) for placed in resolution.placed]
        results = self._past.results_with(reading, versions)
        new = [version for version in versions if version.is_new]
        if new:  # 5 to 7
            self._store(new, lookups, resolution, compartments, ids, results)
        elif not self._past.is_forgettable:
            with self._services.index.atomic() as connection:
                self._remember(connection, None, results)
        return answered(self._services, self._past, reading, versions, ids)  # 8

    # --- 4

    def _name(self, reading: Reading) -> tuple[Lookups, Resolution, Reading]:
        """Who is who. A batch goes on without the entries that cannot be placed, and then without those that refer to them."""
        services = self._services
        with services.index.reading() as connection:
            before = self._past.rows_of(reading.drafts)
            lookups = look_up(connection, services.tokens, services.ids, self._sender.row, reading.drafts, before)
        while True:
            resolution = resolve(reading.drafts, lookups, services.row_numbers.take)
            if not resolution.faults:
                return lookups, resolution, reading
            failed = {index: failed_by(issues) for index, issues in resolution.faults.items()}
            if not reading.is_batch:
                raise all_of(failed)
            reading = reading.without(failed)

    def _open_archive(self, party: int | None) -> Archive:
        return archives.new(self._services.keyring.new_archive(self._services.random), party)

    def _ids(self, resolution: Resolution) -> dict[int, str]:
        """The gateway id of every row that the records are or refer to."""
        rows = ({placed.row for placed in resolution.placed} | {row for row, _ in resolution.targets.values()}) - {NOWHERE}
        return dict(zip(rows, self._services.ids.encode(rows), strict=True))

    # --- 5

    def _sealing(self, new: Sequence[Version], compartments: Compartments, ids: Mapping[int, str]) -> tuple[Sealing, dict[int, IndexRow]]:
        """The records of each archive, about to be sealed, and the index row of each new version by its row."""
        services = self._services
        secrets = {
            archive: services.keyring.archive_secret(archive.keys) for archive in dict.fromkeys(compartments.of[v.placed.row] for v in new)
        }
        codes = {archive: CodeTokens(secret.token_key) for archive, secret in secrets.items()}
        known = index_rows(new, self._sender.row, compartments.of, compartments.also_of, codes, services.tokens)
        source = f"urn:fhir-anchor:{self._sender.client_id}#{self._submission.request_id}"
        groups: dict[Archive, list[tuple[int, RecordToSeal]]] = {archive: [] for archive in secrets}
        for row, record in records_of(new, known, ids, source, self._attested.tree.salts).items():
            groups[compartments.of[row]].append((row, record))
        return Sealing(services, self._attested, groups, secrets), known

    # --- 6, 7

    def _store(
        self,
        new: Sequence[Version],
        lookups: Lookups,
        resolution: Resolution,
        compartments: Compartments,
        ids: Mapping[int, str],
        results: Sequence[Result],
    ) -> None:
        """Together with what others store at this moment; see `gateway.group_commit`."""
        bundles, known = self._sealing(new, compartments, ids)
        persons = joining.new_persons(self._services, new, compartments.of)
        sender, now = self._sender.row, self._now_ms // 1000

        def write(connection: Connection, sealed: Sealed, container: int, first_bundle: int) -> None:
            changes.write(connection, changes_of(sender, new, known, sealed, lookups, resolution, compartments, now), first_bundle)
            self._remember(connection, container, results)
            joining.settle(self._services, connection, persons, now)

        self._services.group_commit.commit(Pending(bundles.sealed, write, bundles.archives, bundles.size, compartments.opened, now))

    def _remember(self, connection: Connection, container: int | None, results: Sequence[Result]) -> None:
        self._past.remember(connection, self._sender.row, container, results, self._now_ms // 1000)
