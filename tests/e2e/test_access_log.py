"""What a grant lets out, against a running gateway: logged, batched, on the ledger; nothing after a revoke was answered."""

import json
import threading
import time
from contextlib import closing, contextmanager, suppress
from importlib import resources

import pytest
from consent_case import optin
from gateway_process import GatewayProcess, served

from chain.ledger import Ledger
from chain.merkle import leaf_hash, root
from chain.transactions import Kind, parse_transaction
from gateway.bootstrap import open_services, read_genesis
from gateway.client.connection import SignInRefused, Unreachable
from gateway.consent.access import Access
from gateway.index import accesses, archives
from gateway.index import schema as t
from gateway.settings import load_settings
from gateway.vault.primitives import access_commitment

DEMO = resources.files("gateway").joinpath("assets/demo-bundle.json").read_bytes()
ANNA = "https://ids.example.org/person|DEMO-4471"
JSON = {"Content-Type": "application/fhir+json"}
READERS = 64


def peopled(gateway):
    """A hospital that pushed Anna's records, Anna, and an insurer whom nothing was granted."""
    gateway.insurer = gateway.party("agency", "Insurer", "--purpose", "HPAYMT")
    gateway.to = json.loads(gateway.insurer.read_text())["client_id"]
    (gateway.folder / "bundle.json").write_bytes(DEMO)
    gateway.hospital = gateway.party()
    pushed = gateway.json("push", "--as", gateway.hospital, gateway.folder / "bundle.json")
    records = [receipt["record"] for receipt in pushed["receipts"]]
    gateway.patient = next(record for record in records if record.startswith("Patient/")).partition("/_history")[0]
    gateway.observations = sorted(r.partition("/_history")[0] for r in records if r.startswith("Observation/"))
    gateway.anna = gateway.folder / "anna.json"
    gateway.cli("patient", "enrol", "--identifier", ANNA, "--url", gateway.url, "--out", gateway.anna)
    return gateway


@pytest.fixture(scope="module")
def gateway(tmp_path_factory):
    with served(tmp_path_factory.mktemp("accesses")) as running:
        yield peopled(running)


@contextmanager
def as_party(gateway, credentials):
    with closing(gateway.connect(credentials)) as connection:
        yield connection


@contextmanager
def ledger_of(gateway):
    settings = load_settings(gateway.home, {})
    with closing(Ledger.open(settings.effective_ledger_url, read_genesis(settings))) as ledger:
        yield ledger


@contextmanager
def services_of(gateway):
    services = open_services(load_settings(gateway.home, {}))
    try:
        yield services
    finally:
        services.index.close()


def grant(gateway, *types, until="2030-01-01"):
    with as_party(gateway, gateway.anna) as anna:
        body = json.dumps(optin(gateway.to, types=types, until=until)).encode()
        answer = anna.ask("POST", "/fhir/Consent", body, JSON)
        assert answer.status == 201, answer.body
        return "/fhir/" + answer.headers["Location"].partition("/fhir/")[2].partition("/_history")[0]


def revoke(gateway, consent):
    with as_party(gateway, gateway.anna) as anna:
        assert anna.ask("POST", f"{consent}/$revoke").status == 200


def rows(gateway):
    with services_of(gateway) as services, services.index.reading() as connection:
        return connection.execute(t.access.select().order_by(t.access.c.sequence)).all()


def batches(ledger):
    """The bodies of all ACCESS_BATCHes, in the ledger's order."""
    blocks = (ledger.block(height) for height in range(1, ledger.height() + 1))
    bodies = (parse_transaction(raw).body for block in blocks for raw in block.transactions)
    return [body for body in bodies if body.kind is Kind.ACCESS_BATCH]


def check_batches(gateway):
    """Every access is in exactly one batch of the ledger, whose root is that of its leaves. Returns the rows."""
    found = rows(gateway)
    with ledger_of(gateway) as ledger:
        recorded = batches(ledger)
        assert ledger.rejected() == []
        assert all(ledger.access_batch_of("gateway", row.sequence) is not None for row in found)
    assert sum(batch.leaves for batch in recorded) == len(found)
    for batch in recorded:
        inside = [row for row in found if row.batch == batch.last]
        assert (inside[0].sequence, inside[-1].sequence, len(inside)) == (batch.first, batch.last, batch.leaves)
        assert root([row.leaf for row in inside]) == batch.root
    return found


def batched(gateway):
    gateway.cli("jobs", "run", "close-access-batch")
    assert gateway.wait_final()["rejected"] == []
    return check_batches(gateway)


def reopened(services, row, client_id):
    """The leaf of a row, made again from what the row says and the archive's secret."""
    with services.index.reading() as connection:
        consent = connection.execute(t.consent_grant.select().where(t.consent_grant.c.row == row.consent)).one()
        archive = archives.by_rows(connection, [consent.archive])[consent.archive]
    found = accesses.unpack(row.records)
    ids = [bytes.fromhex(id_) for id_ in services.ids.encode(number for number, _ in found)]
    named = tuple(zip(ids, (version for _, version in found), strict=True))
    access = Access(client_id, row.purpose, consent.grant_id, named, row.sequence, row.accessed_ms)
    salt = services.keyring.archive_secret(archive.keys).access_salt(consent.grant_id, row.sequence, row.accessed_ms)
    return leaf_hash(access_commitment(services.chain_id, salt, access.to_bytes())), {id_.hex() for id_ in ids}


def test_every_way_to_read_is_logged_named_to_the_reader_and_recorded(gateway):
    consent = grant(gateway, "Observation", "Patient")
    before, one = len(rows(gateway)), gateway.observations[0]
    searched = f"/fhir/Observation?patient={gateway.patient}"
    kept = []
    with as_party(gateway, gateway.insurer) as insurer:
        for path in (one, f"{one}/_history/1", f"{one}/_history", searched.removeprefix("/fhir/"), f"{gateway.patient}/$everything"):
            answer = insurer.ask("GET", f"/fhir/{path}")
            assert answer.status == 200, (path, answer.body)
            kept.append((int(answer.headers["X-Access-Sequence"]), bytes.fromhex(answer.headers["X-Access-Leaf"])))
        empty = insurer.ask("GET", f"{searched}&date=1800-01-01")
        assert "X-Access-Leaf" not in empty.headers, "nothing left"
    with as_party(gateway, gateway.hospital) as hospital:
        assert "X-Access-Leaf" not in hospital.ask("GET", f"/fhir/{one}").headers, "its own"
    logged = batched(gateway)[before:]
    assert [(row.sequence, row.leaf) for row in logged] == kept
    with services_of(gateway) as services:
        opened = [reopened(services, row, gateway.to) for row in logged]
    assert [leaf for leaf, _ in opened] == [leaf for _, leaf in kept]
    ids = {name.partition("/")[2] for name in gateway.observations}
    own = {one.partition("/")[2]}
    assert [named for _, named in opened] == [own, own, own, ids, ids | {gateway.patient.partition("/")[2]}]
    revoke(gateway, consent)


def test_a_grant_and_a_revoke_after_accesses_are_recorded(gateway):
    consent = grant(gateway, "Observation", until="2030-02-01")
    with as_party(gateway, gateway.insurer) as insurer:
        for _ in range(3):
            assert insurer.ask("GET", f"/fhir/{gateway.observations[0]}").status == 200
            other = grant(gateway, "Condition", until="2031-01-01")
            assert insurer.ask("GET", f"/fhir/{gateway.observations[0]}").status == 200
            revoke(gateway, other)
    revoke(gateway, consent)
    batched(gateway)


def first_page(insurer, search):
    for _ in range(10):
        with suppress(Unreachable):
            return insurer.ask("GET", search)
    raise AssertionError("the search was not answered")


def test_nothing_is_read_after_a_revoke_was_answered(gateway):
    consent = grant(gateway, "Observation", until="2030-03-01")
    search = f"/fhir/Observation?patient={gateway.patient}&_count=1"
    told, late, reads, refused, wrong = threading.Event(), [], [], [], []
    ready = threading.Barrier(READERS + 1)

    def read():
        with as_party(gateway, gateway.insurer) as insurer:
            page = first_page(insurer, search)
            following = next((link["url"] for link in json.loads(page.body)["link"] if link["relation"] == "next"), search)
            ready.wait(60)
            until = None
            while until is None or time.monotonic() < until:
                after = told.is_set()  # before the request: what began after the revoke was answered
                with suppress(Unreachable):  # so many may have to wait for longer than a client tries: nothing was read then
                    answer = insurer.ask("GET", following)
                    if answer.status == 200:
                        reads.append(int(answer.headers["X-Access-Sequence"]))
                        late.extend([answer.body] if after else [])
                    elif answer.status == 403:
                        refused.append(after)
                    else:
                        wrong.append(answer.status)
                if told.is_set() and until is None:
                    until = time.monotonic() + 0.5

    readers = [threading.Thread(target=read) for _ in range(READERS)]
    for reader in readers:
        reader.start()
    ready.wait(60)
    time.sleep(0.7)
    try:
        revoke(gateway, consent)
    finally:
        told.set()
    for reader in readers:
        reader.join()
    assert (late, wrong) == ([], [])
    assert len(reads) > READERS / 2
    assert sum(refused) >= READERS / 2
    with services_of(gateway) as services, services.index.reading() as connection:
        row = services.ids.decode(consent.rpartition("/")[2])
        revoked = connection.execute(t.consent_grant.select().where(t.consent_grant.c.row == row)).one().revoked_at_sequence
    assert max(reads) < revoked, "whatever was read stands before the revoke, on the ledger too"
    assert len({row.sequence for row in batched(gateway)}.intersection(reads)) == len(reads), "no read without its entry"


@pytest.mark.campaign
def test_kills_while_reading_leave_every_read_logged_and_no_batch_doubled(tmp_path):
    gateway = GatewayProcess(tmp_path).start()
    try:
        peopled(gateway)
        grant(gateway, "Observation")
        kept = set()
        for moment in (0.4, 0.9, 1.3):
            stop = threading.Event()
            readers = [threading.Thread(target=read_until, args=(gateway, stop, kept)) for _ in range(4)]
            for reader in readers:
                reader.start()
            closing_now = threading.Thread(target=lambda: gateway.cli("jobs", "run", "close-access-batch", expect=(0, 2)))
            closing_now.start()
            time.sleep(moment)
            gateway.kill9()
            stop.set()
            for thread in (*readers, closing_now):
                thread.join()
            gateway.start()
        audited = gateway.json("audit", "run", "--level", "conduct")
        assert (audited["findings"], audited["could_not_check"]) == ([], []), "what was on its way is pending, at most"
        assert audited["checked"]["accesses"] >= len(kept)
        logged = {row.sequence for row in batched(gateway)}
        assert len(kept) > 10
        assert kept <= logged
        gateway.stop()
    finally:
        if gateway.process.poll() is None:
            gateway.kill9()


def read_until(gateway, stop, kept):
    with as_party(gateway, gateway.insurer) as insurer:
        insurer._sleep = lambda _: stop.wait(0.02)
        while not stop.is_set():
            try:
                answer = insurer.ask("GET", f"/fhir/{gateway.observations[0]}")
            except (Unreachable, SignInRefused):
                return
            if answer.status == 200:
                kept.add(int(answer.headers["X-Access-Sequence"]))
