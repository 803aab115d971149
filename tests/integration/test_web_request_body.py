import socket
import time

import pytest
from flask import Flask, request

from fhir_adapters.issue import InvalidInput
from gateway.web import request_body


def ask(connection, monkeypatch, silence):
    monkeypatch.setattr(request_body, "SILENCE", silence)
    stream = connection.makefile("rb", buffering=0)
    environ = {"gunicorn.socket": connection, "wsgi.input": stream, "wsgi.input_terminated": True, "CONTENT_LENGTH": "10"}
    with Flask("x").test_request_context("/", method="POST", environ_overrides=environ):
        assert request.stream is not None
        return request_body.request_body()


def test_a_client_that_falls_silent_is_not_waited_for(monkeypatch):
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(b"12345")
        before = time.monotonic()
        with pytest.raises(InvalidInput):
            ask(ours, monkeypatch, 0.2)
        assert time.monotonic() - before < 5
        assert ours.gettimeout() is None


def test_one_that_goes_on_is_read_to_its_end(monkeypatch):
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(b"1234567890")
        theirs.shutdown(socket.SHUT_WR)
        assert ask(ours, monkeypatch, 5) == b"1234567890"
        assert ours.gettimeout() is None
