"""A gateway to be measured: a home, real processes and a port of its own, driven by the command line and by HTTP as others would."""

import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.process_tree import ProcessGroup
from gateway.client.connection import Connection
from gateway.client.credentials import Credentials, read

STOP_SECONDS = 40


class DidNotRun(Exception):
    """The gateway did not start, or did not do what a figure needs; the message says what."""


@dataclass(slots=True)
class ServedGateway:
    """A running gateway. `group` are its processes: parent, workers, jobs."""

    folder: Path
    home: Path
    url: str
    group: ProcessGroup
    _parties: int = field(default=0, init=False)

    def new_party(self) -> Credentials:
        """Another institution, registered."""
        self._parties += 1
        out = self.folder / f"hospital-{self._parties}.json"
        command(self.home, "party", "register", "institution", f"Hospital {self._parties}", "--url", self.url, "--out", str(out))
        return read(out)

    def connect(self, party: Credentials) -> Connection:
        """A signed-in connection of that party."""
        connection = Connection(party)
        connection.sign_in()
        return connection

    @property
    def genesis(self) -> bytes:
        return (self.home / "genesis.json").read_bytes()


def make_home(folder: Path, slot_seconds: int = 1, options: Sequence[str] = ()) -> Path:
    """A new gateway's home below `folder`, with these `options` of `init`."""
    home = folder / "gateway"
    command(home, "init", "--slot-seconds", str(slot_seconds), *options)
    return home


@contextmanager
def served(folder: Path, home: Path) -> Iterator[ServedGateway]:
    """The gateway of `home`, running inside the block. Raises DidNotRun."""
    log_path = folder / "serve.log"
    with log_path.open("wb") as log:
        process = subprocess.Popen(
            words(home, "serve", "--port", "0"), stdout=subprocess.PIPE, stderr=log, text=True, env=environment(), start_new_session=True
        )
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        if "http://" not in line:
            raise DidNotRun("the gateway did not start: " + log_path.read_text(errors="replace")[-500:])
        yield ServedGateway(folder, home, line.split()[-1], ProcessGroup(process.pid))
    finally:
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        process.stdout.close()


def command(home: Path, *args: str) -> str:
    """Stdout of one fhir-anchor command. Raises DidNotRun unless it ends well."""
    done = subprocess.run(words(home, *args), capture_output=True, text=True, check=False, env=environment())
    if done.returncode != 0:
        raise DidNotRun(f"fhir-anchor {args[0]} ended with {done.returncode}: {done.stderr.strip()[-300:]}")
    return done.stdout


def database_bytes(path: Path) -> int:
    """Bytes of the pages in use in a SQLite database, those that still stand in its log included."""
    connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    try:
        pages, free, size = (connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "freelist_count", "page_size"))
    finally:
        connection.close()
    return int((pages - free) * size)


def words(home: Path, *args: str) -> list[str]:
    """The command line of one fhir-anchor command."""
    return [sys.executable, "-m", "gateway", "--home", str(home), *args]


def environment() -> dict[str, str]:
    """The benchmark's own settings count, not those of a gateway that may be set up around it."""
    return {name: value for name, value in os.environ.items() if not name.startswith("FHIR_ANCHOR_")}
