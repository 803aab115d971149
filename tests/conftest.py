"""Makes the modules of this folder importable by the tests, and keeps unit and property tests off the network."""

import sys
from pathlib import Path

import pytest
from pytest_socket import disable_socket, enable_socket

TESTS = Path(__file__).parent
OFFLINE = (TESTS / "unit", TESTS / "properties")

if str(TESTS) not in sys.path:
    sys.path.insert(0, str(TESTS))


@pytest.fixture(autouse=True)
def offline(request):
    """Unix sockets stay: they reach nothing but this machine."""
    if not any(folder in request.path.parents for folder in OFFLINE):
        yield
        return
    disable_socket(allow_unix_socket=True)
    yield
    enable_socket()
