"""Clients that send a byte now and then must not keep others out."""

import socket
import time
import urllib.request
from urllib.parse import urlsplit

import pytest
from gateway_process import served

from gateway.web.server import HEAD_WITHIN, THREADS


@pytest.fixture(scope="module")
def gateway(tmp_path_factory):
    with served(tmp_path_factory.mktemp("slow")) as gateway:
        yield gateway


def connected(gateway):
    address = urlsplit(gateway.url)
    return socket.create_connection((address.hostname, address.port), timeout=30)


def test_a_head_that_never_ends_is_ended(gateway):
    with connected(gateway) as client:
        client.sendall(b"GET /livez HTTP/1.1\r\nHost: x\r\nX-Slow: ")
        client.settimeout(0.4)
        started = time.monotonic()
        while time.monotonic() - started < HEAD_WITHIN + 8:
            try:
                client.sendall(b"a")
                if not client.recv(1000):
                    break
            except TimeoutError:
                continue
            except OSError:
                break
        assert HEAD_WITHIN - 1 < time.monotonic() - started < HEAD_WITHIN + 5


def test_the_gateway_answers_beside_and_after_as_many_slow_heads_as_it_has_threads(gateway):
    clients = [connected(gateway) for _ in range(2 * THREADS + 8)]
    for client in clients:
        client.sendall(b"GET /livez HTTP/1.1\r\nHost: x")
    with urllib.request.urlopen(gateway.url + "/livez", timeout=HEAD_WITHIN + 8) as answer:
        assert answer.status == 200
    for client in clients:
        client.close()
