"""A process that kills itself at a step of a submission, and what must hold of the storage afterwards."""

import os
import signal
from hashlib import sha256

from sqlalchemy import func, select

from gateway.index import containers
from gateway.index import schema as t
from gateway.storage.file_store import FileObjectStore

MOMENTS = ("before the put", "after the put", "before the commit", "after the commit")


class KillingStore(FileObjectStore):
    moment = ""

    def put_if_absent(self, name, body):
        die_at("before the put", self.moment)
        super().put_if_absent(name, body)
        die_at("after the put", self.moment)


def die_at(here, moment):
    if here == moment:
        os.kill(os.getpid(), signal.SIGKILL)


def die_if_writing(connection, moment):
    if connection.get_execution_options().get("writes"):
        die_at("before the commit", moment)


def count(services, table):
    with services.index.reading() as connection:
        return connection.scalar(select(func.count()).select_from(table))


def check_storage(services, orphans):
    """Every container that the index names is whole in the bucket, with its ANCHOR; at most `orphans` objects are not named."""
    named = {}
    for batch in containers.batches(services.index, 2):
        named |= {row.name: row for row in batch}
    for name, row in named.items():
        assert sha256(services.store.get(name)).digest() == row.digest
    assert len({item.name for item in services.store.list()} - set(named)) == orphans
    with services.index.reading() as connection:
        anchors = connection.scalar(select(func.count()).select_from(t.outbox).where(t.outbox.c.kind == 2))
        assert anchors == len(named)
        for archive, numbers in numbers_by_archive(connection).items():
            assert numbers == list(range(1, len(numbers) + 1)), archive
        if connection.dialect.name == "sqlite":
            assert connection.exec_driver_sql("PRAGMA integrity_check").scalar() == "ok"
            assert connection.exec_driver_sql("PRAGMA foreign_key_check").all() == []


def numbers_by_archive(connection):
    found = {}
    for archive, number in connection.execute(
        select(t.bundle.c.archive, t.bundle.c.number).order_by(t.bundle.c.archive, t.bundle.c.number)
    ):
        found.setdefault(archive, []).append(number)
    return found
