"""Submissions at the same time, and what must hold whoever won."""

from concurrent.futures import ThreadPoolExecutor

from sqlalchemy import func, select

from gateway.index import containers
from gateway.index import schema as t

THREADS = 8


def at_once(work, count=THREADS):
    with ThreadPoolExecutor(count) as pool:
        return [future.result() for future in [pool.submit(work, number) for number in range(count)]]


def check(services):
    """Nothing is left behind by who lost, and running numbers have no gap."""
    named = {row.name for batch in containers.batches(services.index) for row in batch}
    assert {item.name for item in services.store.list()} == named
    with services.index.reading() as connection:
        for archive, count, last in connection.execute(
            select(t.bundle.c.archive, func.count(), func.max(t.bundle.c.number)).group_by(t.bundle.c.archive)
        ):
            assert count == last, archive
