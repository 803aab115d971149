"""A home that commit 9ee5bd1 made (schema 0005, rows without tags), by that commit's own code: upgraded, served, audited.

tests/assets/home-1.tar.gz holds it with a hospital, a patient, an insurer, what was read before, and the final receipts of then.
"""

import fcntl
import json
import shutil
import tarfile
from contextlib import closing
from pathlib import Path

import pytest
from gateway_process import GatewayProcess

from gateway import verification

OLD = Path(__file__).parent.parent / "assets" / "home-1.tar.gz"


class OldGateway(GatewayProcess):
    """The home of then, in a folder of its own."""

    def __init__(self, folder):
        with tarfile.open(OLD) as tar:
            tar.extraction_filter = getattr(tarfile, "data_filter", None)  # Python before 3.11.4 has none
            tar.extractall(folder)
        self.folder, self.home, self.log = folder, folder / "gateway", folder / "serve.log"
        self.process, self.url = None, ""
        for file in [*(self.home / "keys").iterdir(), *folder.glob("*.json")]:
            file.chmod(0o600)


@pytest.fixture
def gateway(tmp_path):
    gateway = OldGateway(tmp_path)
    yield gateway
    if gateway.process is not None and gateway.process.poll() is None:
        gateway.kill9()


def test_an_old_home_is_upgraded_and_goes_on(gateway):
    gateway.cli("serve", "--port", "0", expect=2)  # says what to do, and changes nothing
    plan = gateway.json("upgrade", "--dry-run")
    assert plan["vouched"]
    assert [step.split()[0] for step in plan["database"]][:2] == ["0006", "0007"]
    done = gateway.json("upgrade")
    assert (done["database"], done["ledger"]) == (plan["database"], plan["ledger"])
    assert gateway.json("backup", "verify", done["backup"])["keyring_checked"]
    again = gateway.json("upgrade")
    assert (again["database"], again["ledger"], again["vouched"], again["backup"]) == ([], [], False, None)
    gateway.start()
    genesis = (gateway.home / "genesis.json").read_bytes()
    told = json.loads((gateway.folder / "told.json").read_text())
    with closing(gateway.connect(gateway.folder / "test-hospital.json")) as hospital:
        for name in told["records"]:
            stem = gateway.folder / "records" / name.replace("/", "-")
            record = hospital.ask("GET", f"/fhir/{name}")
            assert (record.status, record.body) == (200, stem.with_name(f"{stem.name}.json").read_bytes())
            verification.verify_receipt(stem.with_name(f"{stem.name}.receipt.json").read_bytes(), genesis, record.body)
            verification.verify_receipt(hospital.ask("GET", f"/ledger/receipts/{name}").body, genesis, record.body)
    with closing(gateway.connect(gateway.folder / "insurer.json")) as insurer:
        assert insurer.ask("GET", f"/fhir/{told['read']}").status == 200
    new = (gateway.folder / "bundle.json").read_text().replace("DEMO-4471", "DEMO-9999").replace("5b1f0c9e", "00000001")
    (gateway.folder / "new.json").write_text(new)
    pushed = gateway.json("push", "--as", gateway.folder / "test-hospital.json", "--url", gateway.url, gateway.folder / "new.json")
    assert pushed["errors"] == []
    gateway.cli("jobs", "run", "close-access-batch")
    gateway.wait_final()
    assert gateway.json("audit", "run")["findings"] == []
    assert gateway.stop() == 0


def test_an_old_home_that_is_served_is_not_touched(gateway):
    with (gateway.home / "serve.lock").open("a+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        gateway.cli("upgrade", expect=2)
    shutil.rmtree(gateway.home / "bucket")
    gateway.cli("upgrade", expect=2)  # no backup can be made: nothing is migrated
    assert gateway.json("upgrade", "--dry-run")["database"]
