"""/metrics of a gateway with real processes: what is counted, by whom it can be asked, and that it tells nothing of anyone."""

import json
import os
import re
import signal
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from gateway_process import GatewayProcess
from prometheus_client.parser import text_string_to_metric_families

DEMO = Path(__file__).parents[2] / "gateway/assets/demo-bundle.json"
JSON = {"Content-Type": "application/fhir+json"}
BATCH = b"""{"resourceType":"Bundle","type":"batch","entry":[
  {"request":{"method":"POST","url":"Observation"},"resource":{"resourceType":"Observation"}}]}"""
LABELS = {"route", "method", "status", "outcome", "decision", "step", "kind", "part", "job", "le"}


@pytest.fixture(scope="module")
def gateway(tmp_path_factory):
    gateway = GatewayProcess(tmp_path_factory.mktemp("metrics"), age=7200).start("--metrics-address", "0")
    yield gateway
    gateway.stop()


@pytest.fixture(scope="module")
def hospital(gateway):
    """A hospital that pushed the demonstration's bundle twice, after a bundle that is refused, and read what it pushed."""
    hospital = gateway.party()
    pushed = gateway.json("push", "--as", hospital, DEMO)
    gateway.json("push", "--as", hospital, DEMO)
    connection = gateway.connect(hospital)
    assert connection.ask("GET", f"/fhir/{pushed['receipts'][0]['record']}").status == 200
    assert connection.ask("GET", "/fhir/Observation/0123456789abcdef0123456789abcdef").status == 403
    assert connection.ask("POST", "/fhir", BATCH, JSON).status == 200
    assert connection.ask("POST", "/fhir", b'{"resourceType":"Bundle"}', JSON).status == 422
    connection.close()
    gateway.wait_final()
    return hospital


def metrics_url(gateway):
    lines = [json.loads(line) for line in gateway.log.read_text().splitlines() if "metrics are served" in line]
    return f"http://{lines[-1]['address']}/metrics"


def asked(url):
    with urllib.request.urlopen(url, timeout=10) as answer:
        return answer.read().decode()


def samples(gateway):
    """(name, labels) -> value"""
    found = {}
    for family in text_string_to_metric_families(asked(metrics_url(gateway))):
        for sample in family.samples:
            found[sample.name, tuple(sorted(sample.labels.items()))] = sample.value
    return found


def value(found, name, **labels):
    return found[f"fhir_anchor_{name}", tuple(sorted(labels.items()))]


def total(found, name, **labels):
    return sum(v for (n, held), v in found.items() if n == f"fhir_anchor_{name}" and labels.items() <= dict(held).items())


def test_what_happened_is_counted_over_all_workers(gateway, hospital):
    found = samples(gateway)
    entries = len(json.loads(DEMO.read_bytes())["entry"])
    assert value(found, "submissions_total", outcome="accepted") == 2
    assert value(found, "submissions_total", outcome="replayed") == 1
    assert value(found, "submissions_total", outcome="refused") == 1
    assert value(found, "resources_total", outcome="created") == entries
    assert value(found, "resources_total", outcome="failed") == 1
    assert value(found, "disclosures_total", decision="issued") == 1
    assert value(found, "sign_ins_total", outcome="granted") == 3
    assert value(found, "store_duration_seconds_count", step="put") == 1
    assert value(found, "store_duration_seconds_count", step="commit") >= 1
    assert value(found, "request_duration_seconds_count", route="bundle.submit", method="POST", status="4xx") == 1
    assert value(found, "request_duration_seconds_count", route="bundle.submit", method="POST", status="2xx") == 3
    assert value(found, "request_duration_seconds_count", route="read.read_current", method="GET", status="4xx") == 1
    assert value(found, "group_submissions_sum", kind="container") == 1


def test_what_is_looked_up_is_there(gateway, hospital):
    found = samples(gateway)
    assert value(found, "outbox_rows") == value(found, "outbox_age_seconds") == value(found, "dead_letters") == 0
    assert value(found, "chain_height") >= 1
    assert value(found, "chain_pool_transactions") == value(found, "chain_rejected_transactions") == 0
    assert 0 <= value(found, "chain_head_age_seconds") < 600
    assert {part: value(found, "ready", part=part) for part in ("database", "bucket", "ledger", "chain", "jobs")} == dict.fromkeys(
        ("database", "bucket", "ledger", "chain", "jobs"), 1
    )


def test_a_job_that_ran_shows(gateway, hospital):
    deadline = time.monotonic() + 60
    while ("fhir_anchor_job_last_success_timestamp_seconds", (("job", "prune"),)) not in (found := samples(gateway)):
        assert time.monotonic() < deadline, "the jobs process looks what is due soon after its start"
        time.sleep(0.5)
    assert value(found, "job_runs", job="prune", outcome="done") >= 1


def test_nothing_in_it_names_anyone_or_anything(gateway, hospital):
    text = asked(metrics_url(gateway))
    held = json.loads(hospital.read_bytes())
    assert held["client_id"] not in text
    assert "Test Hospital" not in text
    assert not re.search(r"/fhir|DEMO-4471|Marit", text)
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            assert set(sample.labels) <= LABELS, sample
            assert all(re.fullmatch(r"[\w.()+-]{1,40}", label) for label in sample.labels.values()), sample


def test_it_is_not_where_the_clients_are(gateway, hospital):
    for url in (gateway.url + "/metrics", metrics_url(gateway).replace("/metrics", "/fhir/metadata")):
        with pytest.raises(urllib.error.HTTPError) as refusal:
            asked(url)
        refusal.value.close()
        assert refusal.value.code == 404
    assert metrics_url(gateway).startswith("http://127.0.0.1:")


def test_a_worker_that_dies_takes_no_count_with_it(gateway, hospital):
    before = total(samples(gateway), "resources_total")
    below = {int(pid) for pid in _children(gateway.process.pid)}
    workers = {int(pid) for child in below for pid in _children(child)}
    assert len(workers) == 2
    for worker in workers:
        os.kill(worker, signal.SIGKILL)
    deadline = time.monotonic() + 60
    while True:  # until both are back
        try:
            asked(gateway.url + "/livez")
            break
        except OSError:
            assert time.monotonic() < deadline
            time.sleep(0.3)
    assert total(samples(gateway), "resources_total") == before


def test_counts_begin_anew_with_the_gateway(gateway, hospital):
    gateway.stop()
    gateway.start("--metrics-address", "127.0.0.1:0")
    assert total(samples(gateway), "resources_total") == 0
    assert value(samples(gateway), "chain_height") >= 1


def _children(pid):
    return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()


@pytest.mark.parametrize("bad", ["here", "127.0.0.1", "127.0.0.1:99999", "10.0.0.5:"])
def test_an_address_that_cannot_be_is_refused(gateway, bad):
    assert gateway.cli("serve", "--metrics-address", bad, expect=2) == "", "nothing was served"
