"""Removing what a crash between storing and committing left: objects that neither the chain nor the database knows.

After a restore none goes until the operator has given up what came after the backup (`backup accept-loss`): it may be acknowledged records.

An object younger than the grace may belong to a submission that is about to commit, so it stays. The look-up comes after the listing: what
committed in between is known by then. Before an object goes it is looked up once more, with the write lock held: what is committed late is
known then, or finds by the clock that it is too late (`gateway.group_commit`).
"""

from dataclasses import dataclass

from chain.ledger import Ledger
from gateway.index import containers, restores
from gateway.index.database import Index
from gateway.storage.port import ObjectStore
from gateway.vault.container import digest_of_name

GRACE_SECONDS = 3600


@dataclass(frozen=True, slots=True)
class Swept:
    removed: int
    too_young: int
    foreign: int  # objects that are no containers: the sweeper did not make them and leaves them
    held: int = 0  # what no record points to, and may have been written after the backup that this gateway was restored from


def sweep_orphans(ledger: Ledger, index: Index, store: ObjectStore, *, now: int, grace: int = GRACE_SECONDS) -> Swept:
    """One pass over the bucket. Raises Unavailable; whatever was removed until then was an orphan."""
    removed = too_young = foreign = held = 0
    with index.reading() as connection:
        is_held = restores.is_open(connection)
    for item in store.list():
        digest = digest_of_name(item.name)
        if digest is None:
            foreign += 1
        elif _is_known(ledger, index, digest):
            continue
        elif now - item.created_at <= grace:
            too_young += 1
        elif is_held:
            held += 1
        elif _is_removed(ledger, index, store, item.name, digest):
            removed += 1
    return Swept(removed, too_young, foreign, held)


def _is_known(ledger: Ledger, index: Index, digest: bytes) -> bool:
    with index.reading() as connection:
        return containers.by_digest(connection, digest) is not None or ledger.anchor_of(digest) is not None


def _is_removed(ledger: Ledger, index: Index, store: ObjectStore, name: str, digest: bytes) -> bool:
    with index.atomic() as connection:
        if containers.by_digest(connection, digest) is not None or ledger.anchor_of(digest) is not None:
            return False
        store.delete(name)
    return True
