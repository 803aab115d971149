"""A gateway on Google Cloud Storage: made, served, audited, swept, through an outage. Nothing but the bucket's address differs."""

import json
import time
from http.client import HTTPConnection
from importlib import resources
from pathlib import Path
from urllib.parse import quote, urlsplit

import pytest
import requests
from gateway_process import served

from gateway.commands.gcs_emulator import GcsEmulator
from gateway.settings import load_settings
from gateway.storage.gcs_store import GcsObjectStore
from jobs.audit import Audit, run_audit
from jobs.registry import opened_for
from jobs.sweep_orphans import GRACE_SECONDS, sweep_orphans

DEMO = Path(str(resources.files("gateway").joinpath("assets/demo-bundle.json")))
WITHIN = 30  # seconds: a client that pushes waits for longer


@pytest.fixture(scope="module")
def emulator(running_emulator):
    """One of this file's own, to be stopped."""
    with GcsEmulator() as emulator, pytest.MonkeyPatch.context() as environment:
        emulator.make_bucket("hospital")
        environment.setenv("STORAGE_EMULATOR_HOST", emulator.url)
        yield emulator


def object_url(emulator, name):
    return f"{emulator.url}/storage/v1/b/hospital/o/{quote(name, safe='')}"


def alter(emulator, name):
    """One bit of an object, by the emulator's own interface."""
    body = bytearray(requests.get(object_url(emulator, name), params={"alt": "media"}, timeout=5).content)
    body[len(body) // 2] ^= 1
    requests.post(
        f"{emulator.url}/upload/storage/v1/b/hospital/o", params={"uploadType": "media", "name": name}, data=bytes(body), timeout=5
    ).raise_for_status()


def audited(gateway, *levels):
    """What an audit in this process says: codes of findings, and what could not be checked."""
    report = run_audit(Audit(load_settings(gateway.home, {}), int(time.time())), levels)
    return {finding.code for finding in report.findings}, report.could_not_check


def post(url, body, token):
    """Status, Retry-After and seconds."""
    connection, began = HTTPConnection(urlsplit(url).netloc, timeout=WITHIN), time.monotonic()
    try:
        connection.request("POST", "/fhir", body, {"Content-Type": "application/fhir+json", "Authorization": f"Bearer {token}"})
        answer = connection.getresponse()
        answer.read()
        return answer.status, answer.headers["Retry-After"], time.monotonic() - began
    finally:
        connection.close()


@pytest.fixture(scope="module")
def gateway(tmp_path_factory, emulator):
    with served(tmp_path_factory.mktemp("gcs"), "--bucket", "gs://hospital/gateway-1") as gateway:
        yield gateway


@pytest.fixture(scope="module")
def hospital(gateway):
    return gateway.party()


def test_an_outage_is_a_503_and_over_when_it_is_over(gateway, hospital, emulator):
    token = gateway.cli("token", "--as", hospital).strip()
    emulator.stop()
    status, retry_after, seconds = post(gateway.url, DEMO.read_bytes(), token)
    assert (status, int(retry_after) > 0) == (503, True)
    assert seconds < WITHIN
    assert requests.get(f"{gateway.url}/readyz", timeout=WITHIN).json()["bucket"] is False
    assert requests.get(f"{gateway.url}/livez", timeout=WITHIN).status_code == 200

    emulator.start()
    emulator.make_bucket("hospital")
    deadline = time.monotonic() + WITHIN
    while not requests.get(f"{gateway.url}/readyz", timeout=WITHIN).json()["bucket"]:
        assert time.monotonic() < deadline
        time.sleep(0.3)
    assert list(GcsObjectStore("hospital", "gateway-1/").list()) == []


def test_push_receipt_audit_sweep_and_tampering(gateway, hospital, emulator, tmp_path):
    """After the outage, of whose push nothing was kept: every record is created."""
    pushed = gateway.json("push", "--as", hospital, DEMO)
    assert (pushed["created"], pushed["failed"]) == (len(json.loads(DEMO.read_bytes())["entry"]), 0)
    receipt = tmp_path / "receipt.json"
    gateway.cli("receipt", "get", "--as", hospital, pushed["receipts"][0]["record"], "--wait", "--out", receipt)
    gateway.cli("receipt", "verify", receipt, "--genesis", gateway.home / "genesis.json")
    report = gateway.json("audit", "run")
    assert (report["findings"], report["could_not_check"], report["checked"]["containers"]) == ([], [], 1)
    gateway.stop()
    assert not list((gateway.home / "bucket").iterdir())
    store = GcsObjectStore("hospital", "gateway-1/")
    (container,) = [found.name for found in store.list()]

    store.put_if_absent(f"ab/{'ab' * 32}.container", b"left by a crash")
    with opened_for(load_settings(gateway.home, {})) as opened:
        swept = sweep_orphans(opened.ledger, opened.index, opened.store, now=int(time.time()) + GRACE_SECONDS + 60)
    assert (swept.removed, [found.name for found in store.list()]) == (1, [container])

    alter(emulator, f"gateway-1/{container}")
    assert audited(gateway, "storage") == ({"container-altered"}, ())
    _, could_not_check = audited(gateway, "content")
    assert "see level storage" in could_not_check[0]
    store.delete(container)
    assert audited(gateway, "storage") == ({"container-missing"}, ())
