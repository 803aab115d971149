"""A real gateway for tests: its own folder, its own port, real processes, driven by the command line and by HTTP."""

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from gateway.client.connection import Connection
from gateway.client.credentials import read
from gateway.founding import found

READY_SECONDS = 90
STOP_SECONDS = 40


class GatewayProcess:
    """A home folder and the processes that serve it."""

    def __init__(self, folder: Path, *init_args: str, slot_seconds: int = 1, age: int = 0) -> None:
        """`age`: how many seconds ago the gateway was made, by its genesis."""
        self.folder = folder
        self.home = folder / "gateway"
        self.log = folder / "serve.log"
        self.process: subprocess.Popen[str] | None = None
        self.url = ""
        if age:
            found(self.home, delegates=4, slot_seconds=slot_seconds, chosen={}, now=int(time.time()) - age, random=os.urandom)
        else:
            self.cli("init", "--slot-seconds", slot_seconds, *init_args)

    def cli(self, *args: object, expect: int | tuple[int, ...] = 0, timeout: float = 300) -> str:
        """Stdout of one command; it must end as expected."""
        done = subprocess.run(self._command(*args), capture_output=True, text=True, check=False, env=_environment(), timeout=timeout)
        wanted = expect if isinstance(expect, tuple) else (expect,)
        assert done.returncode in wanted, f"{args[:3]} ended with {done.returncode}: {done.stderr[-600:]}{done.stdout[-600:]}"
        return done.stdout

    def json(self, *args: object, expect: int | tuple[int, ...] = 0) -> Any:
        return json.loads(self.cli(*args, "--json", expect=expect))

    def start(self, *options: object) -> "GatewayProcess":
        """Start, with these options of `serve`, and wait for the ready line."""
        log = self.log.open("ab")
        command = self._command("serve", "--port", "0", *options)
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True, env=_environment(), start_new_session=True)
        log.close()
        assert self.process.stdout is not None
        watchdog = threading.Timer(READY_SECONDS, self.kill9)
        watchdog.start()
        line = self.process.stdout.readline()
        watchdog.cancel()
        assert "http://" in line, self.log.read_text()[-2000:]
        self.url = line.split()[-1]
        return self

    def stop(self) -> int:
        """SIGTERM to the group, as a service manager does; the exit code."""
        return self._ended(signal.SIGTERM)

    def kill9(self) -> int:
        """SIGKILL to every process of the group at once."""
        return self._ended(signal.SIGKILL)

    def kill9_one(self, which: str, chance: random.Random) -> None:
        """SIGKILL to the jobs process alone, or to one of the web workers, and to nothing else."""
        assert self.process is not None
        workers = {pid: _forked(pid) for pid in _forked(self.process.pid)}  # gunicorn is the one that has any
        candidates = (
            [pid for pid in workers if not workers[pid]] if which == "jobs" else [pid for below in workers.values() for pid in below]
        )
        if candidates:  # what was killed a moment ago may not be back yet
            os.kill(chance.choice(candidates), signal.SIGKILL)

    def party(self, kind: str = "institution", name: str = "Test Hospital", *more: str) -> Path:
        """Register a party; the path of its credentials."""
        out = self.folder / f"{name.replace(' ', '-').lower()}.json"
        self.cli("party", "register", kind, name, "--url", self.url or "http://127.0.0.1:8080", "--out", out, *more)
        return out

    def connect(self, credentials: Path) -> Connection:
        return Connection(read(credentials).at(self.url))

    def wait_final(self, seconds: float = 90) -> dict[str, Any]:
        """Until nothing waits for the chain any more; the ledger's status."""
        deadline = time.monotonic() + seconds
        while True:
            status: dict[str, Any] = self.json("ledger", "status")
            if status["in_outbox"] == status["in_pool"] == 0:
                return status
            assert time.monotonic() < deadline, status
            time.sleep(0.3)

    def _ended(self, number: signal.Signals) -> int:
        assert self.process is not None
        if self.process.poll() is None:
            os.killpg(self.process.pid, number)
        code = self.process.wait(STOP_SECONDS)
        assert self.process.stdout is not None
        self.process.stdout.close()
        return code

    def _command(self, *args: object) -> list[str]:
        return [sys.executable, "-m", "gateway", "--home", str(self.home), *map(str, args)]


@contextmanager
def served(folder: Path, *init_args: str, slot_seconds: int = 1) -> Iterator[GatewayProcess]:
    """A gateway that runs inside the block, whatever happens there."""
    gateway = GatewayProcess(folder, *init_args, slot_seconds=slot_seconds).start()
    try:
        yield gateway
    finally:
        if gateway.process is not None and gateway.process.poll() is None:
            gateway.stop()


def _forked(pid: int) -> list[int]:
    """The children of a process that run the same program."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [int(child) for child in children if Path(f"/proc/{child}/cmdline").read_bytes() == Path(f"/proc/{pid}/cmdline").read_bytes()]


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("FHIR_ANCHOR_")}
