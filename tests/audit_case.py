"""A home folder with a real chain, bucket and database, made in this process: what the content audit's tests tamper with."""

import os
import shutil
import sqlite3
import time
from dataclasses import dataclass
from pathlib import Path

import databases
from intake_case import post, transaction

from chain.engine import EmbeddedEngine
from chain.genesis import Genesis
from chain.ledger import Ledger
from chain.store import LedgerStore
from gateway.bootstrap import open_services, read_genesis
from gateway.founding import found
from gateway.key_files import delegate_key_paths, read_key
from gateway.registration import register_party
from gateway.services import Services
from gateway.settings import load_settings
from jobs.audit_content import ALL, SHARD_LEAVES, open_verify, shards, verify_content
from jobs.audit_report import Report, merge
from jobs.produce_blocks import BlockProduction

PERSON = "https://ids.example.org/person"


@dataclass
class AuditedHome:
    """A gateway that is written to in this process and never served."""

    home: Path
    services: Services
    genesis: Genesis
    store: LedgerStore
    engine: EmbeddedEngine
    slot: int = 0

    @classmethod
    def make(cls, folder):
        home = folder / "gateway"
        found(
            home,
            delegates=4,
            slot_seconds=1,
            chosen={"shared_systems": [PERSON], **databases.chosen()},
            now=int(time.time()) - 100_000,
            random=os.urandom,
        )
        settings = load_settings(home, {})
        genesis = read_genesis(settings)
        store = LedgerStore.open(settings.effective_ledger_url, genesis)
        keys = [(read_key(path), path.with_suffix(".watermark")) for path in delegate_key_paths(settings.keys_path)]
        return cls(home, open_services(settings), genesis, store, EmbeddedEngine.open(store, genesis, keys))

    def party(self, name="Test Hospital"):
        out = self.home.parent / f"{name}.json"
        base = "http://127.0.0.1:8080"
        now = int(time.time())
        return register_party(self.services, "institution", name, (), "gateway", base, out, now=now, random=os.urandom)

    def block(self):
        """Everything that waits, final."""
        self.slot += 1
        key = read_key(self.services.settings.keys_path / "gateway.json")
        production = BlockProduction(self.services.index, self.engine, Ledger(self.store, self.genesis), key)
        production.produce(self.genesis.slot_time(self.slot))

    def ledger(self):
        return Ledger(self.store, self.genesis)

    def close(self):
        self.engine.close()
        self.store.close()
        self.services.index.close()

    def copy_to(self, folder):
        """A copy of the home, to be tampered with."""
        with sqlite3.connect(self.home / "gateway.db") as database:
            database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        database.close()
        with sqlite3.connect(self.home / "ledger.db") as database:
            database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        database.close()
        return Path(shutil.copytree(self.home, folder / "copy"))


def patient(number, **more):
    identifier = [{"system": PERSON, "value": f"person-{number}"}, {"system": "urn:mrn", "value": f"mrn-{number}"}]
    return {"resourceType": "Patient", "id": f"p{number}", "identifier": identifier, "gender": "female", "birthDate": "1980-02-03", **more}


def observation(number, value, patient_url):
    return {
        "resourceType": "Observation",
        "id": f"o{number}",
        "status": "final",
        "category": [{"coding": [{"system": "http://hl7.org/fhir/observation-category", "code": "laboratory"}]}],
        "code": {"coding": [{"system": "http://loinc.org", "code": f"4548-{number % 3}"}]},
        "subject": {"reference": patient_url},
        "effectivePeriod": {"start": "2021-03-04T05:06:07Z", "end": "2021-03-05"},
        "valueQuantity": {"value": value},
    }


def submission(first, count, value=1.5, patients=2):
    """A release of `patients` patients with `count` observations each, numbered from `first` on, and their practitioner."""
    entries = [
        ("https://source.example.org/Practitioner/d1", {"resourceType": "Practitioner", "id": "d1", "identifier": [{"value": "doctor"}]})
    ]
    for number in range(first, first + patients):
        url = f"https://source.example.org/Patient/p{number}"
        entries.append((url, patient(number)))
        items = range(number * count, (number + 1) * count)
        entries += [(f"https://source.example.org/Observation/o{item}", observation(item, value, url)) for item in items]
    return transaction(*entries, bundle_type="collection")


def make_home(folder):
    """Two patients and their practitioner in one submission, then new versions of some of it, then single resources."""
    made = AuditedHome.make(folder)
    hospital = made.party()
    post(made.services, hospital, submission(0, 5))
    made.block()
    post(made.services, hospital, submission(0, 5, value=2.5, patients=1))
    post(made.services, hospital, patient(77), "Patient")
    made.block()
    return made


def audit(home, processes=1, leaves=SHARD_LEAVES, originals=ALL) -> Report:
    """The whole level on the gateway at `home`."""
    settings = load_settings(home, {})
    ledger = Ledger.open(settings.effective_ledger_url, read_genesis(settings))
    report = Report()
    for _, part in verify_content(settings, ledger, processes, leaves, originals):
        report = merge(report, part)
    ledger.close()
    return report


def shards_of(home, leaves):
    settings = load_settings(home, {})
    ledger = Ledger.open(settings.effective_ledger_url, read_genesis(settings))
    found_shards = list(shards(ledger, range(1, ledger.head().height + 1), leaves))
    ledger.close()
    return found_shards


def verifier(home):
    return open_verify(load_settings(home, {}))
