"""Makes the modules of this folder importable by the tests, keeps unit and property tests off the network, runs one emulator for all, and
gives tests their databases.
"""

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


def pytest_generate_tests(metafunc):
    """Tests marked `both_databases` run once on each, on PostgreSQL in campaigns only where they are `slow`.

    In such a module, `sqlite_only` says which know of SQLite's files.
    """
    both = metafunc.definition.get_closest_marker("both_databases")
    if both and not metafunc.definition.get_closest_marker("sqlite_only"):
        marks = [pytest.mark.campaign] if both.kwargs.get("slow") else []
        metafunc.parametrize("database", ["sqlite", pytest.param("postgresql", marks=marks)], indirect=True)


@pytest.fixture(scope="session")
def postgresql_server():
    """A server of this session's own; skips where there can be none."""
    import databases
    from postgresql_server import NoServer, PostgresqlServer

    try:
        server = PostgresqlServer()
    except NoServer as error:
        pytest.skip(str(error))
    databases.prepare(server)
    yield server
    server.close()


@pytest.fixture(autouse=True)
def database(request):
    """What `databases.url` gives in this test."""
    if getattr(request, "param", "sqlite") == "sqlite":
        yield
        return
    import databases

    databases.use(request.getfixturevalue("postgresql_server"))
    yield
    databases.use(None)
