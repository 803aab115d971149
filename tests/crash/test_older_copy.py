"""gateway.db put back from an older copy: refused at the start, because ids would be given out again; and nothing is dropped in silence."""

import shutil
from importlib import resources
from pathlib import Path

import pytest
from gateway_process import GatewayProcess

DEMO = Path(str(resources.files("gateway").joinpath("assets/demo-bundle.json")))


@pytest.fixture(scope="module")
def gateway(tmp_path_factory):
    """A gateway whose database is an older copy than its ledger; stopped."""
    gateway = GatewayProcess(tmp_path_factory.mktemp("older")).start()
    hospital = gateway.party()
    gateway.wait_final()
    gateway.stop()
    keep(gateway, "older")
    gateway.start()
    gateway.cli("push", "--as", hospital, "--url", gateway.url, DEMO)
    gateway.wait_final()
    gateway.stop()
    keep(gateway, "newest")
    return gateway


def keep(gateway, name):
    """Copies the database with its log of recent writes."""
    (gateway.folder / name).mkdir()
    for file in gateway.home.glob("gateway.db*"):
        shutil.copy(file, gateway.folder / name)


def put_back(gateway, name):
    for left_over in gateway.home.glob("gateway.db*"):
        left_over.unlink()
    for file in (gateway.folder / name).iterdir():
        shutil.copy(file, gateway.home)


def test_an_older_copy_is_refused_in_a_sentence_and_the_newest_is_served(gateway):
    put_back(gateway, "older")
    gateway.cli("serve", "--port", "0", expect=2)
    put_back(gateway, "newest")
    gateway.start()
    assert gateway.stop() == 0
