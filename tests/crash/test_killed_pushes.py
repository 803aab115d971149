"""Every process of a gateway is killed at once, three times, while a hospital pushes: what was acknowledged is there and verifies."""

import itertools
import json
import threading
import time
from importlib import resources

import databases
import pytest
from gateway_process import served

from gateway import verification
from gateway.client.connection import Connection, SignInRefused, Unreachable
from gateway.client.credentials import read
from gateway.client.submission import parse_submission, signed_headers

pytestmark = pytest.mark.both_databases(slow=True)
DEMO = json.loads(resources.files("gateway").joinpath("assets/demo-bundle.json").read_bytes())

NUMBERS = itertools.count(1)


def push_until_stopped(credentials, url, stop, acknowledged):
    """Pushes bundles of a different patient each, and notes every record that an answer named. Broken requests are not repeated."""
    connection = Connection(read(credentials).at(url), sleep=lambda _: stop.wait(0.05) and None)
    while not stop.is_set():
        body = json.dumps(DEMO).replace("5b1f0c9e", f"{next(NUMBERS):08x}").encode()
        body = body.replace(b"DEMO-4471", f"DEMO-{time.monotonic_ns()}".encode())
        sent = parse_submission(body)
        try:
            answer = connection.ask("POST", sent.path, sent.body, signed_headers(sent, connection.credentials, int(time.time())))
        except (Unreachable, SignInRefused):
            break
        if answer.status == 200:
            acknowledged += [e["response"]["location"] for e in json.loads(answer.body)["entry"]]
    connection.close()


@pytest.fixture
def gateway(tmp_path):
    """A running gateway that is gone afterwards, whatever happened."""
    with served(tmp_path, *databases.options()) as gateway:
        yield gateway


def test_what_was_acknowledged_survives_three_kills(gateway):
    hospital = gateway.party()
    acknowledged: list[str] = []
    for moment in (0.7, 1.3, 2.1):
        stop = threading.Event()
        pusher = threading.Thread(target=push_until_stopped, args=(hospital, gateway.url, stop, acknowledged))
        pusher.start()
        time.sleep(moment)
        gateway.kill9()
        stop.set()
        pusher.join()
        gateway.start()
    assert len(acknowledged) > 13
    gateway.wait_final()
    connection = gateway.connect(hospital)
    genesis = (gateway.home / "genesis.json").read_bytes()
    names = [location.split("/_history")[0] for location in acknowledged]
    assert len(set(names)) == len(names), "nothing was doubled"
    for name in names[:: max(1, len(names) // 150)]:
        record = connection.ask("GET", f"/fhir/{name}")
        assert record.status == 200, name
        verification.verify_receipt(connection.ask("GET", f"/ledger/receipts/{name}").body, genesis, record.body)
    connection.close()
    gateway.stop()
    report = gateway.json("audit", "run", expect=(0, 1))
    assert {finding["code"] for finding in report["findings"]} <= {"orphan-object"}, report["findings"]
    assert report["could_not_check"] == []
