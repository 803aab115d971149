"""Consents as they stand, told to the patient who granted them and to the party that they name (docs/adr/0017-consent.md)."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeVar

from sqlalchemy import Connection

from gateway.consent.coded import CLIENT_ID_SYSTEM
from gateway.consent.resource import write_consent
from gateway.errors import NotFound
from gateway.index import archives, consents
from gateway.index.consents import ConsentRow
from gateway.index.parties import Party
from gateway.search.parse import Search
from gateway.search.scope import named_archives
from gateway.services import Services
from gateway.submission import instant

Value = TypeVar("Value")
ACTIVE, INACTIVE = 1, 2  # versions: a Consent is granted, and revoked once


@dataclass(frozen=True, slots=True)
class StoredConsent:
    """A Consent as it stands, or as it was before its revoke. `body` is JSON; `updated_ms` in milliseconds since the epoch."""

    id: str
    version: int
    updated_ms: int
    body: bytes
    is_new: bool = False


def read(services: Services, reader: Party, id_: str, version: int | None = None) -> StoredConsent | None:
    """A Consent that `reader` granted, or that names it as grantee; None where this id is none. NotFound for a version it never had."""
    row = services.ids.decode(id_)
    if row is None:
        return None
    with services.index.reading() as connection:
        own = archives.joined_with(connection, reader.archive)
        found = consents.find_visible(connection, row, reader.row, own)
        if found is None:
            return None
        return written(services, connection, found, version=version, for_grantee=found.grant.archive not in own)


def find(services: Services, reader: Party, search: Search, after: int) -> tuple[list[StoredConsent], int | None]:
    """Of the Consents that `reader` granted or that name it, the first `search.count` after number `after`, revoked ones included.

    And after which number to go on, None at the end. Whom nothing names finds nothing, whether or not a patient exists.
    """
    rows = _common({row for id_ in group if (row := services.ids.decode(id_)) is not None} for group in search.ids)
    grantees = _common({code for system, code in group if system in (None, CLIENT_ID_SYSTEM)} for group in search.actors)
    with services.index.reading() as connection:
        own = archives.joined_with(connection, reader.archive)
        found = consents.visible(
            connection,
            reader.row,
            own,
            after=after,
            limit=search.count + 1,
            archives=named_archives(services, connection, reader, search),
            rows=rows,
            grantees=grantees,
        )
        page = found[: search.count]
        following = page[-1].grant.sequence if len(found) > len(page) else None
        return [written(services, connection, one, for_grantee=one.grant.archive not in own) for one in page], following


def written(
    services: Services,
    connection: Connection,
    found: ConsentRow,
    *,
    version: int | None = None,
    is_new: bool = False,
    for_grantee: bool = False,
) -> StoredConsent:
    """The Consent of a row, in its present version or the one asked for; a grantee learns of no exceptions."""
    current = ACTIVE if found.revoked_ms is None else INACTIVE
    version = current if version is None else version
    if not ACTIVE <= version <= current:
        raise NotFound("the resource has no such version")
    id_ = services.ids.encode([found.grant.row])[0]
    updated_ms = found.granted_ms if version == ACTIVE else found.revoked_ms or 0
    body = write_consent(
        services.keyring.open(sealed_context(id_), found.sealed),
        id_=id_,
        version=version,
        last_updated=instant(updated_ms),
        patient=_patient_reference(services, connection, found.grant.archive),
        active=version == ACTIVE,
        for_grantee=for_grantee,
    )
    return StoredConsent(id_, version, updated_ms, body, is_new)


def sealed_context(id_: str) -> str:
    """What the Consent with this id is sealed for."""
    return f"consent/{id_}"


def _common(groups: Iterable[set[Value]]) -> set[Value] | None:
    """What all groups have, None where there is no group."""
    each = list(groups)
    return set.intersection(*each) if each else None


def _patient_reference(services: Services, connection: Connection, archive: int) -> str | None:
    row = consents.patient_resource(connection, archive)
    return None if row is None else f"Patient/{services.ids.encode([row])[0]}"
