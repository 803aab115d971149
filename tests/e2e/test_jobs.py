"""The jobs process for real: what was missed is made up for, the nightly audit is kept, what cannot go to the ledger is shown."""

import re
import sqlite3
import time
from datetime import datetime

import pytest
from gateway_process import GatewayProcess

from gateway.settings import load_settings
from jobs.runs import holder_of

ISO = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")


@pytest.fixture(scope="module")
def gateway(tmp_path_factory):
    """Made three days ago and not served since, but for an audit of the last night that was interrupted."""
    gateway = GatewayProcess(tmp_path_factory.mktemp("jobs"), age=3 * 86_400)
    settings = load_settings(gateway.home, {})
    [audit] = [job for job in gateway.json("jobs", "list")["jobs"] if job["name"] == "audit"]
    with sqlite3.connect(gateway.home / "gateway.db") as database:
        row = ("audit", int(datetime.fromisoformat(audit["next_at"]).timestamp()) - 86_400, 1, "running", 1, holder_of(settings), "")
        columns = "job, scheduled_for, started_at, outcome, attempts, holder, told"
        database.execute(f"INSERT INTO job_run({columns}) VALUES (?, ?, ?, ?, ?, ?, ?)", row)
    database.close()
    gateway.start()
    yield gateway
    if gateway.process.poll() is None:
        gateway.stop()


def ended(gateway, job):
    deadline = time.monotonic() + 60
    while True:
        runs = gateway.json("jobs", "history", "--job", job)["runs"]
        if runs and runs[0]["outcome"] != "running" and runs[0]["ended_at"]:
            return runs[0]
        assert time.monotonic() < deadline, (runs, gateway.log.read_text()[-3000:])
        time.sleep(0.5)


def test_what_a_downtime_missed_runs_once_after_the_start(gateway):
    audit = ended(gateway, "audit")
    assert (audit["outcome"], audit["attempts"]) == ("done", 2), audit
    assert all(ISO.fullmatch(audit[name]) for name in ("scheduled_for", "started_at", "ended_at")), audit
    assert ended(gateway, "sweep-orphans")["outcome"] == "done"
    assert len(gateway.json("jobs", "history", "--job", "sweep-orphans")["runs"]) == 1
    last = {job["name"]: job["last"] for job in gateway.json("jobs", "list")["jobs"]}
    assert last["audit"]["outcome"] == "done"
    assert last["close-access-batch"] is None


def test_the_nightly_audit_is_kept_and_shown(gateway, tmp_path):
    ended(gateway, "audit")
    [kept] = gateway.json("audit", "history")["audits"]
    assert kept["exit_code"] == 0
    assert ISO.fullmatch(kept["started_at"])
    assert ISO.fullmatch(kept["ended_at"])
    report = gateway.json("audit", "show")
    assert report["levels"] == kept["levels"]
    assert report["findings"] == report["could_not_check"] == []
    gateway.cli("audit", "show", kept["number"], "--html", tmp_path / "audit.html")
    page = (tmp_path / "audit.html").read_text()
    assert kept["digest"] in page
    assert "<script" not in page
    gateway.cli("audit", "show", 999, expect=2)
    gateway.wait_final()
    checked = gateway.json("audit", "run", "--level", "conduct")
    assert (checked["checked"]["reports of audits"], checked["pending"]) == (1, [])
    with sqlite3.connect(gateway.home / "gateway.db") as database:
        [genuine] = database.execute("SELECT body FROM audit_report").fetchone()
        database.execute("UPDATE audit_report SET body = ?, exit_code = 1", (genuine + b" ",))
    found = gateway.json("audit", "run", "--level", "conduct", expect=1)["findings"]
    assert [(one["code"], one["subject"]) for one in found] == [("report-altered", "audit 1")]
    with database:
        database.execute("UPDATE audit_report SET body = ?, exit_code = 0", (genuine,))
    database.close()


def test_a_damaged_row_of_the_outbox_holds_up_no_other_and_is_shown(gateway):
    with sqlite3.connect(gateway.home / "gateway.db") as database:
        database.execute("INSERT INTO outbox(kind, body, created_at, attempts) VALUES (2, x'a0', 1, 0)")
    database.close()
    gateway.party()
    assert gateway.wait_final()["height"] >= 1
    [letter] = gateway.json("jobs", "dead-letters", expect=1)["dead_letters"]
    assert letter["kind"] == 2
    assert "the gateway did not write it" in letter["reason"]
    assert "a row of the outbox was set aside" in gateway.log.read_text()
    found = gateway.json("audit", "run", "--level", "conduct", expect=1)["findings"]
    assert [(one["code"], one["subject"]) for one in found] == [("outbox-refused", f"outbox row {letter['id']}")]
    assert gateway.json("jobs", "dead-letters", "--retry")["retried"] is True
    deadline = time.monotonic() + 20
    while not gateway.json("jobs", "dead-letters", expect=(0, 1))["dead_letters"]:
        assert time.monotonic() < deadline
        time.sleep(0.3)
