"""The gateway as it is served, by gunicorn: bodies that only a raw socket can send, stops in the middle of real work, the log."""

import gzip
import json
import os
import signal
import socket
import subprocess
import sys
import threading

import pytest
from gateway_process import GatewayProcess, served

pytestmark = pytest.mark.xdist_group("gateway")
SECRET = "Mustermann"  # stands for what no log line may hold
HEAD = "POST /fhir/Patient HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {token}\r\nContent-Type: application/fhir+json\r\n"


@pytest.fixture(scope="module")
def gateway(tmp_path_factory):
    with served(tmp_path_factory.mktemp("served")) as running:
        yield running


@pytest.fixture(scope="module")
def token(gateway):
    connection = gateway.connect(gateway.party())
    connection.sign_in()
    return connection._token.value


def send(gateway, token, headers, *pieces):
    """The status and body of the answer to a request whose pieces are sent as they are; what the server stops reading is not insisted on."""
    host, port = gateway.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=30) as raw:
        try:
            raw.sendall((HEAD.format(host=host, token=token) + headers + "\r\n").encode())
            for piece in pieces:
                raw.sendall(piece)
        except (BrokenPipeError, ConnectionResetError):
            pass
        answer = b""
        try:
            while piece := raw.recv(1 << 16):
                answer += piece
                head, _, body = answer.partition(b"\r\n\r\n")
                if b"OperationOutcome" in body and body.endswith(b"}"):
                    break
        except ConnectionResetError:
            pass
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head.split()[1]), json.loads(body)


def chunk(data):
    return f"{len(data):x}\r\n".encode() + data + b"\r\n"


def patient(**more):
    return json.dumps({"resourceType": "Patient", "name": [{"family": SECRET}]} | more).encode()


def test_a_chunked_body_is_read_to_its_end(gateway, token):
    body = patient(gender="wrong")
    status, outcome = send(gateway, token, "Transfer-Encoding: chunked\r\n", chunk(body[:7]), chunk(body[7:]), b"0\r\n\r\n")
    assert (status, outcome["issue"][0]["expression"]) == (422, ["Patient.gender"])


def test_an_oversized_chunked_body_is_refused_and_not_cut(gateway, token):
    pieces = [chunk(b'{"resourceType":"Patient","x":"')] + [chunk(b"a" * (1 << 20))] * 33 + [b"0\r\n\r\n"]
    status, outcome = send(gateway, token, "Transfer-Encoding: chunked\r\n", *pieces)
    assert (status, outcome["issue"][0]["code"]) == (413, "too-long")


def test_an_oversized_length_is_refused_without_reading(gateway, token):
    status, outcome = send(gateway, token, f"Content-Length: {33 << 20}\r\n", b"{")
    assert (status, outcome["issue"][0]["code"]) == (413, "too-long")


def test_a_gzip_bomb_is_refused(gateway, token):
    bomb = gzip.compress(b" " * (200 << 20))
    status, outcome = send(gateway, token, f"Content-Encoding: gzip\r\nContent-Length: {len(bomb)}\r\n", bomb)
    assert (status, outcome["issue"][0]["code"]) == (413, "too-long")


@pytest.mark.parametrize("pieces", [(b"zz\r\nabc\r\n",), (b"5\r\nabcdefgh\r\n",), (b"-5\r\nabc\r\n",)])
def test_malformed_chunks_are_unreadable(gateway, token, pieces):
    status, outcome = send(gateway, token, "Transfer-Encoding: chunked\r\n", *pieces)
    assert (status, outcome["issue"][0]["code"]) == (400, "structure")


@pytest.mark.parametrize("headers", ["Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", "Content-Length: 5\r\nContent-Length: 6\r\n"])
def test_a_body_of_two_lengths_is_refused(gateway, token, headers):
    status, outcome = send(gateway, token, headers, b"0\r\n\r\n")
    assert (status, outcome["issue"][0]["code"]) == (400, "structure")


def test_a_depth_of_2000_is_refused(gateway, token):
    body = b'{"resourceType":"Patient","extension":' + b"[" * 2000 + b"]" * 2000 + b"}"
    status, _ = send(gateway, token, f"Content-Length: {len(body)}\r\n", body)
    assert status == 400


def test_workers_survive_all_that(gateway, token):
    status, _ = send(gateway, token, "Content-Length: 0\r\n")
    assert status == 400
    assert gateway.process.poll() is None


def test_the_log_is_json_and_holds_no_content_and_no_path(gateway, token):
    send(gateway, token, f"Content-Length: {len(patient(gender='x'))}\r\n", patient(gender="x"))
    log = gateway.log.read_text()
    lines = [json.loads(line) for line in log.splitlines()]
    access = [line for line in lines if line["event"] == "request" and line["route"] == "/fhir/<resource_type>"]
    assert access
    assert {"method", "status", "ms", "request_id", "client_id", "at"} <= set(access[-1])
    assert not any(what in log for what in (SECRET, "Traceback", token, "Patient."))


@pytest.mark.parametrize("number", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.campaign)])
def test_a_stop_in_the_middle_of_a_submission_finishes_it(tmp_path, number):
    gateway = GatewayProcess(tmp_path).start()
    try:
        connection = gateway.connect(gateway.party())
        connection.sign_in()
        body = json.dumps({"resourceType": "Bundle", "type": "collection", "entry": [entry(n) for n in range(4000)]}).encode()
        answers = []
        running = threading.Thread(
            target=lambda: answers.append(connection.ask("POST", "/fhir", body, {"Content-Type": "application/fhir+json"}))
        )
        running.start()
        while running.is_alive() and not busy(gateway):
            running.join(0.02)
        os.killpg(gateway.process.pid, number)
        running.join()
        assert gateway.process.wait(30) == 0
        assert (answers[0].status, answers[0].body.count(b"201 Created")) == (200, 4000)
    finally:
        gateway.kill9()


def entry(number):
    name = [{"family": f"{SECRET}{number}", "given": ["A" * 50]}]
    return {"resource": {"resourceType": "Practitioner", "id": str(number), "name": name}}


def busy(gateway):
    """Whether the row numbers of the submission were taken: it is being worked on."""
    from sqlalchemy import select

    from gateway.index import schema
    from gateway.index.database import open_index

    index = open_index(f"sqlite:///{gateway.home / 'gateway.db'}")
    try:
        with index.reading() as connection:
            return connection.execute(select(schema.sequence)).first() is not None
    finally:
        index.close()


@pytest.mark.parametrize(
    ("name", "process", "sentence"),
    [
        ("kek.json", None, "key-encryption key"),
        ("delegate-2.json", "jobs", "delegate-2.json"),
        ("delegate-3.watermark", "jobs", "watermark"),
    ],
)
def test_keys_that_are_unusable_are_said_in_a_sentence(tmp_path, name, process, sentence):
    gateway = GatewayProcess(tmp_path)
    (gateway.home / "keys" / name).write_text("{}")
    command = [sys.executable, "-m", "gateway", "--home", str(gateway.home), "serve", "--port", "0"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    *log, last = done.stderr.splitlines()
    if process is None:  # before any process is started
        assert last.startswith("fhir-anchor: ")
        assert sentence in last
        return
    assert last.startswith(f"fhir-anchor: the {process} process stopped before the gateway was ready")
    assert any(line["process"] == process and sentence in line["event"] for line in map(json.loads, log) if "process" in line)
