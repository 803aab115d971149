"""What leaves, and to whom: one door for every read (docs/design/access.md).

It opens for what is the reader's own, and for what a grant in force permits for the purpose that the reader states. Whoever else asks, and
whoever asks for what does not exist, gets one and the same answer. In the order in which things become true:

    1 party, purpose and scope known       the caller's (gateway.web)
    2 located, permitted by the index      `locate`, `candidates`: reads only; what content decides stays open
    3 opened, checked against its leaf     `committed`: nothing has left
    4 permitted by its content             `permitted`: the exceptions that a grant makes
    5 permitted still                      `release_page`: reads only. Where no grant is relied on, 7 follows
    6 permitted still, the access logged   one commit, the moment that counts. A crash before it: nothing left, nothing is logged; after
                                           it: logged, whether or not it left. No revoke that was answered lies before it
    7 handed over                          the caller's
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from sqlalchemy import Connection

from gateway import directory
from gateway.access_log import LoggedAccess, log_accesses
from gateway.consent.decision import OWN, Decision
from gateway.consent.facts import OpenedFacts
from gateway.consent_check import verify_grants
from gateway.errors import Forbidden, Gone, NotFound
from gateway.index import directory_links, records
from gateway.index.parties import Party
from gateway.index.records import RecordLocation
from gateway.permission import decide_each
from gateway.services import Services
from gateway.vault.primitives import WrapPrivateKey

REFUSAL = "no such record, or no permission to read it"  # the same words for what is another's and for what does not exist


@dataclass(frozen=True, slots=True)
class StandardRecord:
    """The committed bytes of one version; `updated_ms` in milliseconds since the epoch; `accesses`: how its reading was logged."""

    body: bytes
    version: int
    updated_ms: int
    accesses: Sequence[LoggedAccess] = ()


@dataclass(frozen=True, slots=True)
class Disclosed:
    """A record that was opened for a reader, with its id and its committed bytes."""

    location: RecordLocation
    id: str
    body: bytes


@dataclass(frozen=True, slots=True)
class Released:
    """What may leave, and the entries of the access log that stand for it: one for each grant, none for what is the reader's own."""

    records: list[Disclosed]
    accesses: Sequence[LoggedAccess]


class Deleted(Gone):
    """The version that was asked for says that the resource was deleted; `location` is where it says so."""

    def __init__(self, location: RecordLocation) -> None:
        super().__init__("the resource was deleted")
        self.location = location


def read(
    services: Services, reader: Party, resource_type: str, id_: str, version: int | None = None, *, purpose: str | None = None
) -> StandardRecord:
    """The current version of `Type/id`, or the one asked for, checked against its leaf.

    Raises as `locate` and `committed` do, Deleted for a deleted version.
    """
    with services.index.reading() as connection:
        location, decision = _located(services, connection, reader, resource_type, id_, version, purpose)
        key = services.anchored.private_key_in(connection, location.archive)
    record = committed(services, location, key)
    if location.deleted:
        raise Deleted(location)
    leaving = _Page(services, reader, purpose, [Disclosed(location, id_, record.body)])
    released = (None if decision.grants else leaving.unlogged()) or leaving.logged()
    return replace(record, accesses=released.accesses)


def history(
    services: Services, reader: Party, resource_type: str, id_: str, *, before: int | None, limit: int, purpose: str | None = None
) -> tuple[Released, int | None]:
    """The newest `limit` versions, below version `before` if one is given, and the `before` of the next page, None after the last.

    Of them those that the reader may have; a deletion has an empty body. Raises as `locate` does for the current version: who may not have
    that learns of no other; else as `committed` and `release_page`.
    """
    current = locate(services, reader, resource_type, id_, purpose=purpose)
    with services.index.reading() as connection:
        found = records.versions(connection, current, before, limit)
        allowed = [at for at, _ in candidates(connection, reader, purpose, found, services.clock())]
    opened = [(at, committed(services, at).body) for at in allowed]
    page = [Disclosed(at, id_, b"" if at.deleted else body) for at, body in opened]
    following = found[-1].version if found and found[-1].version > 1 else None
    return release_page(services, reader, purpose, page), following


# --- 2


def locate(
    services: Services, reader: Party, resource_type: str, id_: str, version: int | None = None, *, purpose: str | None = None
) -> RecordLocation:
    """Where a version lies that `reader` may have for `purpose`, deleted ones included; without a purpose, only its own.

    Forbidden, in the same words, for what is another's and for what does not exist; NotFound for a version that one's own never had.
    """
    with services.index.reading() as connection:
        return _located(services, connection, reader, resource_type, id_, version, purpose)[0]


def _located(
    services: Services, connection: Connection, reader: Party, resource_type: str, id_: str, version: int | None, purpose: str | None
) -> tuple[RecordLocation, Decision]:
    """The same in a unit that is open already, and why the reader may have it."""
    row = services.ids.decode(id_)
    current = None if row is None else records.find(connection, resource_type, row)
    if row is None or current is None:
        raise Forbidden(REFUSAL)
    found = current if version in (None, current.version) else records.find(connection, resource_type, row, version)
    decision = _decided(services, connection, reader, purpose, found or current)
    if not decision.permitted:
        raise Forbidden(REFUSAL)
    if found is None:
        raise NotFound("the resource has no such version")
    return found, decision


def _decided(services: Services, connection: Connection, reader: Party, purpose: str | None, at: RecordLocation) -> Decision:
    """Whether it is the reader's to have. What content decides is opened first: nothing is told of it before."""
    [decision] = decide_each(connection, reader, purpose, [at], services.clock(), preliminary=True)
    if decision.permitted and not decision.settled:
        opened = OpenedFacts({(at.row, at.version): committed(services, at).body})
        [decision] = decide_each(connection, reader, purpose, [at], services.clock(), opened)
    return decision


def candidates(
    connection: Connection, reader: Party, purpose: str | None, found: Sequence[RecordLocation], now: float
) -> list[tuple[RecordLocation, bool]]:
    """Those of `found` that `reader` may have at `now` (seconds), in their order: its own, and for `purpose` what was granted.

    With each, whether that is settled; else it is once the record is open, by `permitted`. Each version is judged by itself: a correction
    may have moved the resource from one patient to another.
    """
    judged = decide_each(connection, reader, purpose, found, now, preliminary=True)
    return [(at, decision.settled) for at, decision in zip(found, judged, strict=True) if decision.permitted]


# --- 3


def committed(services: Services, location: RecordLocation, key: WrapPrivateKey | None = None) -> StandardRecord:
    """The bytes at a place that the reader may have, a tombstone's too; `key` is its archive's, if the caller has it already.

    Unavailable if the container cannot be read, SealBroken if it was altered.
    """
    record = services.anchored.record(location, services.anchored.bundle(location, key))
    return StandardRecord(record.body, location.version, location.updated_ms)


# --- 4


def permitted(connection: Connection, reader: Party, purpose: str | None, record: Disclosed, now: float) -> bool:
    """Whether an opened record may leave."""
    [decision] = decide_each(connection, reader, purpose, [record.location], now, _facts([record]))
    return decision.permitted


def _facts(page: Sequence[Disclosed]) -> OpenedFacts:
    return OpenedFacts({(record.location.row, record.location.version): record.body for record in page})


# --- 5, 6


def release_page(services: Services, reader: Party, purpose: str | None, page: Sequence[Disclosed]) -> Released:
    """What of `page` may leave. Every page leaves through here, and a single record as a page of one.

    Opening takes time, so all permissions are looked at again: what was revoked meanwhile stays. Forbidden where nothing of the page is
    left; RowAltered for a grant that is not as it was given; Unavailable where what is to be logged cannot be.
    """
    leaving = _Page(services, reader, purpose, page)
    return leaving.unlogged() or leaving.logged()


class _Page:
    """Opened records on their way to a reader, for one purpose."""

    def __init__(self, services: Services, reader: Party, purpose: str | None, records: Sequence[Disclosed]) -> None:
        self._services, self._reader, self._purpose, self._records = services, reader, purpose, records
        self._opened = _facts(records)

    def unlogged(self) -> Released | None:
        """Step 5: what may leave, where there is nothing to log; else None."""
        with self._services.index.reading() as connection:
            judged = self._judged(connection, self._services.clock())
            if any(decision.grants for decision in judged) or self._new_links(connection, judged):
                return None
        return self._released(judged, ())

    def logged(self) -> Released:
        """Step 6: what may leave, looked at in the unit of the database that logs it."""
        with self._services.index.atomic() as connection:
            now = self._services.clock()
            judged = self._judged(connection, now)
            if links := self._new_links(connection, judged):
                directory_links.add(connection, self._reader.row, links)
                judged = self._judged(connection, now)  # what is linked may be on this very page
            verify_grants(self._services, connection, {grant for decision in judged for grant in decision.grants})
            relied_on = [(record.location, record.id, decision.grants) for record, decision in zip(self._records, judged, strict=True)]
            accesses = log_accesses(self._services, connection, self._reader, self._purpose or "", relied_on, int(now * 1000))
        return self._released(judged, accesses)

    def _judged(self, connection: Connection, now: float) -> list[Decision]:
        return decide_each(connection, self._reader, self._purpose, [record.location for record in self._records], now, self._opened)

    def _new_links(self, connection: Connection, judged: Sequence[Decision]) -> set[tuple[int, int]]:
        giving = (((record.location, record.body), _ways(decision)) for record, decision in zip(self._records, judged, strict=True))
        return directory.new_links(self._services, connection, self._reader.row, giving)

    def _released(self, judged: Sequence[Decision], accesses: Sequence[LoggedAccess]) -> Released:
        self._services.metrics.disclosures(map(_kind, judged))
        kept = [record for record, decision in zip(self._records, judged, strict=True) if decision.permitted]
        if self._records and not kept:
            raise Forbidden(REFUSAL)
        return Released(kept, accesses)


def _kind(decision: Decision) -> str:
    """For the metrics."""
    if not decision.permitted:
        return "withheld"
    return "granted" if decision.grants else str(decision.basis)


def _ways(decision: Decision) -> set[int]:
    """How the record is the reader's to have, where it is not of its own issue."""
    return {grant.row for grant in decision.grants} or ({directory_links.OWN} if decision.basis == OWN else set())
