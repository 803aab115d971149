"""The drill: a gateway is backed up while hospitals push, lost, and restored into a blank folder (docs/backup.md).

In campaigns once more where its databases are PostgreSQL's, into new ones.
"""

import json
import threading
import time
from contextlib import closing, contextmanager
from importlib import resources

import databases
import pytest
from consent_case import optin
from gateway_process import GatewayProcess, served
from kill_clients import Pusher

from chain import queries
from chain.block import block_hash
from chain.store import LedgerStore
from gateway import verification
from gateway.bootstrap import read_genesis
from gateway.settings import load_settings

DEMO = resources.files("gateway").joinpath("assets/demo-bundle.json").read_bytes()
ANNA = "https://ids.example.org/person|DEMO-4471"
JSON = {"Content-Type": "application/fhir+json"}


class At(GatewayProcess):
    """A gateway whose home is there already."""

    def __init__(self, folder, home):
        self.folder, self.home, self.log = folder, home, folder / "restored.log"
        self.process, self.url = None, ""


@contextmanager
def working(gateway, *clients):
    """The clients work inside the block."""
    stop = threading.Event()
    threads = [threading.Thread(target=client.work, args=(gateway.url, stop)) for client in clients]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def signed_in(gateway):
    """Every block's hash in the ledger, by height."""
    settings = load_settings(gateway.home, {})
    genesis = read_genesis(settings)
    with closing(LedgerStore.open(settings.effective_ledger_url, genesis, read_only=True)) as store, store.engine.connect() as connection:
        headers = (queries.header_and_votes(connection, height)[0] for height in range(1, queries.height_of(connection) + 1))
        return {height: block_hash(genesis.chain_id, header) for height, header in enumerate(headers, 1)}


@pytest.fixture(scope="module", params=["sqlite", pytest.param("postgresql", marks=pytest.mark.campaign)])
def places(request):
    """Makes new places for the databases of a gateway, as options."""
    if request.param == "sqlite":
        yield list
        return
    databases.use(request.getfixturevalue("postgresql_server"))
    yield databases.options
    databases.use(None)


@pytest.fixture(scope="module")
def lost(tmp_path_factory, places):
    """A gateway that was backed up while a hospital pushed, read from afterwards, and killed."""
    with served(tmp_path_factory.mktemp("lost"), *places()) as gateway:
        gateway.insurer = gateway.party("agency", "Insurer", "--purpose", "HPAYMT")
        gateway.hospital = gateway.party()
        (gateway.folder / "bundle.json").write_bytes(DEMO)
        pushed = gateway.json("push", "--as", gateway.hospital, gateway.folder / "bundle.json")
        gateway.records = [receipt["record"].partition("/_history")[0] for receipt in pushed["receipts"]]
        gateway.observations = sorted(name for name in gateway.records if name.startswith("Observation/"))
        gateway.anna = gateway.folder / "anna.json"
        gateway.cli("patient", "enrol", "--identifier", ANNA, "--url", gateway.url, "--out", gateway.anna)
        gateway.consents = [grant(gateway, "Observation"), grant(gateway, "Condition")]
        read_as_insurer(gateway, gateway.insurer, gateway.observations[0])
        gateway.pusher = Pusher(gateway.hospital, 1)
        with working(gateway, gateway.pusher):
            time.sleep(1.5)
            gateway.before = dict(gateway.pusher.acknowledged)
            gateway.told = gateway.json("backup", "create", "--out", gateway.folder)
            assert gateway.told["made_at"].endswith("Z")
            time.sleep(1.5)
            with closing(gateway.connect(gateway.anna)) as anna:
                assert anna.ask("POST", f"/fhir/{gateway.consents[0]}/$revoke").status == 200
            time.sleep(2.5)
            gateway.kill9()
        time.sleep(1.5)  # its lease of the ledger, where it had one, runs out; until then a restore is told that it is written to
        yield gateway


def grant(gateway, *types):
    to = json.loads(gateway.insurer.read_text())["client_id"]
    with closing(gateway.connect(gateway.anna)) as anna:
        answer = anna.ask("POST", "/fhir/Consent", json.dumps(optin(to, types=types, until="2090-01-01")).encode(), JSON)
    assert answer.status == 201, answer.body
    return answer.headers["Location"].partition("/fhir/")[2].partition("/_history")[0]


def read_as_insurer(gateway, insurer, name, expect=200):
    with closing(gateway.connect(insurer)) as connection:
        assert connection.ask("GET", f"/fhir/{name}").status == expect


def restored(lost, tmp_path, *args, expect=0):
    gateway = At(tmp_path, tmp_path / "restored")
    gateway.told = gateway.cli("backup", "restore", lost.told["file"], "--json", *args, expect=expect)
    if expect == 0:
        gateway.told = json.loads(gateway.told)
    return gateway


def check_acknowledged(gateway, lost):
    """What was acknowledged before the backup is readable and verifies."""
    genesis = (gateway.home / "genesis.json").read_bytes()
    names = [*lost.records, *(place.partition("/_history")[0] for places in lost.before.values() for place in places)]
    with closing(gateway.connect(lost.hospital)) as connection:
        for name in names[:: max(1, len(names) // 60)]:
            record = connection.ask("GET", f"/fhir/{name}")
            assert record.status == 200, name
            verification.verify_receipt(connection.ask("GET", f"/ledger/receipts/{name}").body, genesis, record.body)
    return names


def last_ledger(lost):
    url = load_settings(lost.home, {}).effective_ledger_url
    return url.removeprefix("sqlite:///")


def test_a_lost_gateway_goes_on_from_its_backup_and_its_ledger(lost, tmp_path, places):
    before = signed_in(lost)
    assert len(lost.pusher.acknowledged) > len(lost.before) > 0
    assert lost.told["missing_objects"] == 0
    new = places()
    gateway = restored(lost, tmp_path, "--ledger", last_ledger(lost), *new)
    assert bool(new) != (gateway.home / "ledger.db").exists()
    later = (gateway.home / "written-after-backup.txt").read_text().split()
    assert len(later) == gateway.told["written_later"] > 0
    gateway.start()
    try:
        names = check_acknowledged(gateway, lost)
        read_as_insurer(gateway, lost.insurer, lost.observations[0], expect=403)  # revoked after the backup, and the chain knows it
        pushed = Pusher(lost.hospital, 2)
        with closing(gateway.connect(lost.hospital)) as connection:
            for number in range(5):
                pushed.acknowledged[number] = pushed.push(connection, number)[1]
        new = {place.partition("/_history")[0] for places in pushed.acknowledged.values() for place in places}
        lost_names = {place.partition("/_history")[0] for places in lost.pusher.acknowledged.values() for place in places}
        assert not new & (lost_names | set(names)), "no id is given twice"
        gateway.wait_final()
        after = signed_in(gateway)
        assert {height: after[height] for height in before} == before, "no height is signed twice"
        assert len(after) > len(before)
        found = gateway.json("audit", "run", expect=1)
        assert {finding["code"] for finding in found["findings"]} == {"written-after-backup"}, found["findings"]
        assert found["could_not_check"] == []
        assert {finding["subject"] for finding in found["findings"]} <= set(later)
    finally:
        if gateway.process.poll() is None:
            gateway.kill9()
