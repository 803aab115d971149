"""A process is killed at each step of an update and of a deletion: the version is there, whole, or as if it had not been asked for."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from intake_case import add_party, delete, open_services, put
from killed_case import MOMENTS, KillingStore, check_storage, count, die_at, die_if_writing
from sqlalchemy import event, func, select

from gateway import disclosure
from gateway.index import parties
from gateway.index import schema as t

pytestmark = pytest.mark.both_databases(slow=True)

PERSON = {"resourceType": "Patient", "id": "p", "identifier": [{"system": "urn:x", "value": "1"}]}
STEPS = ("create", "update", "delete", "revive")


def step(services, hospital, name):
    match name:
        case "create":
            return put(services, hospital, "Patient/p", PERSON | {"gender": "male"}, idempotency_key=name)
        case "update":
            return put(services, hospital, "Patient/p", PERSON | {"gender": "female"}, 'W/"1"', idempotency_key=name)
        case "delete":
            return delete(services, hospital, "Patient/p", 'W/"2"', idempotency_key=name)
    return put(services, hospital, "Patient/p", PERSON, idempotency_key=name)


def child(folder, moment, killed):
    """Runs in a process of its own; prints the answer to each step."""
    store = KillingStore(folder / "bucket")
    services = open_services(folder, store)
    with services.index.reading() as connection:
        hospital = parties.by_client_id(connection, "hospital-00000001")
    services.row_numbers.take(1)  # its commit is over before the one that counts
    for name in STEPS:
        if name == killed:
            store.moment = moment
            event.listen(services.index.engine, "commit", lambda connection: die_if_writing(connection, moment))
        answer = step(services, hospital, name)
        if name == killed:
            die_at("after the commit", moment)
        print(json.dumps([answer.reference, answer.version]), flush=True)


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("killed", ["update", pytest.param("delete", marks=pytest.mark.campaign)])
def test_a_version_is_there_or_was_never_asked_for(tmp_path, killed, moment):
    services = open_services(tmp_path)
    hospital = add_party(services)
    services.index.close()
    command = f"import test_update_crash as c; from pathlib import Path; c.child(Path({str(tmp_path)!r}), {moment!r}, {killed!r})"
    paths = os.pathsep.join(str(Path(__file__).parents[n] / name) for n, name in ((1, ""), (1, "crash"), (2, "")))
    ran = subprocess.run(
        [sys.executable, "-c", command], capture_output=True, text=True, timeout=60, env=os.environ | {"PYTHONPATH": paths}, check=False
    )
    assert ran.returncode == -signal.SIGKILL, ran.stderr
    answered = [json.loads(line) for line in ran.stdout.splitlines()]
    assert len(answered) == STEPS.index(killed)

    services = open_services(tmp_path)
    reference, last = answered[-1]
    written = last + (moment == "after the commit")
    kind, _, id_ = reference.partition("/")
    at = disclosure.locate(services, hospital, kind, id_)
    assert (at.version, at.deleted) == (written, killed == "delete" and written > last)
    assert count(services, t.history) == written - 1
    with services.index.reading() as connection:
        assert connection.scalar(select(func.count()).select_from(t.identifier)) == (0 if at.deleted else 1)
    for name in STEPS:  # the client tries everything again, by its keys: what was done is not done twice
        again = step(services, hospital, name)
        assert (again.reference, again.version) == (reference, STEPS.index(name) + 1)
    assert disclosure.read(services, hospital, kind, id_).version == len(STEPS)
    check_storage(services, orphans=0 if moment in {"before the put", "after the commit"} else 1)
    services.index.close()
