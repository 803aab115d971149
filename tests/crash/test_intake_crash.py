"""A process is killed at each step of a submission: what it answered is there, what it did not answer is whole or absent."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from intake_case import add_party, open_services, post, transaction
from killed_case import MOMENTS, KillingStore, check_storage, count, die_at, die_if_writing
from sqlalchemy import event

from gateway import disclosure
from gateway.index import parties
from gateway.index import schema as t

pytestmark = pytest.mark.both_databases(slow=True)

SUBMISSIONS = 4
KILLED_AT = 2  # from 0


def body(number):
    """Submission `number`: an own patient, a directory resource that comes again, an update of the first patient's record."""
    url = f"urn:uuid:00000000-0000-4000-8000-0000000000{number:02}"
    patient = {"resourceType": "Patient", "gender": "male"}
    flag = {"resourceType": "Flag", "status": "active", "code": {"text": "x"}, "subject": {"reference": f"{url}"}}
    common = {"resourceType": "Organization", "name": f"version {number}"}
    return transaction((url, patient), (f"{url}a", flag), ("urn:uuid:00000000-0000-4000-8000-000000000099", common))


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
