"""The Dockerfile and compose.yaml without a container engine: linted, their promises read off, and every service run as they say.

What is replaced is what an engine gives: names of hosts, ports, mounted folders. PostgreSQL and the emulator are the tests' own programs.
"""

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
import tomllib
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml

from gateway.commands.gcs_emulator import GcsEmulator, NoEmulator
from gateway.settings import _CHECKS

ROOT = Path(__file__).parents[2]
DOCKERFILE = (ROOT / "Dockerfile").read_text()
COMPOSE = yaml.safe_load((ROOT / "compose.yaml").read_text())
SERVICES = COMPOSE["services"]


def _instructions():
    text = re.sub(r"^\s*#.*\n", "", DOCKERFILE, flags=re.MULTILINE).replace("\\\n", " ")
    return [tuple(line.split(maxsplit=1)) for line in text.splitlines() if line.strip()]


def _last(name):
    return [rest for instruction, rest in _instructions() if instruction == name][-1]


def _image_environment():
    return dict(pair.split("=", 1) for pair in shlex.split(_last("ENV")))


def test_hadolint():
    program = shutil.which("hadolint", path=str(Path(sys.executable).parent))
    if program is None:
        pytest.skip("hadolint has no wheel for this machine")
    done = subprocess.run([program, ROOT / "Dockerfile"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_the_image_is_pinned_and_runs_as_nobody_in_particular():
    assert re.fullmatch(r"BASE=python:\d+\.\d+\.\d+-slim-\w+", _last("ARG"))
    assert {rest.split()[0] for instruction, rest in _instructions() if instruction == "FROM"} == {"${BASE}"}
    assert _last("USER") == "10001:10001"
    assert "--require-hashes -r requirements/run.txt" in DOCKERFILE
    final = DOCKERFILE[DOCKERFILE.rindex("FROM ") :]
    assert "uninstall" in final
    assert not re.search(r"pip .*install |apt-get|COPY (?!--from=build)", final.replace("uninstall", ""))


def test_what_is_copied_is_what_the_engine_is_given():
    copied = {
        source
        for instruction, rest in _instructions()
        if instruction == "COPY" and not rest.startswith("--from")
        for source in rest.split()[:-1]
    }
    assert [source for source in copied if not (ROOT / source).exists()] == []
    given = {line[1:].split("/")[0] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert given == copied
    packages = {path.parent.name for path in ROOT.glob("*/py.typed")}
    assert packages <= copied


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_is_pinned_checked_and_keeps_no_secret(name):
    service = SERVICES[name]
    assert re.fullmatch(r"[\w./-]+:v?\d[\w.-]*", service["image"])
    assert service["healthcheck"]["test"][0] == "CMD"
    secret = {key: value for key, value in service.get("environment", {}).items() if "PASSWORD" in key}
    assert all(value.startswith("${POSTGRES_PASSWORD:?") for value in secret.values())
    assert all(volume.split(":")[0] in COMPOSE["volumes"] for volume in service["volumes"])
    for needed, how in service.get("depends_on", {}).items():
        assert needed in SERVICES
        assert how == {"condition": "service_healthy"}


def test_versions_agree():
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert SERVICES["gateway"]["image"] == f"fhir-anchor:{version}"


def test_the_emulator_is_the_one_that_the_tests_use():
    try:
        program = GcsEmulator()._program.read_bytes()
    except NoEmulator as reason:
        pytest.skip(str(reason))
    version = re.search(rb"github\.com/fsouza/fake-gcs-server\tv([\d.]+)", program)[1].decode()
    assert SERVICES["bucket"]["image"] == f"fsouza/fake-gcs-server:{version}"


def test_the_settings_exist():
    known = {variable for variable, _ in _CHECKS.values()} | {"FHIR_ANCHOR_HOME"}
    named = {*_image_environment(), *SERVICES["gateway"]["environment"]}
    assert {name for name in named if name.startswith("FHIR_ANCHOR_")} <= known


def test_init_has_a_folder_to_rename_beside_its_home():
    volume = SERVICES["gateway"]["volumes"][0].split(":")[1]
    assert Path(_image_environment()["FHIR_ANCHOR_HOME"]).parent == Path(volume) == Path(_last("VOLUME"))


class FolderEmulator(GcsEmulator):
    """The emulator as the service `bucket` runs it; `healthy` is its health check."""

    def __init__(self, folder):
        super().__init__()
        mounted = SERVICES["bucket"]["volumes"][0].split(":")[1]
        (folder / mounted.removeprefix("/storage/")).mkdir(parents=True)
        self._here = {"4443": str(self._port), "0.0.0.0": "127.0.0.1", "/storage": str(folder)}

    def start(self):
        command = [self._replaced(word) for word in SERVICES["bucket"]["command"]]
        self._process = subprocess.Popen(
            [self._program, *command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        )
        deadline = time.monotonic() + 15
        while not self._answers():
            assert time.monotonic() < deadline
            time.sleep(0.02)

    def _replaced(self, word):
        for there, here in self._here.items():
            word = word.replace(there, here)
        return word.replace("bucket:", "127.0.0.1:")

    def healthy(self):
        url = self._replaced(SERVICES["bucket"]["healthcheck"]["test"][-1])
        return subprocess.run([sys.executable, "-c", f"import urllib.request as r; r.urlopen({url!r})"], check=False).returncode == 0


@pytest.fixture
def bucket(tmp_path):
    try:
        emulator = FolderEmulator(tmp_path / "storage")
    except NoEmulator as reason:
        pytest.skip(str(reason))
    with emulator:
        assert emulator.healthy()
        yield emulator


@pytest.fixture
def database(postgresql_server):
    """What the service `database` has when it is healthy: the user, and both databases."""
    server, environment = postgresql_server, SERVICES["database"]["environment"]
    user, config = environment["POSTGRES_USER"], SERVICES["database"]["configs"][0]
    assert config["target"].startswith("/docker-entrypoint-initdb.d/")
    server.execute(f"CREATE ROLE {user} LOGIN SUPERUSER")
    server.execute(f'CREATE DATABASE "{environment["POSTGRES_DB"]}"')
    server.execute(COMPOSE["configs"][config["source"]]["content"])
    yield server
    for made in (environment["POSTGRES_DB"], "ledger"):
        server.execute(f'DROP DATABASE "{made}" WITH (FORCE)')
    server.execute(f"DROP ROLE {user}")


@pytest.fixture
def environment(tmp_path, bucket, database):
    """Of the service `gateway`: the image's and compose's, with this machine's names."""
    said = {**_image_environment(), **SERVICES["gateway"]["environment"]}
    for name in ("FHIR_ANCHOR_DATABASE_URL", "FHIR_ANCHOR_LEDGER_URL"):
        assert re.fullmatch(r"postgresql\+psycopg://anchor@database/\w+", said[name])
        said[name] = database.url(said[name].rsplit("/", 1)[1], "anchor")
    (tmp_path / "volume").mkdir()
    said["FHIR_ANCHOR_HOME"] = str(tmp_path / "volume" / "gateway")
    said["STORAGE_EMULATOR_HOST"] = bucket.url
    said["PGPASSWORD"] = "of-the-file"
    said["PATH"] = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    return said


def _program():
    return [Path(sys.executable).parent / word if word == "fhir-anchor" else word for word in json.loads(_last("ENTRYPOINT"))]


@contextmanager
def _running(command, environment, folder):
    with (folder / "serve.log").open("wb") as log:
        process = subprocess.Popen(
            command, env=environment, cwd=folder, stdout=subprocess.PIPE, stderr=log, text=True, start_new_session=True
        )
    try:
        line = process.stdout.readline()
        assert "http://" in line, (folder / "serve.log").read_text()[-2000:]
        yield process, line.rsplit(":", 1)[1].strip()
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        process.stdout.close()


def test_the_gateway_starts_and_is_healthy_as_compose_runs_it(environment, tmp_path):
    """`init` as the file's head says, then the service's own command and both health checks, then the stop."""
    head = re.search(r"run --rm gateway (init .*)", (ROOT / "compose.yaml").read_text())[1]
    made = subprocess.run([*_program(), *shlex.split(head)], env=environment, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stderr
    command = SERVICES["gateway"]["command"]
    assert command == json.loads(_last("CMD"))
    with _running([*_program(), *("0" if word == "8080" else word for word in command)], environment, tmp_path) as (process, port):
        for check in (json.loads(_last("HEALTHCHECK").split("CMD", 1)[1]), SERVICES["gateway"]["healthcheck"]["test"][1:]):
            asked = [word.replace(":8080/", f":{port}/") for word in check]
            assert subprocess.run(asked, env=environment, check=False).returncode == 0, asked
        kept = [path for path in (tmp_path / "volume").rglob("*") if path.is_file() and "of-the-file" in path.read_text(errors="replace")]
        assert kept == []
        process.terminate()
        assert process.wait(int(SERVICES["gateway"]["stop_grace_period"].rstrip("s"))) == 0
