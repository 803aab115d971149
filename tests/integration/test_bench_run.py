"""The benchmarks run, on very little, and report every figure that was promised."""

import json
import subprocess
import sys

import pytest

from benchmarks import targets
from benchmarks.generated_bundle import generated_bundle
from benchmarks.places import Places
from benchmarks.suite import NAMES, Extent, run
from benchmarks.workload import load
from chain.postgresql import is_empty, open_engine, place
from gateway.storage.opening import open_object_store

TINY = Extent(
    limit_seconds=0.02,
    rounds=1,
    singles=5,
    crowd_creates=1,
    large_entries=300,
    rows=3000,
    reads=10,
    receipts=10,
    creates=2,
    transactions=200,
    megabytes=2,
    blocks=3,
    chain_blocks=20,
    largest_block=20,
    log_size=2000,
    audit_rounds=2,
)
pytestmark = pytest.mark.xdist_group("gateway")


@pytest.fixture(scope="module")
def workload(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bench")
    for seed in (1, 2):
        (folder / f"{seed}.json").write_bytes(generated_bundle(seed, 40))
    return load(folder)


@pytest.fixture(scope="module")
def result(workload):
    return run(NAMES, workload, TINY, lambda _: None)


@pytest.mark.campaign
def test_every_figure_with_a_target_is_measured(result):
    rows = list(targets.rows(result))
    assert len(rows) == len(targets.targets(result))
    # So little data may fit into pages that were there already.
    assert [row.target.what for row in rows if row.measured <= 0 and "bytes a record" not in row.target.what] == []


@pytest.mark.campaign
def test_what_was_ingested_is_what_was_sent(result):
    assert (result["ingest"]["bundle_resources"], result["ingest"]["large_bundle_entries"]) == (80, 300)
    assert result["ingest"]["memory_mb"] >= result["ingest"]["memory_before_mb"] > 50


@pytest.mark.campaign
def test_shares_of_stages_add_up(result):
    assert sum(result["ingest"]["stages"].values()) == pytest.approx(1, abs=0.01)


@pytest.mark.campaign
def test_a_filled_index_has_the_rows_asked_for_and_still_takes_submissions(result):
    at_rows = result["ingest"]["at_rows"]
    assert at_rows["resources_per_s_per_core"] > 0
    assert 2700 <= at_rows["rows"] <= 3300


def test_the_command_prints_one_document_and_writes_the_same(tmp_path):
    out = tmp_path / "figures.json"
    command = [sys.executable, "-m", "gateway", "bench", "ledger", "--quick", "--json", "--out", str(out)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    told = json.loads(done.stdout)
    assert told == json.loads(out.read_bytes())
    assert set(told) == {"cores", "python", "machine", "limits", "ledger"}
    assert "ledger" in done.stderr


@pytest.mark.campaign
def test_the_table_names_what_was_missed(tmp_path):
    done = subprocess.run([sys.executable, "-m", "gateway", "bench", "ledger", "--quick"], capture_output=True, text=True, check=True)
    assert "transactions/s a core" in done.stdout
    assert ">= 3,000" in done.stdout


def test_a_folder_without_bundles_is_said_in_words(tmp_path):
    command = [sys.executable, "-m", "gateway", "bench", "--data", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "holds no FHIR Bundle" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.campaign
def test_places_that_are_given_are_measured_and_left_empty(workload, gcs_bucket, postgresql_server):
    urls = [postgresql_server.create(f"bench-{name}") for name in ("index", "chain")]
    places = Places(f"gs://{gcs_bucket}/bench", *urls)
    result = run(("ingest",), workload, TINY, lambda _: None, places)
    assert result["places"] == {"index": place(urls[0]), "chain": place(urls[1]), "bucket": places.bucket_url}
    assert min(result["ingest"][f"{what}_bytes_per_record"] for what in ("sealed", "index")) > 0
    assert "at_rows" not in result["ingest"]
    assert list(open_object_store(places.bucket_url).list()) == []
    for url in urls:
        engine = open_engine(url, patience=5)
        assert is_empty(engine)
        engine.dispose()
