"""The processes for real: a parent, gunicorn, a jobs process, signals from outside."""

import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from gateway.web.server import THREADS

PROGRAM = Path(__file__).with_name("slow_gateway.py")


class Served:
    def __init__(self, home, port=0, jobs="run"):
        self.home = home
        self.log = home / "log"
        self.process = subprocess.Popen(
            [sys.executable, str(PROGRAM), str(home), "127.0.0.1", str(port), jobs],
            stdout=subprocess.PIPE,
            stderr=self.log.open("a"),
            start_new_session=True,
            text=True,
        )

    def ready(self):
        line = self.process.stdout.readline()
        assert line.startswith("fhir-anchor is ready at http://127.0.0.1:"), line + self.log.read_text()
        self.port = int(line.rsplit(":", 1)[1])
        return self

    def get(self, path):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()

    def group(self):
        """Process ids of its group that are alive (zombies are not)."""
        alive = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    state, _, group = (entry / "stat").read_text().rsplit(")", 1)[1].split()[:3]
                except (FileNotFoundError, ProcessLookupError):
                    continue
                if int(group) == self.process.pid and state != "Z":
                    alive.append(int(entry.name))
        return alive

    def kill(self):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self.process.stdout.close()


@pytest.fixture
def start(tmp_path):
    started = []

    def start(**options):
        served = Served(tmp_path, **options)
        started.append(served)
        return served

    yield start
    for served in started:
        served.kill()


def until(condition, seconds=10.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "did not come true in time"
        time.sleep(0.05)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_stop_to_the_whole_group_finishes_running_requests(start, number):
    served = start().ready()
    until(lambda: len(served.group()) == 5)  # parent, gunicorn, two workers, jobs
    answers = []
    running = threading.Thread(target=lambda: answers.append(served.get("/slow")))
    running.start()
    until((served.home / "slow-begun").exists)
    os.killpg(served.process.pid, number)
    running.join()
    assert answers == [(200, "finished")]
    assert served.process.wait(15) == 0
    assert (served.home / "jobs-stopped").exists()
    assert served.group() == []
    assert served.process.stdout.read() == ""  # one ready line, nothing else


def test_sigterm_to_the_parent_alone_does_the_same(start):
    served = start().ready()
    answers = []
    running = threading.Thread(target=lambda: answers.append(served.get("/slow")))
    running.start()
    until((served.home / "slow-begun").exists)
    served.process.terminate()
    running.join()
    assert answers == [(200, "finished")]
    assert served.process.wait(15) == 0
    assert served.group() == []


@pytest.mark.parametrize("whole_group", [True, False])
def test_a_stop_that_comes_between_a_workers_fork_and_its_handlers_is_not_lost(start, whole_group):
    served = start(jobs="late-worker").ready()
    until((served.home / "late-forked").exists)
    began = time.monotonic()
    if whole_group:
        os.killpg(served.process.pid, signal.SIGTERM)
    else:
        served.process.terminate()
    assert served.process.wait(20) == 0
    assert time.monotonic() - began < 10, "the grace of those that did not hear"
    assert served.group() == []


STOPPED_OFTEN = """
import os, signal, sys, time
from gateway.supervisor import signals_as_bytes
signal.signal(signal.SIGTERM, signal.SIG_IGN)  # until the child hears, it is deaf
for _ in range(40):
    child = os.fork()
    if not child:
        with signals_as_bytes((signal.SIGTERM,)) as heard:
            heard.settimeout(0.0005)
            os.write(1, b".")
            while True:
                try:
                    heard.recv(1)
                    os._exit(0)
                except TimeoutError:
                    pass
    time.sleep(0.01)
    deadline = time.monotonic() + 5
    while not os.waitpid(child, os.WNOHANG)[0]:
        if time.monotonic() > deadline:
            os.kill(child, signal.SIGKILL)
            sys.exit("a child that was told many times did not stop")
        os.kill(child, signal.SIGTERM)
"""


def test_whoever_is_told_to_stop_many_times_at_any_moment_stops():
    """A handler that takes a lock, as threading.Event's does, hangs in some of these forty."""
    done = subprocess.run([sys.executable, "-c", STOPPED_OFTEN], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "." * 40, "")


def test_without_their_parent_the_children_stop(start):
    served = start().ready()
    os.kill(served.process.pid, signal.SIGKILL)
    served.process.wait()
    until(lambda: served.group() == [], seconds=15)
    again = start().ready()  # neither the lock nor the port is left taken
    assert again.get("/readyz")[0] == 200


def test_clients_that_take_no_answer_keep_no_thread(start):
    served = start().ready()
    clients = [socket.socket() for _ in range(2 * THREADS + 4)]
    for client in clients:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect(("127.0.0.1", served.port))
        client.sendall(b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n")
    until((served.home / "large-begun").exists)
    assert served.get("/who")[0] == 200
    for client in clients:
        client.close()


def test_a_dead_jobs_process_is_started_again(start):
    served = start().ready()
    first = int((served.home / "jobs-pid").read_text())
    os.kill(first, signal.SIGKILL)
    until(lambda: int((served.home / "jobs-pid").read_text() or first) != first)
    assert served.process.poll() is None


def test_a_dead_server_is_started_again_on_the_same_port(start):
    served = start().ready()
    _, master = served.get("/who")[1].split()
    os.kill(int(master), signal.SIGKILL)
    time.sleep(0.2)
    until(lambda: _who(served) not in (None, master))
    assert served.get("/readyz")[0] == 200
    assert served.process.poll() is None


def _who(served):
    try:
        return served.get("/who")[1].split()[1]
    except OSError:
        return None


def test_a_second_serve_of_the_same_home_is_refused(start):
    served = start().ready()
    second = start()
    assert second.process.wait(20) == 1  # sys.exit with a text; the command line makes it 2
    assert f"already served by process {served.process.pid}" in served.log.read_text()
    assert served.get("/readyz")[0] == 200


def test_a_port_in_use_is_said_in_a_sentence(start):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        served = start(port=taken.getsockname()[1])
        assert served.process.wait(20) == 1
    log = served.log.read_text()
    assert "is in use by another program" in log
    assert "Traceback" not in log


def test_a_child_that_cannot_start_stops_all_with_a_sentence(start):
    served = start(jobs="fail")
    assert served.process.wait(20) == 1
    assert "the jobs process stopped before the gateway was ready (exit code 1)" in served.log.read_text()
    assert served.group() == []
    assert "Mustermann" not in served.log.read_text()


def test_the_log_is_json_lines_that_repeat_nothing_from_requests(start):
    served = start().ready()
    with socket.create_connection(("127.0.0.1", served.port)) as raw:
        raw.sendall(b"G\x01T /fhir/Patient?name=Mustermann HTTP/1.1\r\n\r\n")
        answer = raw.recv(65536)
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"OperationOutcome" in answer
    assert b"Mustermann" not in answer
    served.get("/nothing?name=Mustermann")
    served.get("/broken?name=Mustermann")
    served.process.terminate()
    served.process.wait(15)
    lines = served.log.read_text().splitlines()
    assert lines
    for line in lines:
        assert "at" in json.loads(line)
        assert "Mustermann" not in line
