"""Every line of a request has its id, which the answer has, too; and no line has anything of what was sent, whatever went wrong."""

import json
import re
import socket
import time
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import requests
from gateway_process import GatewayProcess

DEMO = Path(__file__).parents[2] / "gateway/assets/demo-bundle.json"
JSON = {"Content-Type": "application/fhir+json"}
TELLING = "Mustermann-Zzyzx"  # stands in every request below: in names, paths, queries, headers, bodies
FORM = re.compile(r"[0-9a-f]{24}")


def bad_observation(**more):
    return {"resourceType": "Observation", "status": TELLING, "code": {"text": TELLING}, **more}


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """(answers, log lines) of a gateway that was asked for all kinds of things."""
    gateway = GatewayProcess(tmp_path_factory.mktemp("logs"), age=7200).start("--metrics-address", "0")
    try:
        hospital = gateway.party()
        gateway.json("push", "--as", hospital, DEMO)
        connection = gateway.connect(hospital)
        batch = [{"request": {"method": "POST", "url": "Observation"}, "resource": bad_observation()}]
        entry = {"fullUrl": f"urn:{TELLING}", "request": {"method": "PUT", "url": f"Patient?identifier={TELLING}"}}
        asked = [
            ("POST", "/fhir", json.dumps({"resourceType": "Bundle", "type": "batch", "entry": batch}), JSON),
            ("POST", "/fhir", json.dumps({"resourceType": "Bundle", "type": "transaction", "entry": [entry]}), JSON),
            ("POST", "/fhir/Observation", json.dumps(bad_observation()), JSON),
            ("POST", "/fhir/Patient", json.dumps({"resourceType": "Patient", "name": [{"family": TELLING}]})[:-1], JSON),
            ("POST", "/fhir/Patient", TELLING, {"Content-Type": f"text/{TELLING}"}),
            ("POST", "/fhir/Patient", '{"resourceType":"Patient"}', {**JSON, "If-None-Exist": f"name={TELLING}"}),
            ("PUT", f"/fhir/Patient/{TELLING}", json.dumps({"resourceType": "Patient", "id": TELLING}), JSON),
            ("DELETE", f"/fhir/Patient?identifier=urn:x|{TELLING}", None, {}),
            ("GET", f"/fhir/Patient?name={TELLING}&family={TELLING}", None, {}),
            ("GET", f"/fhir/{TELLING}/{TELLING}", None, {}),
            ("GET", f"/{TELLING}", None, {}),
            ("GET", f"/ledger/receipts/Patient/{TELLING}", None, {"X-Purpose-Of-Use": TELLING}),
            ("PATCH", f"/fhir/Patient/{TELLING}", TELLING, {}),
        ]
        answers = [connection.ask(method, path, body and body.encode(), headers) for method, path, body, headers in asked]
        answers = [(answer.status, dict(answer.headers)) for answer in answers]
        connection.close()
        for answer in (
            requests.get(f"{gateway.url}/fhir/Patient?name={TELLING}", headers={"Authorization": f"Bearer {TELLING}"}, timeout=10),
            requests.post(f"{gateway.url}/auth/token", data={"grant_type": TELLING, "client_assertion": TELLING}, timeout=10),
            requests.get(f"{gateway.url}/fhir/metadata", headers={"X-Request-ID": "a-client's own"}, timeout=10),
            requests.get(f"{gateway.url}/fhir/metadata", headers={"X-Request-ID": "trace.0123456789"}, timeout=10),
        ):
            answers.append((answer.status_code, dict(answer.headers)))
        at = urlsplit(gateway.url)
        with socket.create_connection((at.hostname, at.port), timeout=10) as raw:
            raw.sendall(f"GET /{TELLING} {TELLING}\r\n\r\n".encode())
            head = raw.recv(65536).decode()
        answers.append((400, dict(line.split(": ", 1) for line in head.partition("\r\n\r\n")[0].split("\r\n")[1:])))
        (gateway.home / "bucket").rename(gateway.home / "elsewhere")
        time.sleep(7)  # jobs look what is due five seconds after the start, and meet no bucket
        broken = requests.get(f"{gateway.url}/readyz", timeout=20)
        assert broken.status_code == 503
        (gateway.home / "elsewhere").rename(gateway.home / "bucket")
        gateway.wait_final()
    finally:
        gateway.stop()
    return answers, gateway.log.read_text()


def test_every_answer_has_an_id_and_the_log_has_it_too(told):
    answers, log = told
    assert {status // 100 for status, _ in answers} >= {2, 4}
    logged = [json.loads(line).get("request_id") for line in log.splitlines()]
    for status, headers in answers:
        id_ = {name.lower(): value for name, value in headers.items()}["x-request-id"]
        assert FORM.fullmatch(id_) or id_ == "trace.0123456789", (status, id_)
        assert id_ in logged


def test_every_line_is_json_and_every_line_of_a_request_has_its_id(told):
    lines = [json.loads(line) for line in told[1].splitlines()]
    of_requests = [line for line in lines if {"route", "client_id", "status"} & set(line)]
    assert len(of_requests) > 20
    assert [line for line in of_requests if not line.get("request_id")] == []
    assert {line["event"] for line in lines if line.get("job")}, "jobs have lines, too"


def test_no_line_has_anything_of_what_was_sent(told):
    log = told[1]
    assert TELLING not in log
    assert "DEMO-4471" not in log
    entries = json.loads(DEMO.read_bytes())["entry"]
    names = [name for e in entries for n in e["resource"].get("name", []) if isinstance(n, dict) for name in (n["family"], *n["given"])]
    assert names
    assert [name for name in names if name in log] == []
