"""The sweeper removes what no record points to, and nothing else."""

import sqlite3
import time
from contextlib import closing
from importlib import resources
from pathlib import Path

import pytest
from gateway_process import GatewayProcess
from simulator import SimulatedObjectStore

from gateway.settings import load_settings
from jobs.registry import opened_for
from jobs.sweep_orphans import GRACE_SECONDS, Swept, sweep_orphans

DEMO = Path(str(resources.files("gateway").joinpath("assets/demo-bundle.json")))


@pytest.fixture(scope="module")
def gateway(tmp_path_factory):
    """One container in use, one orphan, one file that is none of ours; stopped."""
    gateway = GatewayProcess(tmp_path_factory.mktemp("sweep")).start()
    gateway.json("push", "--as", gateway.party(), DEMO)
    gateway.wait_final()
    gateway.stop()
    orphan = gateway.home / "bucket" / "ab" / ("ab" * 32 + ".container")
    orphan.parent.mkdir(exist_ok=True)
    orphan.write_bytes(b"left by a crash")
    (gateway.home / "bucket" / "notes.txt").write_text("not ours")
    return gateway


def sweep(gateway, later):
    with opened_for(load_settings(gateway.home, {})) as opened:
        return sweep_orphans(opened.ledger, opened.index, opened.store, now=int(time.time()) + later)


def test_nothing_is_committed_while_an_orphan_goes(gateway):
    """Its name is looked up and taken away under the write lock, so that what refers to it is seen, or comes too late."""
    name = "cd/" + "cd" * 32 + ".container"

    class Watched(SimulatedObjectStore):
        def delete(self, name):
            super().delete(name)
            with closing(sqlite3.connect(gateway.home / "gateway.db", timeout=0)) as other, pytest.raises(sqlite3.OperationalError):
                other.execute("BEGIN IMMEDIATE")

    store = Watched()
    store.put_if_absent(name, b"left by a crash")
    with opened_for(load_settings(gateway.home, {})) as opened:
        assert sweep_orphans(opened.ledger, opened.index, store, now=1_790_000_000 + GRACE_SECONDS + 1).removed == 1
    assert ("delete", name) in store.calls


def test_an_orphan_goes_once_its_grace_is_over(gateway):
    kept = sorted(path for path in (gateway.home / "bucket").rglob("*.container") if "abab" not in path.name)
    assert sweep(gateway, 0) == Swept(removed=0, too_young=1, foreign=1)
    assert sweep(gateway, GRACE_SECONDS + 60) == Swept(removed=1, too_young=0, foreign=1)
    assert sorted((gateway.home / "bucket").rglob("*.container")) == kept
    assert len(kept) == 1
    assert (gateway.home / "bucket" / "notes.txt").read_text() == "not ours"


def test_the_command_lists_and_runs_jobs(gateway):
    assert [job["name"] for job in gateway.json("jobs", "list")["jobs"]] == [
        "sweep-orphans",
        "prune",
        "archive-blocks",
        "close-access-batch",
        "audit",
    ]
    assert gateway.json("jobs", "run", "sweep-orphans")["removed"] == 0
    assert gateway.json("jobs", "run", "prune") == {"tokens": 0, "runs": 0}
    gateway.cli("jobs", "run", "nonsense", expect=2)
