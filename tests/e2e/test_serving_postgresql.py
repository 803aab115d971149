"""Two hosts serve one gateway on one PostgreSQL: push, grant, fetch and audit on either, and nothing is lost when one is killed."""

import json
import shutil
from importlib import resources

import databases
import pytest
from gateway_process import GatewayProcess

DEMO = resources.files("gateway").joinpath("assets/demo-bundle.json")
PERSON = "https://ids.example.org/person|DEMO-4471"


class SecondHost(GatewayProcess):
    """Another host of the same gateway: a folder of its own, with the keys, the genesis and the settings."""

    def __init__(self, folder, first):
        folder.mkdir()
        self.folder, self.home, self.log, self.process, self.url = folder, folder / "gateway", folder / "serve.log", None, ""
        self.home.mkdir()
        for name in ("genesis.json", "settings.json"):
            shutil.copy(first.home / name, self.home / name)
        shutil.copytree(first.home / "keys", self.home / "keys", ignore=shutil.ignore_patterns("*.watermark*"))


@pytest.fixture
def hosts(tmp_path, postgresql_server):
    databases.use(postgresql_server)
    urls = databases.chosen()
    (tmp_path / "first").mkdir()
    (tmp_path / "bucket").mkdir()
    bucket = (tmp_path / "bucket").as_uri()
    args = ["--bucket", bucket, "--database-url", urls["database_url"], "--ledger-url", urls["ledger_url"]]
    first = GatewayProcess(tmp_path / "first", *args, slot_seconds=1)
    second = SecondHost(tmp_path / "second", first)
    yield first, second
    for one in (first, second):
        if one.process is not None and one.process.poll() is None:
            one.kill9()
    databases.use(None)


def test_what_one_host_was_told_the_other_serves_when_it_is_gone(hosts):
    first, second = hosts
    first.start()
    hospital, insurer = first.party(), first.party("agency", "Insurer", "--purpose", "HPAYMT")
    bundle, patient = first.folder / "bundle.json", first.folder / "patient.json"
    bundle.write_bytes(DEMO.read_bytes())
    pushed = first.json("push", "--as", hospital, bundle)
    id_ = next(r["record"].split("/")[1] for r in pushed["receipts"] if r["record"].startswith("Patient/"))
    first.cli("patient", "enrol", "--identifier", PERSON, "--url", first.url, "--out", patient)
    second.start()
    height = first.wait_final()["height"]
    first.kill9()

    there = ["--url", second.url]
    second.cli("push", *there, "--as", hospital, bundle)
    to = ["--to", json.loads(insurer.read_text())["client_id"], "--types", "Observation", "--purpose", "HPAYMT", "--until", "2031-01-01"]
    second.cli("consent", "grant", *there, "--as", patient, *to)
    fetched = second.cli("fetch", *there, "--as", insurer, "--purpose", "HPAYMT", f"Observation?patient={id_}")
    assert {json.loads(line)["resourceType"] for line in fetched.splitlines()} == {"Observation"}
    status = second.wait_final(60)
    assert status["height"] > height, "the other host produces"
    assert status["rejected"] == []
    report = second.json("audit", "run")
    assert (report["findings"], report["could_not_check"]) == ([], [])
    second.stop()
