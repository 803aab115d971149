"""What leaves, and to whom: one door for every read (DESIGN 1, table of permissions; DESIGN 2, sharing).

It opens for what is the reader's own, and for what a grant in force permits for the purpose that the reader states. Whoever else asks, and
whoever asks for what does not exist, gets one and the same answer.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import cast

from sqlalchemy import Connection

from gateway.consent.decision import AccessRequest, Role, decide
from gateway.errors import Forbidden, Gone, NotFound
from gateway.index import consents, records, search
from gateway.index.parties import Party
from gateway.index.records import RecordLocation
from gateway.services import Services

REFUSAL = "no such record, or no permission to read it"  # the same words for what is another's and for what does not exist


@dataclass(frozen=True, slots=True)
class StandardRecord:
    """The committed bytes of one version; `updated_ms` in milliseconds since the epoch."""

    body: bytes
    version: int
    updated_ms: int


@dataclass(frozen=True, slots=True)
class Disclosed:
    """A record that was opened for a reader, with its id and its committed bytes."""

    location: RecordLocation
    id: str
    body: bytes


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
    location = locate(services, reader, resource_type, id_, version, purpose=purpose)
    if location.deleted:
        raise Deleted(location)
    record = committed(services, location)
    if not release_page(services, reader, purpose, [Disclosed(location, id_, record.body)]):
        raise Forbidden(REFUSAL)
    return record


def committed(services: Services, location: RecordLocation) -> StandardRecord:
    """The bytes at a place that the reader may have, a tombstone's too.

    Unavailable if the container cannot be read, SealBroken if it was altered.
    """
    return StandardRecord(services.anchored.record(location).body, location.version, location.updated_ms)


def locate(
    services: Services, reader: Party, resource_type: str, id_: str, version: int | None = None, *, purpose: str | None = None
) -> RecordLocation:
    """Where a version lies that `reader` may have for `purpose`, deleted ones included; without a purpose, only its own.

    Forbidden, in the same words, for what is another's and for what does not exist; NotFound for a version that one's own never had.
    """
    row = services.ids.decode(id_)
    if row is not None:
        with services.index.reading() as connection:
            current = records.find(connection, resource_type, row)
            found = current if version is None else records.find(connection, resource_type, row, version)
            asked = found or current
            if asked is not None and permitted(connection, reader, purpose, [asked], services.clock()):
                if found is None:
                    raise NotFound("the resource has no such version")
                return found
    raise Forbidden(REFUSAL)


def history(
    services: Services, reader: Party, resource_type: str, id_: str, *, before: int | None, limit: int
) -> tuple[list[RecordLocation], int | None]:
    """The newest `limit` versions, below version `before` if one is given, and the `before` of the next page, None after the last.

    Of them those that are the reader's own. Raises as `locate` does for the current version: who may not have that learns of no other.
    """
    current = locate(services, reader, resource_type, id_)
    with services.index.reading() as connection:
        found = records.versions(connection, current, before, limit)
        own = permitted(connection, reader, None, found, services.clock())
    return own, found[-1].version if found and found[-1].version > 1 else None


def permitted(
    connection: Connection, reader: Party, purpose: str | None, found: Sequence[RecordLocation], now: float
) -> list[RecordLocation]:
    """Those of `found` that `reader` may have at `now` (seconds), in their order: its own, and for `purpose` what was granted.

    Each version is judged by itself: a correction may have moved the resource from one patient to another.
    """
    also = search.also_archives(connection, {at.row for at in found})
    concerned = {at.archive for at in found}.union(*also.values())
    grants = consents.grants_for(connection, reader.row, concerned) if purpose else []
    return [at for at in found if decide(_asked(reader, purpose, at, also.get((at.row, at.version), ())), grants, now).permitted]


def release_page(services: Services, reader: Party, purpose: str | None, page: Sequence[Disclosed]) -> list[Disclosed]:
    """What of `page` may leave. Every page leaves through here, and a single record as a page of one.

    Opening takes time, so all permissions are looked at again: what was revoked meanwhile stays. This unit of the database is the moment
    that counts.
    """
    with services.index.reading() as connection:
        kept = set(permitted(connection, reader, purpose, [record.location for record in page], services.clock()))
    return [record for record in page if record.location in kept]


def _asked(reader: Party, purpose: str | None, at: RecordLocation, also: Collection[int]) -> AccessRequest:
    return AccessRequest(
        client_id=reader.client_id,
        role=cast(Role, reader.role.name.lower()),
        own_archive=reader.archive,
        purpose=purpose or "",
        action="read",
        resource_type=at.type,
        archive=at.archive,
        also_archives=also,
        issuer_is_requester=at.issuer == reader.row,
    )
