"""A home folder in which patients granted and revoked and an insurer read: what the conduct audit's tests tamper with."""

import json
import os
import time
from dataclasses import dataclass, replace

from audit_case import AuditedHome, observation, patient
from consent_case import optin
from intake_case import delete, post, transaction

from chain.ledger import Ledger
from gateway import disclosure, granting
from gateway.access_log import log_accesses
from gateway.bootstrap import read_genesis
from gateway.index import accesses, archives, consents, parties, records
from gateway.registration import register_party
from gateway.settings import load_settings
from jobs.audit_conduct import verify_conduct
from jobs.audit_report import Report, merge
from jobs.audit_sequence import SHARD_NUMBERS
from jobs.audit_storage import Bounds

PENDING = 60


@dataclass
class ConductHome:
    """Anna and Bert are patients of a hospital; `records` are ids by the hospital's own names."""

    made: AuditedHome
    hospital: parties.Party
    insurer: parties.Party
    anna: parties.Party
    bert: parties.Party
    records: dict

    @classmethod
    def make(cls, folder):
        made = AuditedHome.make(folder)
        services, hospital = made.services, made.party()
        out, now = made.home.parent / "insurer.json", int(time.time())
        insurer = register_party(services, "agency", "Insurer", (), "gateway", "http://127.0.0.1:8080", out, now=now, random=os.urandom)
        urls = [f"https://source.example.org/Patient/p{number}" for number in (0, 1)]
        shared = observation(9, 1.5, urls[0]) | {"performer": [{"reference": urls[1]}]}
        entries = [(url, patient(number)) for number, url in enumerate(urls)]
        entries += [(f"https://source.example.org/Observation/o{n}", observation(n, 1.5, urls[n > 2])) for n in range(1, 5)]
        entries.append(("https://source.example.org/Observation/o9", shared))
        results = post(services, hospital, transaction(*entries, bundle_type="collection")).results
        records = {resource["id"]: result.reference.split("/")[1] for (_, resource), result in zip(entries, results, strict=True)}
        made.block()
        return cls(made, hospital, insurer, *(cls._enrolled(services, records[name]) for name in ("p0", "p1")), records)

    @staticmethod
    def _enrolled(services, id_):
        with services.index.atomic() as connection:
            archive = archives.of_patient_resources(connection, [services.ids.decode(id_)]).pop()
            named = {"client_id": f"patient-{archive}", "archive": archive, "jwks": {"keys": []}}
            return parties.enrol_patient(connection, **named, signing_key=os.urandom(32), now=1)

    def grant(self, who, *types, until="2030-01-01", to=None):
        given = optin((to or self.insurer).client_id, types=types or ("Observation",), until=until)
        return granting.grant(self.made.services, who, json.dumps(given).encode()).id

    def revoke(self, who, consent):
        granting.revoke(self.made.services, who, consent)

    def read(self, name, resource_type="Observation", reader=None):
        record = disclosure.read(self.made.services, reader or self.insurer, resource_type, self.records[name], purpose="HPAYMT")
        return [access.sequence for access in record.accesses]

    def history(self, name):
        return disclosure.history(
            self.made.services, self.insurer, "Observation", self.records[name], before=None, limit=10, purpose="HPAYMT"
        )

    def close_batch(self):
        with self.made.services.index.atomic() as connection:
            accesses.close_batch(connection, int(time.time()))

    def block(self):
        self.made.block()


def make_conduct(folder):
    """Numbers 1 to 12, all on the chain: 1 grant, 2-4 accesses, 5 grant, 6-8 accesses, 9 revoke of 1, 10 grant, 11-12 accesses."""
    home = ConductHome.make(folder)
    first = home.grant(home.anna)
    assert [home.read(name) for name in ("o1", "o2", "o1")] == [[2], [3], [4]]
    home.grant(home.bert)
    home.block()
    assert home.read("o9") == [6, 7], "it is about both"
    assert home.read("o3") == [8]
    home.revoke(home.anna, first)
    home.grant(home.anna, "Observation", "Patient")
    home.block()
    delete(home.made.services, home.hospital, f"Observation/{home.records['o3']}")
    home.history("o3")
    assert home.read("p0", "Patient") == [12]
    home.close_batch()
    home.block()
    return home


def audit_conduct(home, processes=1, numbers=SHARD_NUMBERS, later=0) -> Report:
    """The whole level on the gateway at `home`, `later` seconds from now."""
    settings = load_settings(home, {})
    ledger = Ledger.open(settings.effective_ledger_url, read_genesis(settings))
    report = Report()
    for _, part in verify_conduct(settings, ledger, Bounds(int(time.time()) + later, PENDING), processes, numbers):
        report = merge(report, part)
    ledger.close()
    return report


def disclose(home, name, granted, *, reader=None, purpose="HPAYMT", resource_type="Observation", ms=None, location=None):
    """Log an access as `release_page` does, but without asking whether it is permitted. `granted`: the number of the grant."""
    services = home.made.services
    with services.index.atomic() as connection:
        at = records.find(connection, resource_type, services.ids.decode(home.records[name]))
        at = replace(at, **(location or {}))
        [grant] = [row.grant for row in consents.numbered(connection, range(granted, granted + 1)) if row.grant.sequence == granted]
        relied_on = [(at, services.ids.encode([at.row])[0], (grant,))]
        [logged] = log_accesses(services, connection, reader or home.insurer, purpose, relied_on, ms or int(time.time() * 1000))
        return logged.sequence
