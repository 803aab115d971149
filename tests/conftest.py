"""Makes the modules of this folder importable by the tests, keeps unit and property tests off the network, and runs one emulator for all."""

import secrets
import sys
from pathlib import Path

import pytest
from hypothesis import settings
from pytest_socket import disable_socket, enable_socket

from gateway.commands.gcs_emulator import GcsEmulator, NoEmulator

TESTS = Path(__file__).parent
OFFLINE = (TESTS / "unit", TESTS / "properties")

settings.register_profile("untimed", deadline=None)  # a deadline measures the machine, not the code
settings.load_profile("untimed")

if str(TESTS) not in sys.path:
    sys.path.insert(0, str(TESTS))

from cutting_proxy import CuttingProxy  # noqa: E402 - importable from here on


@pytest.fixture(autouse=True)
def offline(request):
    """Unix sockets stay: they reach nothing but this machine."""
    if not any(folder in request.path.parents for folder in OFFLINE):
        yield
        return
    disable_socket(allow_unix_socket=True)
    yield
    enable_socket()


@pytest.fixture(scope="session")
def running_emulator():
    try:
        emulator = GcsEmulator()
    except NoEmulator as reason:
        pytest.skip(str(reason))
    with emulator:
        yield emulator


@pytest.fixture
def gcs_bucket(running_emulator, monkeypatch):
    """The name of a new bucket; what opens a `gs://` address in this test, its processes included, finds it."""
    name = f"test-{secrets.token_hex(8)}"
    running_emulator.make_bucket(name)
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", running_emulator.url)
    return name


@pytest.fixture
def cutting_proxy(gcs_bucket, running_emulator, monkeypatch):
    """In front of the emulator; for what opens a `gs://` address from here on."""
    proxy = CuttingProxy(running_emulator.url)
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", proxy.url)
    yield proxy
    proxy.close()
