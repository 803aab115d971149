"""What anyone may ask, over HTTP: health, metadata, the ledger."""

import json
import os
import shutil
import subprocess
import threading
import time
from dataclasses import replace

import pytest
import web_gateway
from fhir.resources.R4B.capabilitystatement import CapabilityStatement
from simulator import SimulatedObjectStore
from web_gateway import new_key

from chain.block import Header
from chain.engine import EmbeddedEngine
from chain.store import LedgerStore
from gateway import heartbeat
from gateway.key_files import delegate_key_paths, read_key
from gateway.readiness import ANSWER_WITHIN, BELIEVED_FOR, BELIEVED_MISSING_FOR, LEAST_ROOM, STALLED_SECONDS, Readiness
from gateway.vault.submission import from_base64url
from jobs.produce_blocks import BlockProduction


@pytest.fixture(scope="module")
def gateway(tmp_path_factory):
    with web_gateway.gateway(tmp_path_factory.mktemp("home"), jwks=[new_key()]) as running:
        yield running


@pytest.fixture(scope="module")
def final_block(gateway):
    """The three registrations, the suspension and the delegate's cosigning key, in a block."""
    genesis, settings = gateway.ledger.genesis, gateway.services.settings
    store = LedgerStore.open(settings.effective_ledger_url, genesis)
    keys = [(read_key(path), path.with_suffix(".watermark")) for path in delegate_key_paths(settings.keys_path)]
    engine = EmbeddedEngine.open(store, genesis, keys)
    production = BlockProduction(gateway.services.index, engine, gateway.ledger, read_key(settings.keys_path / "gateway.json"))
    block = production.produce(time.time() + 1)
    engine.close()
    store.close()
    return block


def test_a_worker_says_that_it_lives(gateway):
    assert gateway.client.ask("GET", "/livez").json == {"alive": True}


def look_again(gateway):
    """What was found before is believed for a while."""
    gateway.app.extensions["readiness"].close()
    gateway.app.extensions["readiness"] = Readiness(
        gateway.services.settings, gateway.services.store, gateway.ledger, gateway.services.clock
    )


def test_ready_means_every_part(gateway):
    home = gateway.services.settings.home
    heartbeat.beat(home)
    look_again(gateway)
    parts = dict.fromkeys(("ready", "database", "bucket", "ledger", "chain", "jobs"), True)
    assert gateway.client.ask("GET", "/readyz").json == parts
    assert list((home / "bucket" / ".tmp").iterdir()) == [], "the probe leaves nothing"
    assert list(gateway.services.store.list()) == []


@pytest.mark.parametrize("part", ["jobs-missing", "jobs-late", "jobs-ahead", "bucket"])
def test_a_missing_part_is_named(gateway, part):
    home = gateway.services.settings.home
    heartbeat.beat(home)
    look_again(gateway)
    if part == "jobs-missing":
        heartbeat.clear(home)
    elif part.startswith("jobs"):  # the last beat, or the clock was put back since
        os.utime(home / "jobs.heartbeat", (time.time() + (60 if part == "jobs-ahead" else -60),) * 2)
    else:
        (home / "bucket").rename(home / "elsewhere")
    try:
        answer = gateway.client.ask("GET", "/readyz")
    finally:
        if part == "bucket":
            (home / "elsewhere").rename(home / "bucket")
    assert answer.status == 503
    assert answer.headers["retry-after"] == "1"
    part = part.partition("-")[0]
    assert [name for name, holds in answer.json.items() if not holds] == ["ready", part]
    assert list(answer.json["reasons"]) == [part]


def test_a_chain_that_leaves_work_lie_is_named(gateway):
    """No jobs process runs here, so the registrations stay in the outbox, and what makes the delegate's cosigning key known."""
    now = [time.time()]
    readiness = Readiness(gateway.services.settings, gateway.services.store, gateway.ledger, lambda: now[0])
    assert "chain" not in readiness.missing()
    now[0] += STALLED_SECONDS + 2
    assert "5 transactions waiting" in readiness.missing()["chain"]
    readiness.close()


def test_what_was_found_is_believed_for_a_while(gateway):
    heartbeat.beat(gateway.services.settings.home)
    now, bucket = [time.time()], gateway.services.settings.home / "bucket"
    readiness = Readiness(gateway.services.settings, gateway.services.store, gateway.ledger, lambda: now[0])
    assert readiness.missing() == {}
    bucket.rename(bucket.with_name("elsewhere"))
    assert readiness.missing() == {}
    now[0] += BELIEVED_FOR
    assert list(readiness.missing()) == ["bucket"]
    bucket.with_name("elsewhere").rename(bucket)
    now[0] += BELIEVED_MISSING_FOR
    assert readiness.missing() == {}
    readiness.close()


class SilentStore(SimulatedObjectStore):
    """Says whether it takes anything once `answers` is set."""

    def __init__(self):
        super().__init__()
        self.asked, self.answers = threading.Event(), threading.Event()

    def check_writable(self):
        self.asked.set()
        assert self.answers.wait(30)


def test_a_bucket_that_gives_no_answer_is_not_ready_because_it_was(gateway):
    heartbeat.beat(gateway.services.settings.home)
    now, store = [time.time()], SilentStore()
    readiness = Readiness(gateway.services.settings, store, gateway.ledger, lambda: now[0])
    store.answers.set()
    assert readiness.missing() == {}
    store.answers.clear()
    store.asked.clear()
    now[0] += BELIEVED_FOR
    looking = threading.Thread(target=readiness.missing)
    looking.start()
    assert store.asked.wait(30)
    assert readiness.missing() == {}
    now[0] += ANSWER_WITHIN
    assert readiness.missing() == {"bucket": "it gives no answer"}
    store.answers.set()
    looking.join()
    readiness.close()


def test_a_disk_without_room_for_the_database_is_not_ready(gateway, tmp_path):
    """The bucket is elsewhere, and to take the write lock needs no room."""
    mount = ["mount", "-t", "tmpfs", "-o", f"size={LEAST_ROOM + (8 << 20)}", "tmpfs", str(tmp_path)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("no right to mount a small file system here")
    try:
        heartbeat.beat(gateway.services.settings.home)
        shutil.copy(gateway.services.settings.home / "gateway.db", tmp_path)
        settings = replace(gateway.services.settings, database_url=f"sqlite:///{tmp_path / 'gateway.db'}")
        now = [time.time()]
        readiness = Readiness(settings, gateway.services.store, gateway.ledger, lambda: now[0])
        assert "database" not in readiness.missing()
        (tmp_path / "ballast").write_bytes(bytes(8 << 20))
        now[0] += BELIEVED_FOR
        assert readiness.missing()["database"] == "the disk is full"
        readiness.close()
    finally:
        subprocess.run(["umount", "--lazy", str(tmp_path)], check=True)


def test_the_capability_statement_is_valid_and_names_only_what_exists(gateway):
    answer = gateway.client.ask("GET", "/fhir/metadata", Accept="application/fhir+json")
    told = answer.json
    CapabilityStatement.model_validate(told)
    assert answer.headers["content-type"] == "application/fhir+json"
    assert (told["fhirVersion"], told["kind"]) == ("4.0.1", "instance")
    methods = {(rule.rule, method) for rule in gateway.app.url_map.iter_rules() for method in rule.methods}
    needs = {"create": ("/fhir/<resource_type>", "POST"), "read": ("/fhir/<resource_type>/<record_id>", "GET")}
    needs["vread"] = ("/fhir/<resource_type>/<record_id>/_history/<version_id>", "GET")
    needs |= {"update": (needs["read"][0], "PUT"), "delete": (needs["read"][0], "DELETE")}
    needs["history-instance"] = ("/fhir/<resource_type>/<record_id>/_history", "GET")
    needs["search-type"] = ("/fhir/<resource_type>", "GET")
    assert ("/fhir/Patient/<record_id>/$everything", "GET") in methods
    for resource in told["rest"][0]["resource"]:
        assert {i["code"] for i in resource["interaction"]} == set(needs)
        assert (resource["versioning"], resource["conditionalDelete"]) == ("versioned-update", "single")
        assert all(resource[flag] for flag in ("conditionalCreate", "conditionalUpdate", "updateCreate", "readHistory"))
        assert {needs[i["code"]] for i in resource["interaction"]} <= methods
    assert {i["code"] for i in told["rest"][0]["interaction"]} == {"transaction", "batch"}
    assert ("/fhir", "POST") in methods


def test_metadata_in_another_format_is_not_acceptable(gateway):
    answer = gateway.client.ask("GET", "/fhir/metadata", Accept="application/fhir+xml")
    assert answer.status == 406
    assert answer.outcome[0]["code"] == "not-supported"
    assert gateway.client.ask("GET", "/fhir/metadata?_format=xml").status == 406
    assert gateway.client.ask("GET", "/fhir/metadata?_format=json", Accept="text/xml").status == 200


def test_the_head_is_a_header_that_hashes_to_what_it_says(gateway, final_block):
    told = gateway.client.ask("GET", "/ledger/head").json
    header = Header.from_bytes(from_base64url(told["header"]))
    assert header == final_block.header
    assert (told["height"], told["hash"]) == (1, header.hash().hex())
    assert told["chain_id"] == gateway.ledger.genesis.chain_id.hex()


def test_a_block_is_served_whole_and_for_ever(gateway, final_block):
    answer = gateway.client.ask("GET", "/ledger/blocks/1")
    told = answer.json
    assert [from_base64url(text) for text in told["transactions"]] == list(final_block.transactions)
    assert len(final_block.transactions) == 5
    assert [(delegate, from_base64url(text)) for delegate, text in told["votes"]] == list(final_block.votes)
    assert from_base64url(told["signature"]) == final_block.signature
    assert "immutable" in answer.headers["cache-control"]


@pytest.mark.parametrize("height", ["0", "2", str(2**63 - 1), str(2**63), "-1", "x", "1.0", "9" * 400])
def test_other_heights_are_not_found(gateway, height):
    answer = gateway.client.ask("GET", f"/ledger/blocks/{height}")
    assert answer.status == 404
    assert json.loads(answer.body)["resourceType"] == "OperationOutcome"
