"""The bucket held against a database: which containers it lacks, and which it has that the database does not know."""

import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice

from gateway.storage.port import ObjectStore, StoredObject
from gateway.vault.container import container_name, digest_of_name

_TOLD = 1000  # names of what is missing; the audit has them all


@dataclass(frozen=True, slots=True)
class Compared:
    """What was found; `missing` are names, the first of them, of what is not there or has another size."""

    containers: int
    missing_count: int
    missing: tuple[str, ...]
    unknown: int


def compare(store: ObjectStore, database: sqlite3.Connection, on_unknown: Callable[[StoredObject], None]) -> Compared:
    """Hold the listing of `store` against the containers of `database`; memory is constant. Raises Unavailable.

    Every name is listed once: the known ones are all there if as many as there are were met.
    """
    count = database.execute("SELECT count(*) FROM container").fetchone()[0]
    met = unknown = 0
    for item in store.list():
        digest = digest_of_name(item.name)
        if digest is None:
            continue
        row = database.execute("SELECT size FROM container WHERE digest = ?", (digest,)).fetchone()
        if row is None:
            unknown += 1
            on_unknown(item)
        else:
            met += row[0] == item.size
    return Compared(count, count - met, () if met == count else tuple(islice(_missing(store, database), _TOLD)), unknown)


def _missing(store: ObjectStore, database: sqlite3.Connection) -> Iterator[str]:
    for digest, size in database.execute("SELECT digest, size FROM container ORDER BY row"):
        name = container_name(digest)
        if not any(item.name == name and item.size == size for item in store.list(name)):
            yield name
