"""Every process of a gateway is killed at once, three times, while a patient grants and revokes: what was acknowledged holds, on the ledger too."""

import json
import threading
import time
from collections import Counter
from datetime import date, timedelta
from importlib import resources

import databases
import pytest
from gateway_process import served

from chain.ledger import Ledger
from gateway.bootstrap import read_genesis
from gateway.client.connection import Connection, SignInRefused, Unreachable
from gateway.client.consent import ConsentRefused, grant, granted, revoke
from gateway.client.credentials import read
from gateway.settings import load_settings

pytestmark = pytest.mark.both_databases(slow=True)
DEMO = resources.files("gateway").joinpath("assets/demo-bundle.json")
FIRST_DAY = date(2030, 1, 1)
COMMON = 7  # transactions: cosigning keys of four delegates, two parties and an anchor


def grant_until_stopped(credentials, url, stop, days, acknowledged):
    """A grant for each day, every second one revoked at once. `acknowledged`: day -> status that an answer named."""
    connection = Connection(read(credentials).at(url), sleep=lambda _: stop.wait(0.05) and None)
    while not stop.is_set():
        day = str(FIRST_DAY + timedelta(next(days)))
        try:
            id_ = grant(connection, to=acknowledged["to"], types=["Observation"], purposes=["HPAYMT"], until=day)
            acknowledged[day] = "active"
            if int(day[-1]) % 2:
                acknowledged[day] = "revoking"
                revoke(connection, id_)
                acknowledged[day] = "inactive"
        except (Unreachable, SignInRefused, ConsentRefused):
            break
    connection.close()


@pytest.fixture
def gateway(tmp_path):
    """A running gateway that is gone afterwards, whatever happened."""
    with served(tmp_path, *databases.options()) as gateway:
        yield gateway


def test_acknowledged_grants_and_revokes_survive_three_kills(gateway):
    hospital, insurer = gateway.party(), gateway.party("agency", "Insurer")
    bundle, patient = gateway.folder / "bundle.json", gateway.folder / "patient.json"
    bundle.write_bytes(DEMO.read_bytes())
    gateway.cli("push", "--as", hospital, bundle)
    gateway.cli("patient", "enrol", "--identifier", "https://ids.example.org/person|DEMO-4471", "--url", gateway.url, "--out", patient)
    days, acknowledged = iter(range(10_000)), {"to": json.loads(insurer.read_text())["client_id"]}
    for moment in (0.5, 1.1, 1.7):
        stop = threading.Event()
        granter = threading.Thread(target=grant_until_stopped, args=(patient, gateway.url, stop, days, acknowledged))
        granter.start()
        time.sleep(moment)
        gateway.kill9()
        stop.set()
        granter.join()
        gateway.start()
    del acknowledged["to"]
    assert len(acknowledged) > 20
    final = gateway.wait_final()
    assert final["rejected"] == []
    connection = gateway.connect(patient)
    kept = granted(connection)
    connection.close()
    assert set(Counter(one.until for one in kept).values()) == {1}, "nothing was granted twice"
    status = {one.until: one.status for one in kept}
    assert all(said in (status.get(day), "revoking") for day, said in acknowledged.items())
    settings = load_settings(gateway.home, {})
    ledger = Ledger.open(settings.effective_ledger_url, read_genesis(settings))
    revoked = sum(one.status == "inactive" for one in kept)
    assert ledger.last_sequence("gateway") == len(kept) + revoked, "no number was skipped or given twice"
    ledger.close()
    assert final["transactions"] == COMMON + len(kept) + revoked, "each grant and revoke is there once"
    gateway.stop()
