"""Erasing a patient: the keys are destroyed, and with them all content; chain and proofs stay (docs/adr/0033-erasure.md).

In commit order, and what a crash there leaves:

1. a mark in the bucket for each archive     keys and rows are still there; the audit names it, and the same command finishes it
2. one unit of the database                  all is gone, or nothing: grants are revoked, keys destroyed, the rows of records deleted
3. the database's files are written anew     nothing opens any more; the old bytes are still there, the audit says so, and the same command
                                             finishes it

The mark comes first, so that no erasure that was answered can be undone by a database restored from before it.
"""

from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass

from sqlalchemy import Connection, select

from gateway import granting
from gateway.errors import Conflict
from gateway.index import archives, consents, erasures, parties, sources, traces
from gateway.index import schema as t
from gateway.registration import NotOnePatient
from gateway.services import Services
from gateway.storage.port import ObjectExists, ObjectMissing, ObjectStore
from gateway.vault.erasure_mark import FOLDER, MAX_BYTES, is_mark, key_id_of_name, mark_body, mark_name


class Held(Conflict):
    """A legal hold forbids to erase the patient."""


class JoinedTooMany(Conflict):
    """Archives of others are joined with the patient's, and nobody said that this was looked at."""


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


def erase(services: Services, system: str, value: str, *, is_joined: bool = False, patience: float = traces.PATIENCE) -> Erased:
    """Destroy all that opens what is sealed to the patient with this identifier, or finish what an earlier call left.

    Archives that are joined go together, and only if `is_joined` says that this was looked at. Raises NotOnePatient, Held, Conflict,
    Unavailable, and TracesRemain where all is destroyed and the database's files could not be cleaned: call it again.
    """
    token = services.tokens.identifier("Patient", system, value)
    try:
        erased = _erase(services, system, value, token, is_joined=is_joined)
    except NotOnePatient:
        with services.index.reading() as connection:
            left = erasures.uncleaned(connection, token)
        if left is None:
            raise
        erased = Erased(*left)
    traces.forget(services.index, patience)
    with services.index.atomic() as connection:
        erasures.mark_cleaned(connection)
    return erased


def _erase(services: Services, system: str, value: str, token: bytes, *, is_joined: bool) -> Erased:
    with services.index.reading() as connection:
        rows = archives_of(services, connection, system, value)
        if len(rows) > 1 and not is_joined:
            raise JoinedTooMany(
                f"{len(rows)} archives are joined as this patient's, and all of them would be erased; nothing was. If they are one"
                " person's: --joined; else take off who is another first: fhir-anchor patient split PATIENT"
            )
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
        erasures.mark_uncleaned(connection, token, len(rows), records)
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


def marked(store: ObjectStore, own_key: bytes) -> list[bytes]:
    """The key ids of all archives that the bucket says were erased, as this gateway wrote it. Raises Unavailable."""
    named = ((item.name, key_id_of_name(item.name)) for item in store.list(FOLDER))
    return [key_id for name, key_id in named if key_id is not None and is_mark(own_key, key_id, _read_mark(store, name))]


def is_marked(store: ObjectStore, own_key: bytes, key_id: bytes) -> bool:
    """Whether the bucket says, as this gateway wrote it, that the archive of this key id was erased. Raises Unavailable."""
    try:
        return is_mark(own_key, key_id, _read_mark(store, mark_name(key_id)))
    except ObjectMissing:
        return False


def _read_mark(store: ObjectStore, name: str) -> bytes:
    """Whatever lies there may be of any size. Raises Unavailable, ObjectMissing."""
    return store.get_range(name, 0, MAX_BYTES)


def _refuse_held(connection: Connection, rows: Collection[int]) -> None:
    if erasures.held_among(connection, rows):
        raise Held("a legal hold forbids to erase this patient; lift it first: fhir-anchor patient hold --lift")
