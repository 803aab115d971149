"""A grant held against the ledger before anything leaves by it: its row alone is not believed (docs/adr/0017-consent.md).

Who can write the database could widen a grant, lead it to another's archive, or make one stand again that was revoked. The ledger's
commitment opens, with a secret of the archive, to what was granted and to nothing else, and the ledger says what was revoked. A grant that
it does not have yet is held against the Consent as the keyring sealed it.
"""

from collections.abc import Collection

import msgspec
from sqlalchemy import Connection

from chain.consent import commit_terms
from chain.keys import SigningKey
from fhir_adapters.issue import InvalidInput
from gateway.consent.decision import Grant
from gateway.consent.resource import terms_of
from gateway.consent.terms import row_terms
from gateway.index import archives, consents
from gateway.index.archives import Archive
from gateway.services import Services
from gateway.vault.errors import RowAltered, WrongKey
from gateway.vault.keyring import ArchiveSecret


def verify_grants(services: Services, connection: Connection, grants: Collection[Grant]) -> None:
    """RowAltered unless each of `grants`, which stand by their rows, stands as its patient gave it."""
    known = archives.by_rows(connection, {grant.archive for grant in grants})
    for grant in grants:
        archive = known[grant.archive]
        _verify(services, connection, grant, archive, services.keyring.archive_secret(archive.keys))


def _verify(services: Services, connection: Connection, grant: Grant, archive: Archive, secret: ArchiveSecret) -> None:
    ledger = services.ledger
    entry, passed = ledger.grant(grant.id) if ledger else None, 0
    if entry is None and ledger:  # asked once more, after the number: a block may come between
        passed = ledger.last_sequence(services.gateway)
        entry = ledger.grant(grant.id)
    if entry is None and grant.sequence <= passed:
        raise _altered(grant, "the ledger went past its number without it")
    if entry is None and not _is_as_sealed(services, connection, grant, secret):
        raise _altered(grant, "it is not what its patient's Consent says")
    if entry is not None and entry.revoked is not None:
        raise _altered(grant, "it is revoked on the ledger")
    if entry is not None and (entry.sequence, entry.commitment) != (grant.sequence, _commitment(services, grant, archive, secret)):
        raise _altered(grant, "it is not what the ledger's commitment opens to")


def _commitment(services: Services, grant: Grant, archive: Archive, secret: ArchiveSecret) -> bytes:
    id_ = _consent_id(services, grant)
    return commit_terms(services.chain_id, secret.grant_salt(id_), row_terms(grant).to_bytes(id_, archive.keys.key_id))


def _is_as_sealed(services: Services, connection: Connection, grant: Grant, secret: ArchiveSecret) -> bool:
    """Whether the sealed Consent has these terms, and the one-time key is the one that this archive has for it."""
    id_ = _consent_id(services, grant)
    [row] = consents.by_rows(connection, [grant.row])
    try:
        content = services.keyring.open(f"consent/{id_.hex()}", row.sealed)
        said = terms_of(content, row.granted_ms // 1000)
    except (WrongKey, InvalidInput, msgspec.MsgspecError):
        return False
    return said == row_terms(grant) and SigningKey.from_seed(secret.grant_seed(id_)).public == grant.id


def _consent_id(services: Services, grant: Grant) -> bytes:
    return bytes.fromhex(services.ids.encode([grant.row])[0])


def _altered(grant: Grant, why: str) -> RowAltered:
    return RowAltered(f"consent_grant row {grant.row}", why)
