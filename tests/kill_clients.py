"""Clients of a gateway that is killed under them: each notes what it asked for and what was acknowledged, and checks it in the end.

Broken requests are repeated by the connection, as a real client's are, until `stop` is set.
"""

import json
import time
from collections import Counter
from contextlib import closing, contextmanager
from datetime import date, timedelta
from importlib import resources

from chain.ledger import Ledger
from gateway import verification
from gateway.bootstrap import read_genesis
from gateway.client.connection import Connection, SignInRefused, Unreachable
from gateway.client.consent import ConsentRefused, grant, granted, revoke
from gateway.client.credentials import read
from gateway.client.submission import parse_submission, signed_headers
from gateway.index import schema as t
from gateway.index.database import open_index
from gateway.index.resource_types import NAME_OF
from gateway.settings import load_settings

DEMO = resources.files("gateway").joinpath("assets/demo-bundle.json").read_bytes()
JSON = {"Content-Type": "application/fhir+json"}


class Client:
    """Works from one kill to the next, `pause` seconds between two requests. `acknowledged` is what must be there in the end."""

    pause = 0.05

    def __init__(self, credentials):
        self.credentials = credentials
        self.acknowledged = {}
        self.turns = 0  # that went well
        self.wrong = []  # answers that no outage explains

    def work(self, url, stop):
        with closing(Connection(read(self.credentials).at(url), sleep=lambda _: stop.wait(0.05) and None)) as connection:
            while not stop.wait(self.pause):
                try:
                    self.turn(connection)
                    self.turns += 1
                except (Unreachable, SignInRefused, ConsentRefused):
                    continue

    def ask(self, connection, expect, *request):
        answer = connection.ask(*request)
        if answer.status not in expect:
            self.wrong.append((request[:2], answer.status, answer.body))
        return answer

    def check(self, gateway):
        assert self.wrong == []
        assert self.acknowledged, "nothing was acknowledged: the campaign shows nothing"
        with closing(gateway.connect(self.credentials)) as connection:
            self.check_with(gateway, connection)


class Pusher(Client):
    """A bundle of another patient each time. `acknowledged`: number -> where its records are."""

    pause = 0.15

    def __init__(self, credentials, name):
        super().__init__(credentials)
        self.name, self.attempted, self.seen = name, 0, {}

    def body(self, number):
        text = DEMO.decode().replace("5b1f0c9e", f"{self.name:02x}{number:06x}").replace("DEMO-4471", f"DEMO-{self.name}-{number}")
        return parse_submission(text.encode())

    def push(self, connection, number):
        sent = self.body(number)
        headers = signed_headers(sent, connection.credentials, int(time.time()))
        answer = self.ask(connection, (200,), "POST", sent.path, sent.body, headers)
        return answer, [entry["response"]["location"] for entry in json.loads(answer.body)["entry"]]

    def turn(self, connection):
        self.attempted += 1
        self.acknowledged[self.attempted] = self.push(connection, self.attempted)[1]
        one = self.acknowledged[self.attempted][-1]
        self.seen[one] = self.ask(connection, (200,), "GET", f"/fhir/{one}").body

    def check_with(self, gateway, connection):
        places = [place for number in self.acknowledged for place in self.acknowledged[number]]
        assert len(set(places)) == len(places), "nothing was doubled"
        check_receipts(gateway, connection, places, self.seen)
        for number in range(1, self.attempted + 1):
            answer, again = self.push(connection, number)
            if number in self.acknowledged:
                assert (answer.headers.get("Idempotent-Replay"), again) == ("true", self.acknowledged[number])
            self.acknowledged[number] = again
        assert self.wrong == []
        expected = Counter(place.partition("/")[0] for number in self.acknowledged for place in self.acknowledged[number])
        assert live_of(gateway, connection) == expected, "each source has one live record"


class Updater(Client):
    """PUTs a few patients in turn, each time with a higher number in it. `acknowledged`: patient -> number -> version."""

    patients = 4

    def __init__(self, credentials):
        super().__init__(credentials)
        self.number, self.names = 0, {}

    def put(self, connection, patient, number):
        body = {"resourceType": "Patient", "id": patient, "multipleBirthInteger": number}
        answer = self.ask(connection, (200, 201), "PUT", f"/fhir/Patient/{patient}", json.dumps(body).encode(), JSON)
        name, _, version = answer.headers["Location"].partition("/fhir/")[2].partition("/_history/")
        assert self.names.setdefault(patient, name) == name
        return int(version)

    def turn(self, connection):
        self.number += 1
        patient = f"updated-{self.number % self.patients}"
        version = self.put(connection, patient, self.number)
        self.acknowledged.setdefault(patient, {})[self.number] = version

    def check_with(self, gateway, connection):
        for patient, name in self.names.items():
            told = self.acknowledged[patient]
            current = connection.ask("GET", f"/fhir/{name}")
            last = int(current.headers["ETag"].split('"')[1])
            places = [f"{name}/_history/{version}" for version in range(1, last + 1)]
            contents = [json.loads(body)["multipleBirthInteger"] for body in check_receipts(gateway, connection, places)]
            assert contents == sorted(set(contents)), "no version was doubled or lost its place"
            assert {number: contents[version - 1] for number, version in told.items()} == {number: number for number in told}
            assert self.put(connection, patient, contents[-1]) == last, "the same content again makes no version"


class Deleter(Client):
    """Creates an organization and deletes it. `acknowledged`: its address -> created, deleting, deleted."""

    def __init__(self, credentials):
        super().__init__(credentials)
        self.attempted = 0

    def body(self, number):
        return json.dumps({"resourceType": "Organization", "id": f"deleted-{number}", "name": f"No. {number}"}).encode()

    def turn(self, connection):
        self.attempted += 1
        created = self.ask(connection, (200, 201), "POST", "/fhir/Organization", self.body(self.attempted), JSON)
        name = created.headers["Location"].partition("/fhir/")[2].partition("/_history/")[0]
        self.acknowledged[name] = "created"
        if self.attempted % 3:
            self.acknowledged[name] = "deleting"
            self.ask(connection, (204,), "DELETE", f"/fhir/{name}")
            self.acknowledged[name] = "deleted"

    def check_with(self, gateway, connection):
        expected = {"created": {200}, "deleting": {200, 410}, "deleted": {410}}
        for name, state in self.acknowledged.items():
            answer = connection.ask("GET", f"/fhir/{name}")
            assert answer.status in expected[state], (name, state)
            assert answer.headers["ETag"] == ('W/"1"' if answer.status == 200 else 'W/"2"')
            check_receipts(gateway, connection, [f"{name}/_history/1"])
            again = self.ask(connection, (204,), "DELETE", f"/fhir/{name}")
            assert again.headers["ETag"] == 'W/"2"', "deleting again makes no version"


class Granter(Client):
    """A patient that grants for a day each and revokes every second grant at once. `acknowledged`: day -> status."""

    def __init__(self, gateway, hospital, to):
        bundle, out = gateway.folder / "bundle.json", gateway.folder / "patient.json"
        bundle.write_bytes(DEMO)
        gateway.cli("push", "--as", hospital, bundle)
        gateway.cli("patient", "enrol", "--identifier", "https://ids.example.org/person|DEMO-4471", "--url", gateway.url, "--out", out)
        super().__init__(out)
        self.to, self.number = to, 0

    def grant(self, connection, day):
        return grant(connection, to=self.to, types=["Observation"], purposes=["HPAYMT"], until=day)

    def turn(self, connection):
        self.number += 1
        day = str(date(2030, 1, 1) + timedelta(self.number))
        id_ = self.grant(connection, day)
        self.acknowledged[day] = "active"
        if self.number % 2:
            self.acknowledged[day] = "revoking"
            revoke(connection, id_)
            self.acknowledged[day] = "inactive"

    def check_with(self, gateway, connection):
        kept = granted(connection)
        assert set(Counter(one.until for one in kept).values()) == {1}, "nothing was granted twice"
        status = {one.until: one.status for one in kept}
        assert all(said in (status.get(day), "revoking") for day, said in self.acknowledged.items())
        assert all(day in status for day in self.acknowledged)
        ids = {one.until: one.id for one in kept if one.status == "active"}
        assert all(self.grant(connection, day) == id_ for day, id_ in ids.items()), "the same again is the first"
        with index_of(gateway) as database, ledger_of(gateway) as ledger:
            rows = database.execute(t.consent_grant.select()).all()
            assert len(rows) == len(kept)
            assert ledger.last_sequence("gateway") == len(rows) + sum(row.revoked_ms is not None for row in rows), "no number was skipped"
            for row in rows:
                entry = ledger.grant(row.grant_id)
                revoked = entry.revoked and entry.revoked.sequence
                assert (entry.sequence, revoked) == (row.sequence, row.revoked_at_sequence)


def check_receipts(gateway, connection, places, seen=None):
    """Every place is read, is what was seen there before, and verifies with its receipt. Returns the bodies."""
    genesis, bodies = (gateway.home / "genesis.json").read_bytes(), []
    for place in places:
        record = connection.ask("GET", f"/fhir/{place}")
        assert record.status == 200, place
        assert (seen or {}).get(place, record.body) == record.body, place
        receipt = connection.ask("GET", f"/ledger/receipts/{place}")
        assert receipt.status == 200, (place, receipt.body)
        verification.verify_receipt(receipt.body, genesis, record.body)
        bodies.append(record.body)
    return bodies


def live_of(gateway, connection):
    """How many live records the party of `connection` has, by type."""
    with index_of(gateway) as database:
        party = database.execute(t.party.select().where(t.party.c.client_id == connection.credentials.client_id)).one()
        rows = database.execute(
            t.resource.select().where(t.resource.c.issuer == party.row, t.resource.c.version > 0, t.resource.c.deleted == 0)
        )
        return Counter(NAME_OF[row.type] for row in rows)


@contextmanager
def index_of(gateway):
    with closing(open_index(load_settings(gateway.home, {}).effective_database_url)) as index, index.reading() as connection:
        yield connection


@contextmanager
def ledger_of(gateway):
    settings = load_settings(gateway.home, {})
    with closing(Ledger.open(settings.effective_ledger_url, read_genesis(settings))) as ledger:
        yield ledger
