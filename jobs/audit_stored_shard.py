"""What the database says of a run of containers, read in one snapshot before any of them is opened."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select

from gateway.index import archives
from gateway.index import schema as t
from gateway.index.archives import Archive
from gateway.index.containers import BundleRow
from gateway.index.database import Index
from gateway.index.rows import KeyedQuery
from jobs.audit_stored_rows import StoredRows, stored_rows

_OUTER = t.container.outerjoin(t.bundle, t.bundle.c.container == t.container.c.row)
_BUNDLES = KeyedQuery(select(t.container.c.digest, *t.bundle.columns).select_from(_OUTER), t.container.c.digest)
_BY_KEY_ID = KeyedQuery(select(t.archive.c.row), t.archive.c.key_id)


@dataclass(frozen=True, slots=True)
class StoredShard:
    """Bundles by the digest of their container (none: it has no rows of bundles), archives by row."""

    bundles: Mapping[bytes, Sequence[BundleRow]]
    archives: Mapping[int, Archive]
    rows: StoredRows


def read_stored(index: Index, digests: Sequence[bytes]) -> StoredShard:
    """Unavailable if the database cannot be read."""
    with index.reading() as connection:
        bundles: dict[bytes, list[BundleRow]] = {}
        row: Any
        for row in _BUNDLES.among(connection, digests):
            members = bundles.setdefault(row.digest, [])
            if row.row is not None:
                members.append(BundleRow(*row[1:]))
        every = [bundle for members in bundles.values() for bundle in members]
        known = archives.as_stored(connection, {bundle.archive for bundle in every})
        return StoredShard(bundles, known, stored_rows(connection, [bundle.row for bundle in every]))


def archives_by_key_id(index: Index, key_ids: Sequence[bytes]) -> dict[int, Archive]:
    """The archives with these key ids: whose a bundle is by its own wraps, should its row say otherwise."""
    with index.reading() as connection:
        return archives.as_stored(connection, {row for (row,) in _BY_KEY_ID.among(connection, key_ids)})
