"""Gateways to back up and to restore: their flows and their chain in this process."""

import json
import os
import time
from contextlib import closing
from importlib import resources

from click.testing import CliRunner

from chain.engine import EmbeddedEngine
from chain.ledger import Ledger
from chain.store import LedgerStore
from gateway.bootstrap import open_services, read_genesis
from gateway.cli import main
from gateway.founding import found
from gateway.intake import receive
from gateway.key_files import delegate_key_paths, read_key
from gateway.registration import register_party
from gateway.settings import load_settings
from gateway.submission import Submission
from jobs.audit import LEVELS, Audit, run_audit
from jobs.submit_transactions import submit_transactions
from jobs.sweep_orphans import sweep_orphans

DEMO = resources.files("gateway").joinpath("assets/demo-bundle.json").read_bytes()
LATER = 24 * 3600


def cli(*args, expect=0):
    """One command in this process; its JSON, or what it said."""
    done = CliRunner().invoke(main, [str(arg) for arg in args], env={"FHIR_ANCHOR_HOME": None})
    assert done.exit_code == expect, done.output
    return done


class Home:
    """A gateway's flows and its chain, in this process."""

    def __init__(self, home):
        self.home = home

    def push(self, number, *, final=True):
        """Another patient's bundle; recorded on the chain if `final`."""
        services = open_services(load_settings(self.home, {}))
        with services.index.reading() as connection:
            row = connection.exec_driver_sql("SELECT client_id FROM party WHERE name = 'Hospital'").scalar_one()
        body = DEMO.replace(b"DEMO-4471", f"DEMO-{number}".encode()).replace(b"5b1f0c9e", f"{number:08x}".encode())
        sender = services.parties.by_client_id(row)
        given = {"media_type": "application/fhir+json", "received_at": time.time(), "request_id": f"request-{number}"}
        answer = receive(services, sender, Submission(body=body, **given))
        services.index.close()
        services.ledger.close()
        if final:
            self.produce()
        return [entry.reference for entry in answer.results]

    def produce(self, *, blocks=True):
        """Hand the outbox over and make blocks until nothing waits; without `blocks` it all waits in the ledger's pool."""
        settings = load_settings(self.home, {})
        genesis = read_genesis(settings)
        services = open_services(settings)
        with closing(LedgerStore.open(settings.effective_ledger_url, genesis)) as store:
            keys = [(read_key(path), path.with_suffix(".watermark")) for path in delegate_key_paths(settings.keys_path)]
            engine, ledger = EmbeddedEngine.open(store, genesis, keys), Ledger(store, genesis)
            gateway = read_key(settings.keys_path / "gateway.json")
            submit_transactions(services.index, engine, lambda _: gateway, genesis.chain_id, ledger.height())
            while blocks and ledger.pending():
                head = ledger.head()
                engine.produce(max(time.time(), genesis.slot_time((head.slot if head else 0) + 1)))
            engine.close()
        services.index.close()
        services.ledger.close()

    def audit(self, *levels):
        return run_audit(Audit(load_settings(self.home, {}), int(time.time()) + LATER), levels or tuple(LEVELS))

    def sweep(self):
        settings = load_settings(self.home, {})
        services = open_services(settings)
        swept = sweep_orphans(services.ledger, services.index, services.store, now=int(time.time()) + LATER)
        services.index.close()
        services.ledger.close()
        return swept


def made(home, **chosen):
    """A gateway with one patient's records on the chain, and a backup of it in `gateway.file`."""
    found(home, delegates=1, slot_seconds=1, chosen=chosen, now=int(time.time()) - 1000, random=os.urandom)
    services = open_services(load_settings(home, {}))
    given = {"now": int(time.time()), "random": os.urandom}
    register_party(services, "institution", "Hospital", (), "gateway", "http://127.0.0.1:8080", home.parent / "hospital.json", **given)
    services.index.close()
    services.ledger.close()
    gateway = Home(home)
    gateway.names = gateway.push(1)
    gateway.file = home.parent / "backup.tar"
    gateway.told = json.loads(cli("--home", home, "backup", "create", "--out", gateway.file, "--json").stdout)
    return gateway


def restored(gateway, *args, name="new", expect=0):
    """What becomes of the backup of `gateway`; what was said, where it is expected to fail."""
    home = gateway.home.parent / name
    done = cli("--home", home, "backup", "restore", gateway.file, "--json", *args, expect=expect)
    if expect:
        assert not home.exists()
        return done.output
    again = Home(home)
    again.told = json.loads(done.stdout)
    return again
