"""What leaves by a grant, entered in the access log in the unit of the database that permits it (docs/design/access.md)."""

from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import Connection

from chain.merkle import leaf_hash
from gateway.consent.access import Access
from gateway.consent.decision import Grant
from gateway.index import accesses, archives, consents
from gateway.index.accesses import AccessRow
from gateway.index.parties import Party
from gateway.index.records import RecordLocation
from gateway.services import Services
from gateway.vault.errors import LeafMismatch
from gateway.vault.primitives import access_commitment


@dataclass(frozen=True, slots=True)
class LoggedAccess:
    """What the reader may keep of an entry: the leaf (32 bytes) that its batch will hold, and its number in the commit sequence."""

    sequence: int
    leaf: bytes


def log_accesses(
    services: Services,
    connection: Connection,
    reader: Party,
    purpose: str,
    relied_on: Iterable[tuple[RecordLocation, str, tuple[Grant, ...]]],
    now_ms: int,
) -> list[LoggedAccess]:
    """One entry for each grant that a record rests on, so that each patient's shows no other patient's. (place, id, grants) a record.

    Records that rest on no grant are logged nowhere. They count when `connection` commits; nothing may leave before.
    """
    by_grant: dict[Grant, list[tuple[RecordLocation, str]]] = {}
    for at, id_, grants in relied_on:
        for grant in grants:
            by_grant.setdefault(grant, []).append((at, id_))
    known = archives.by_rows(connection, {grant.archive for grant in by_grant})
    logged = []
    for grant in sorted(by_grant, key=lambda grant: grant.sequence):
        found = by_grant[grant]
        records = tuple((bytes.fromhex(id_), at.version) for at, id_ in found)
        access = Access(reader.client_id, purpose, grant.id, records, consents.next_sequence(connection), now_ms)
        secret = services.keyring.archive_secret(known[grant.archive].keys)
        salt = secret.access_salt(grant.id, access.sequence, now_ms)
        leaf = leaf_hash(access_commitment(services.chain_id, salt, access.to_bytes()))
        accesses.write(
            connection,
            sequence=access.sequence,
            party=reader.row,
            purpose=purpose,
            consent=grant.row,
            accessed_ms=now_ms,
            leaf=leaf,
            records=[(at.row, at.version) for at, _ in found],
        )
        logged.append(LoggedAccess(access.sequence, leaf))
    return logged


def opened_entry(services: Services, connection: Connection, row: AccessRow) -> tuple[bytes, bytes]:
    """The entry that the leaf of `row` commits to, and its salt: made again, they are stored nowhere.

    LeafMismatch if the row does not say what the leaf does.
    """
    ids = services.ids.encode(record for record, _ in row.records)
    records = tuple((bytes.fromhex(id_), version) for id_, (_, version) in zip(ids, row.records, strict=True))
    entry = Access(row.client_id, row.purpose, row.grant_id, records, row.sequence, row.accessed_ms).to_bytes()
    keys = archives.by_rows(connection, [row.archive])[row.archive].keys
    salt = services.keyring.archive_secret(keys).access_salt(row.grant_id, row.sequence, row.accessed_ms)
    if leaf_hash(access_commitment(services.chain_id, salt, entry)) != row.leaf:
        raise LeafMismatch(f"access {row.sequence}", "the row does not say what its leaf commits to")
    return entry, salt
