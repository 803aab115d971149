"""A process is killed at each step of a submission: what it answered is there, what it did not answer is whole or absent."""

import json
import os
import signal
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

import pytest
from intake_case import add_party, open_services, post, transaction
from sqlalchemy import event, func, select

from gateway import disclosure
from gateway.index import containers, parties
from gateway.index import schema as t
from gateway.storage.file_store import FileObjectStore

pytestmark = pytest.mark.both_databases(slow=True)

MOMENTS = ("before the put", "after the put", "before the commit", "after the commit")
SUBMISSIONS = 4
KILLED_AT = 2  # from 0


def body(number):
    """Submission `number`: an own patient, a directory resource that comes again, an update of the first patient's record."""
    url = f"urn:uuid:00000000-0000-4000-8000-0000000000{number:02}"
    patient = {"resourceType": "Patient", "gender": "male"}
    flag = {"resourceType": "Flag", "status": "active", "code": {"text": "x"}, "subject": {"reference": f"{url}"}}
    common = {"resourceType": "Organization", "name": f"version {number}"}
    return transaction((url, patient), (f"{url}a", flag), ("urn:uuid:00000000-0000-4000-8000-000000000099", common))


class KillingStore(FileObjectStore):
    moment = ""

    def put_if_absent(self, name, body):
        die_at("before the put", self.moment)
        super().put_if_absent(name, body)
        die_at("after the put", self.moment)


def die_at(here, moment):
    if here == moment:
        os.kill(os.getpid(), signal.SIGKILL)


def child(folder, moment):
    """Runs in a process of its own; prints the answer to each submission."""
    store = KillingStore(folder / "bucket")
    services = open_services(folder, store)
    with services.index.reading() as connection:
        hospital = parties.by_client_id(connection, "hospital-00000001")
    services.row_numbers.take(1)  # its commit is over before the one that counts
    for number in range(SUBMISSIONS):
        if number == KILLED_AT:
            store.moment = moment
            event.listen(services.index.engine, "commit", lambda connection: die_if_writing(connection, moment))
        answer = post(services, hospital, body(number))
        if number == KILLED_AT:
            die_at("after the commit", moment)
        print(json.dumps([[r.reference, r.version] for r in answer.results]), flush=True)


def die_if_writing(connection, moment):
    if connection.get_execution_options().get("writes"):
        die_at("before the commit", moment)


@pytest.mark.parametrize("moment", MOMENTS)
def test_what_was_answered_survives_and_nothing_is_doubled(tmp_path, moment):
    services = open_services(tmp_path)
    hospital = add_party(services)
    services.index.close()
    command = [
        sys.executable,
        "-c",
        f"import test_intake_crash as c; from pathlib import Path; c.child(Path({str(tmp_path)!r}), {moment!r})",
    ]
    paths = os.pathsep.join(str(Path(__file__).parents[n] / name) for n, name in ((1, ""), (1, "crash"), (2, "")))
    ran = subprocess.run(command, capture_output=True, text=True, timeout=60, env=os.environ | {"PYTHONPATH": paths}, check=False)
    assert ran.returncode == -signal.SIGKILL, ran.stderr
    answered = [json.loads(line) for line in ran.stdout.splitlines()]
    assert len(answered) == KILLED_AT

    services = open_services(tmp_path)
    for reference, version in (written for answer in answered for written in answer):
        kind, _, id_ = reference.partition("/")
        assert disclosure.read(services, hospital, kind, id_, version).version == version
    assert post(services, hospital, body(KILLED_AT)).replayed == (moment == "after the commit")
    for number in range(SUBMISSIONS):
        post(services, hospital, body(number))
    assert count(services, t.resource) == 2 * SUBMISSIONS + 1
    check_storage(services, orphans=0 if moment in {"before the put", "after the commit"} else 1)
    services.index.close()


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
