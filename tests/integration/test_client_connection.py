"""The client against a real HTTP server that behaves as gateways and networks do: slow to start, overloaded, broken off."""

import pytest
from scripted_server import HANG_UP, TOKEN, Server

from gateway.client.connection import MAX_TRIES, Connection, SignInRefused, Unreachable
from gateway.client.credentials import new_credentials
from gateway.client.receipt import NoReceiptThere, NotYetFinal, Patience, fetch_receipt


class Clock:
    def __init__(self):
        self.now, self.pauses = 1_790_000_000.0, []

    def __call__(self):
        return self.now

    def sleep(self, seconds):
        self.pauses.append(seconds)
        self.now += seconds


@pytest.fixture
def server():
    made = Server()
    yield made
    made.close()


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def connection(server, clock):
    made = Connection(new_credentials(server.url, "hospital-0a1b2c3d"), clock=clock, sleep=clock.sleep)
    yield made
    made.close()


def test_one_token_serves_many_requests_until_it_is_about_to_expire(server, clock, connection):
    server.script["GET", "/fhir/a"] = [(200, {}, {"ok": True})]
    for _ in range(3):
        assert connection.ask("GET", "/fhir/a").status == 200
    assert server.count("POST", "/auth/token") == 1
    assert server.seen[-1][2]["Authorization"] == "Bearer t-1"
    clock.now += 271
    connection.ask("GET", "/fhir/a")
    assert server.count("POST", "/auth/token") == 2


def test_each_sign_in_has_an_assertion_of_its_own(server, connection):
    server.script["POST", "/auth/token"] = [(503, {}, {}), HANG_UP, (200, {}, TOKEN)]
    connection.sign_in()
    assert len({body for _, _, _, body in server.seen}) == 3


def test_a_refused_sign_in_says_what_the_gateway_said(server, connection):
    server.script["POST", "/auth/token"] = [(401, {}, {"error": "invalid_client", "error_description": "no such key"})]
    with pytest.raises(SignInRefused, match=r"invalid_client \(no such key\)"):
        connection.sign_in()
    assert server.count("POST", "/auth/token") == 1


@pytest.mark.parametrize("answer", [(200, {}, {}), (200, {}, b"<html>"), (500, {}, b"")])
def test_a_token_answer_without_a_token_is_a_refusal(server, connection, answer):
    server.script["POST", "/auth/token"] = [answer]
    with pytest.raises(SignInRefused):
        connection.sign_in()


def test_a_token_that_is_no_longer_taken_is_renewed_once(server, connection):
    server.script["GET", "/fhir/a"] = [(401, {}, {}), (200, {}, {})]
    assert connection.ask("GET", "/fhir/a").status == 200
    server.script["GET", "/fhir/a"] = [(401, {}, {})]
    with pytest.raises(SignInRefused):
        connection.ask("GET", "/fhir/a")


@pytest.mark.parametrize(
    ("header", "pause"), [({"Retry-After": "7"}, 7.0), ({}, 0.5), ({"Retry-After": "soon"}, 0.5), ({"Retry-After": "9999"}, 30.0)]
)
@pytest.mark.parametrize("status", [429, 503])
def test_not_now_is_asked_again_when_the_gateway_says(server, clock, connection, status, header, pause):
    server.script["POST", "/fhir"] = [(status, header, {}), (200, {}, {})]
    answer = connection.ask("POST", "/fhir", b"{}")
    assert (answer.status, answer.retried) == (200, False)
    assert clock.pauses == [pause]


def test_a_broken_connection_is_asked_again_and_the_answer_says_so(server, connection):
    server.script["POST", "/fhir"] = [HANG_UP, (200, {"Idempotent-Replay": "true"}, {})]
    answer = connection.ask("POST", "/fhir", b"{}")
    assert (answer.status, answer.retried) == (200, True)
    assert [seen[3] for seen in server.seen if seen[1] == "/fhir"] == [b"{}", b"{}"]


def test_what_may_not_be_repeated_is_not(server, connection):
    server.script["POST", "/fhir"] = [HANG_UP, (200, {}, {})]
    with pytest.raises(Unreachable):
        connection.ask("POST", "/fhir", b"{}", repeatable=False)
    assert server.count("POST", "/fhir") == 1


def test_it_gives_up_in_the_end(server, clock, connection):
    server.script["GET", "/fhir/a"] = [(503, {}, {})]
    with pytest.raises(Unreachable, match="503"):
        connection.ask("GET", "/fhir/a")
    assert server.count("GET", "/fhir/a") == MAX_TRIES
    assert clock.pauses == [0.5, 1.0, 2.0, 4.0]


def test_nobody_there(clock):
    connection = Connection(new_credentials("http://127.0.0.1:9", "hospital-0a1b2c3d"), clock=clock, sleep=clock.sleep)
    with pytest.raises(Unreachable, match="cannot be reached"):
        connection.ask("GET", "/fhir/a", repeatable=False)
    connection.close()


def test_no_redirect_takes_the_token_elsewhere(server, connection):
    server.script["GET", "/fhir/a"] = [(307, {"Location": "http://localhost:1/"}, {})]
    assert connection.ask("GET", "/fhir/a").status == 307
    with pytest.raises(ValueError, match="not sent there"):
        connection.ask("GET", "http://elsewhere.example/fhir/a")


def test_a_netrc_file_does_not_replace_the_token(server, connection, tmp_path, monkeypatch):
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login someone password else\n")
    (tmp_path / "netrc").chmod(0o600)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    server.script["GET", "/fhir/a"] = [(200, {}, {})]
    connection.ask("GET", "/fhir/a")
    assert server.seen[-1][2]["Authorization"] == "Bearer t-1"


NAME = "Patient/0123"
RECEIPT = "/ledger/receipts/Patient/0123/_history/1"


def fetch(connection, clock, wait=0.0):
    return fetch_receipt(connection, NAME, Patience(wait, clock, clock.sleep))


def test_a_receipt_is_waited_for(server, clock, connection):
    server.script["GET", f"/fhir/{NAME}"] = [(200, {"Link": f'<http://gw.example{RECEIPT}>; rel="receipt"'}, {})]
    server.script["GET", RECEIPT] = [(202, {}, {}), (202, {}, {}), (200, {}, b'{"format":1}')]
    assert fetch(connection, clock, 10) == b'{"format":1}'
    server.script["GET", RECEIPT] = [(202, {}, {})]
    with pytest.raises(NotYetFinal):
        fetch(connection, clock)
    with pytest.raises(NotYetFinal):
        fetch(connection, clock, 3)


@pytest.mark.parametrize(("status", "headers"), [(404, {}), (403, {}), (200, {}), (200, {"Link": '<http://gw.example/>; rel="self"'})])
def test_a_record_without_a_receipt(server, clock, connection, status, headers):
    told = {"issue": [{"diagnostics": "there is no such record"}]}
    server.script["GET", f"/fhir/{NAME}"] = [(status, headers, told)]
    with pytest.raises(NoReceiptThere):
        fetch(connection, clock, 10)


@pytest.mark.parametrize("name", ["", "Patient", "Patient/", "Patient/../x", "Patient/1?x", "patient/1", "Patient/1/2"])
def test_what_is_no_name_of_a_record(connection, clock, name):
    with pytest.raises(ValueError, match="no record"):
        fetch_receipt(connection, name, Patience(0, clock, clock.sleep))
