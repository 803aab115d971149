"""What leaves, and to whom: one door for every read (DESIGN 1, table of permissions; DESIGN 2, sharing).

So far it opens for what is the reader's own. Whoever else asks, and whoever asks for what does not exist, gets one and the same
answer.
"""

from dataclasses import dataclass

from sqlalchemy import Connection

from gateway.errors import Forbidden, Gone, NotFound
from gateway.index import archives, records
from gateway.index.parties import Party, PartyRole
from gateway.index.records import RecordLocation
from gateway.services import Services


@dataclass(frozen=True, slots=True)
class StandardRecord:
    """The committed bytes of one version; `updated_ms` in milliseconds since the epoch."""

    body: bytes
    version: int
    updated_ms: int


class Deleted(Gone):
    """The version that was asked for says that the resource was deleted; `location` is where it says so."""

    def __init__(self, location: RecordLocation) -> None:
        super().__init__("the resource was deleted")
        self.location = location


def read(services: Services, reader: Party, resource_type: str, id_: str, version: int | None = None) -> StandardRecord:
    """The current version of `Type/id`, or the one asked for, checked against its leaf.

    Raises as `locate` and `committed` do, Deleted for a deleted version.
    """
    location = locate(services, reader, resource_type, id_, version)
    if location.deleted:
        raise Deleted(location)
    return committed(services, location)


def committed(services: Services, location: RecordLocation) -> StandardRecord:
    """The bytes at a place that the reader may have, a tombstone's too.

    Unavailable if the container cannot be read, SealBroken if it was altered.
    """
    return StandardRecord(services.anchored.record(location).body, location.version, location.updated_ms)


def locate(services: Services, reader: Party, resource_type: str, id_: str, version: int | None = None) -> RecordLocation:
    """Where a version lies that `reader` may have, deleted ones included.

    Forbidden, in the same words, for what is another's and for what does not exist; NotFound for a version that one's own never had.
    """
    row = services.ids.decode(id_)
    if row is not None:
        with services.index.reading() as connection:
            current = records.find(connection, resource_type, row)
            found = current if version is None else records.find(connection, resource_type, row, version)
            if found is not None and _is_own(connection, reader, found):
                return found
            if found is None and current is not None and _is_own(connection, reader, current):
                raise NotFound("the resource has no such version")
    raise Forbidden("no such record, or no permission to read it")


def history(
    services: Services, reader: Party, resource_type: str, id_: str, *, before: int | None, limit: int
) -> tuple[list[RecordLocation], int | None]:
    """The newest `limit` versions, below version `before` if one is given, and the `before` of the next page, None after the last.

    Of them those that `reader` may have. Raises as `locate` does for the current version: who may not have that learns of no other.
    """
    current = locate(services, reader, resource_type, id_)
    with services.index.reading() as connection:
        found = records.versions(connection, current, before, limit)
        own = [location for location in found if _is_own(connection, reader, location)]
    return own, found[-1].version if found and found[-1].version > 1 else None


def _is_own(connection: Connection, reader: Party, record: RecordLocation) -> bool:
    """Table 1, "own": what an institution or agency issued; what lies in a patient's archive and is about no other patient besides.

    Each version is judged by itself: a correction may have moved the resource from one patient to another.
    """
    if reader.role is PartyRole.PATIENT:
        return record.archive == reader.archive and not archives.is_shared(connection, record.row, record.version)
    return record.issuer == reader.row
