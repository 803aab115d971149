"""Erasing a patient: nothing opens any more, proofs stay, and the audits know that it was meant."""

import json
import subprocess
import time
from importlib import resources

import pytest
from consent_case import optin
from gateway_process import served

from gateway import erasure
from gateway.bootstrap import open_services
from gateway.errors import Conflict, Gone, Unavailable
from gateway.index import archives, erasures
from gateway.index import schema as t
from gateway.registration import NotOnePatient
from gateway.settings import load_settings
from gateway.storage.file_store import FileObjectStore
from gateway.vault.erasure_mark import is_mark, key_id_of_name, mark_body, mark_name
from jobs.audit import LEVELS, Audit, run_audit

DEMO = resources.files("gateway").joinpath("assets/demo-bundle.json").read_bytes()
PERSONS = "https://ids.example.org/person"
JSON = {"Content-Type": "application/fhir+json"}


@pytest.fixture(scope="module")
def gateway(tmp_path_factory):
    """Two patients' records, a grant of the first and a read by it; final, and stopped."""
    with served(tmp_path_factory.mktemp("erasure")) as gateway:
        hospital, insurer = gateway.party(), gateway.party("agency", "Insurer", "--purpose", "HPAYMT")
        (gateway.folder / "anna.json").write_bytes(DEMO)
        (gateway.folder / "bert.json").write_bytes(DEMO.replace(b"DEMO-4471", b"DEMO-4472").replace(b"5b1f0c9e", b"00000002"))
        pushed = gateway.json("push", "--as", hospital, gateway.folder / "anna.json")
        gateway.anna = sorted(receipt["record"].partition("/_history")[0] for receipt in pushed["receipts"])
        pushed = gateway.json("push", "--as", hospital, gateway.folder / "bert.json")
        gateway.bert = sorted(receipt["record"].partition("/_history")[0] for receipt in pushed["receipts"])
        gateway.cli("patient", "enrol", "--identifier", f"{PERSONS}|DEMO-4471", "--url", gateway.url, "--out", gateway.folder / "a.json")
        connection = gateway.connect(gateway.folder / "a.json")
        consent = optin(json.loads(insurer.read_text())["client_id"], types=("Observation",), until="2090-01-01")
        assert connection.ask("POST", "/fhir/Consent", json.dumps(consent).encode(), JSON).status == 201
        connection.close()
        connection = gateway.connect(insurer)
        gateway.read = next(name for name in gateway.anna if name.startswith("Observation/"))
        assert connection.ask("GET", f"/fhir/{gateway.read}").status == 200
        connection.close()
        gateway.hospital, gateway.insurer = hospital, insurer
        gateway.cli("jobs", "run", "close-access-batch")
        gateway.wait_final()
        assert gateway.stop() == 0
        yield gateway


class NoMarks(FileObjectStore):
    """A bucket that cannot be written."""

    def put_if_absent(self, name, body):
        raise Unavailable("storage: the disk is full")


class Meanwhile(FileObjectStore):
    """A bucket that takes so long that something happens."""

    def put_if_absent(self, name, body):
        super().put_if_absent(name, body)
        self.happens()


def test_a_mark_is_this_gateways_and_of_one_archive():
    key, key_id, other = bytes(32), bytes(16), bytes([1]) * 16
    body = mark_body(key, key_id)
    assert is_mark(key, key_id, body)
    assert key_id_of_name(mark_name(key_id)) == key_id
    assert not is_mark(key, other, body)
    assert not is_mark(bytes([1]) * 32, key_id, body)
    assert not is_mark(key, key_id, b"{}")
    assert key_id_of_name("tombstones/../x") is None


@pytest.mark.parametrize("body", [b"tag", b"size"])
def test_a_mark_that_a_stranger_put_there_is_none_and_no_obstacle(tmp_path, body):
    own_key, key_id = bytes(32), bytes(16)
    right = mark_body(own_key, key_id)
    store = FileObjectStore(tmp_path)
    store.put_if_absent(mark_name(key_id), {b"tag": right[:-4] + "ä".encode() + right[-2:], b"size": right}[body])
    if body == b"size":
        with next(path for path in tmp_path.rglob("*") if path.is_file()).open("r+b") as file:
            file.truncate(1 << 40)
    assert erasure.marked(store, own_key) == []
    assert not erasure.is_marked(store, own_key, key_id)


def test_a_patient_that_is_joined_meanwhile_is_not_erased(gateway):
    services = open_services(load_settings(gateway.home, {}))
    store = Meanwhile(gateway.home / "bucket")
    object.__setattr__(services, "store", store)
    with services.index.reading() as connection:
        anna, bert = (erasure.archives_of(services, connection, PERSONS, name) for name in ("DEMO-4471", "DEMO-4472"))

    def join():
        with services.index.atomic() as connection:
            archives.join(connection, anna, bert)

    store.happens = join
    with pytest.raises(Conflict, match="run it again"):
        erasure.erase(services, PERSONS, "DEMO-4471")
    with services.index.atomic() as connection:
        keys = [archive.keys for archive in archives.by_rows(connection, [*anna, *bert]).values()]
        archives.split(connection, bert[0])
    assert all(services.keyring.private_key(key) for key in keys), "one of them has no mark, so a restore would bring it back"
    for name in [found.name for found in store.list("tombstones/")]:
        store.delete(name)
    services.index.close()


def test_an_erased_patient(gateway):
    services = open_services(load_settings(gateway.home, {}))
    with services.index.atomic() as connection:
        rows = erasure.archives_of(services, connection, PERSONS, "DEMO-4471")
        erasures.hold(connection, rows, int(time.time()))
        keys = archives.by_rows(connection, rows)[rows[0]].keys
    with pytest.raises(erasure.Held):
        erasure.erase(services, PERSONS, "DEMO-4471")
    with services.index.atomic() as connection:
        erasures.lift(connection, rows)
    object.__setattr__(services, "store", NoMarks(gateway.home / "bucket"))
    with pytest.raises(Unavailable):
        erasure.erase(services, PERSONS, "DEMO-4471")
    object.__setattr__(services, "store", FileObjectStore(gateway.home / "bucket"))
    assert services.keyring.private_key(keys), "nothing is destroyed before the bucket knows it"
    services.store.put_if_absent(mark_name(keys.key_id), mark_body(services.index_key, keys.key_id))
    found = run_audit(Audit(load_settings(gateway.home, {}), int(time.time())), ("storage",)).findings
    assert [finding.code for finding in found] == ["erasure-unfinished"]

    erased = erasure.erase(services, PERSONS, "DEMO-4471")
    assert erased.archives == 1
    assert erased.records >= len(gateway.anna) - 3  # practitioners and the like are the hospital's
    assert erasure.marked(services.store, services.index_key) == [keys.key_id]
    with pytest.raises(NotOnePatient):
        erasure.erase(services, PERSONS, "DEMO-4471")
    with services.index.reading() as connection:
        gone = archives.by_rows(connection, rows)[rows[0]].keys
        assert connection.execute(t.code.select().where(t.code.c.archive == rows[0])).all() == []
    with pytest.raises(Gone):
        services.keyring.private_key(gone)
    services.index.close()
    for file in gateway.home.glob("gateway.db*"):
        read = subprocess.run(["cat", file], capture_output=True, check=True).stdout  # not here: it would take this process's locks away
        assert keys.sealed_secret not in read, file.name
        assert keys.sealed_seed not in read, file.name
    _check_served(gateway)


def _check_served(gateway):
    """Nobody reads the erased, everybody the others; audits are clean and count what cannot be checked."""
    gateway.start()
    try:
        hospital, insurer = gateway.connect(gateway.hospital), gateway.connect(gateway.insurer)
        never = hospital.ask("GET", "/fhir/Observation/" + "0" * 32)
        erased = hospital.ask("GET", f"/fhir/{gateway.read}")
        assert erased.status == never.status == 403
        assert insurer.ask("GET", f"/fhir/{gateway.read}").status == 403
        assert insurer.ask("GET", "/fhir/Consent").status == 200
        assert all(hospital.ask("GET", f"/fhir/{name}").status == 200 for name in gateway.bert)
        hospital.close()
        insurer.close()
        pushed = gateway.json("push", "--as", gateway.hospital, "--url", gateway.url, gateway.folder / "anna.json")
        assert pushed["errors"] == []
        new = {receipt["record"].partition("/_history")[0] for receipt in pushed["receipts"]}
        assert gateway.read not in new
        gateway.wait_final()
    finally:
        gateway.stop()
    report = run_audit(Audit(load_settings(gateway.home, {}), int(time.time())), tuple(LEVELS))
    assert (report.findings, report.could_not_check) == ((), ())
    assert report.checked["bundles not checkable by design"] == 1
