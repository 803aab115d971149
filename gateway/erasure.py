"""Erasing a patient: the keys are destroyed, and with them all content; chain and proofs stay (docs/adr/0033-erasure.md).

In commit order, and what a crash there leaves:

1. a mark in the bucket for each archive     keys and rows are still there; the audit names it, and the same command finishes it
2. one unit of the database                  all is gone, or nothing: grants are revoked, keys destroyed, the rows of records deleted

The mark comes first, so that no erasure that was answered can be undone by a database restored from before it.
"""

from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass

from sqlalchemy import Connection, select

from gateway import granting
from gateway.errors import Conflict
from gateway.index import archives, consents, erasures, parties, sources
from gateway.index import schema as t
from gateway.index.database import Index
from gateway.registration import NotOnePatient
from gateway.services import Services
from gateway.storage.port import ObjectExists, ObjectMissing, ObjectStore
from gateway.vault.erasure_mark import FOLDER, is_mark, key_id_of_name, mark_body, mark_name


class Held(Conflict):
    """A legal hold forbids to erase the patient."""


@dataclass(frozen=True, slots=True)
class Erased:
    """How much there was: archives joined as one person's, and records."""

    archives: int
    records: int


def archives_of(services: Services, connection: Connection, system: str, value: str) -> tuple[int, ...]:
    """The rows of all archives of the one patient with this identifier. Raises NotOnePatient."""
    token = services.tokens.identifier("Patient", system, value)
    found = archives.of_patient_resources(connection, sources.rows_by_identifier(connection, [token]).get(token, set()))
    groups = set(archives.groups_of(connection, found).values())
    if len(groups) != 1:
        raise NotOnePatient(
            "no patient here has this identifier" if not groups else f"{len(groups)} patients have this identifier; none is guessed"
        )
    return groups.pop()


def erase(services: Services, system: str, value: str) -> Erased:
    """Destroy all that opens what is sealed to the patient with this identifier. Raises NotOnePatient, Held, Conflict, Unavailable."""
    with services.index.reading() as connection:
        rows = archives_of(services, connection, system, value)
        _refuse_held(connection, rows)
        key_ids = [archive.keys.key_id for archive in archives.by_rows(connection, rows).values()]
    for key_id in key_ids:
        with suppress(ObjectExists):
            services.store.put_if_absent(mark_name(key_id), mark_body(services.index_key, key_id))
    with services.index.atomic() as connection:
        if archives_of(services, connection, system, value) != rows:  # what was joined since has no mark, what was split is somebody else's
            raise Conflict("the patient's archives were joined or split meanwhile; nothing was erased, run it again")
        _refuse_held(connection, rows)
        records = destroy(services, connection, rows)
    forget_traces(services.index)
    return Erased(len(rows), records)


def destroy(services: Services, connection: Connection, rows: Collection[int]) -> int:
    """The unit of the database, for archives that are not destroyed yet; how many records there were."""
    for row in rows:
        for grant in consents.standing(connection, row):
            granting.end(services, connection, grant)
    owners = connection.scalars(select(t.party.c.client_id).where(t.party.c.archive.in_(rows))).all()
    for client_id in owners:
        parties.suspend(connection, client_id, int(services.clock()))
    return sum(erasures.destroy(connection, row) for row in rows)


def forget_traces(index: Index) -> None:
    """SQLite leaves old bytes in free pages and in its log; sealed keys must not stay there for whoever has the KEK."""
    if index.engine.dialect.name == "sqlite":
        with index.engine.connect() as connection:
            connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")


def marked(store: ObjectStore, own_key: bytes) -> list[bytes]:
    """The key ids of all archives that the bucket says were erased, as this gateway wrote it. Raises Unavailable."""
    named = ((item.name, key_id_of_name(item.name)) for item in store.list(FOLDER))
    return [key_id for name, key_id in named if key_id is not None and is_mark(own_key, key_id, store.get(name))]


def is_marked(store: ObjectStore, own_key: bytes, key_id: bytes) -> bool:
    """Whether the bucket says, as this gateway wrote it, that the archive of this key id was erased. Raises Unavailable."""
    try:
        return is_mark(own_key, key_id, store.get(mark_name(key_id)))
    except ObjectMissing:
        return False


def _refuse_held(connection: Connection, rows: Collection[int]) -> None:
    if erasures.held_among(connection, rows):
        raise Held("a legal hold forbids to erase this patient; lift it first: fhir-anchor patient hold --lift")
