"""Where the gateway that is measured over HTTP keeps its containers and rows: below its home, or where the operator says.

What is given must be empty, as `init` wants it, and is empty afterwards.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.served import database_bytes
from chain import postgresql
from gateway.backup.moment import open_snapshot
from gateway.founding import take_out
from gateway.settings import load_settings
from gateway.storage.opening import open_object_store
from gateway.storage.port import StoredObject


@dataclass(frozen=True, slots=True)
class Places:
    """Addresses as of `init`; None: below the home."""

    bucket_url: str | None = None
    database_url: str | None = None
    ledger_url: str | None = None

    def options(self) -> list[str]:
        """For `init`."""
        given = (("--bucket", self.bucket_url), ("--database-url", self.database_url), ("--ledger-url", self.ledger_url))
        return [part for flag, url in given if url for part in (flag, url)]

    def told(self) -> dict[str, str]:
        """For the result; nothing of an address of a database but its place."""
        urls = {"index": self.database_url, "chain": self.ledger_url}
        told = {name: postgresql.place(url) for name, url in urls.items() if url}
        return told | ({"bucket": self.bucket_url} if self.bucket_url else {})

    @contextmanager
    def emptied(self) -> Iterator[None]:
        """Around the use of a gateway that was made there."""
        try:
            yield
        finally:
            for url in (self.database_url, self.ledger_url):
                if url:
                    take_out(url)
            if self.bucket_url:
                store = open_object_store(self.bucket_url)
                for item in list(store.list()):
                    store.delete(item.name)


def containers(home: Path) -> list[StoredObject]:
    """Everything in the gateway's bucket, which are containers and nothing else."""
    return list(open_object_store(load_settings(home, {}).effective_bucket_url).list())


def index_bytes(home: Path) -> int:
    """Bytes of the gateway's database."""
    return _bytes(load_settings(home, {}).effective_database_url)


def ledger_bytes(home: Path) -> int:
    return _bytes(load_settings(home, {}).effective_ledger_url)


def _bytes(url: str) -> int:
    if not postgresql.is_postgresql(url):
        return database_bytes(Path(url.removeprefix("sqlite:///")))
    with open_snapshot(url) as snapshot:
        snapshot.begin()
        return snapshot.size()
