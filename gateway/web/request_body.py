"""The body of the request being served, read with patience that ends."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from flask import request

from gateway.web.body import MAX_BODY, read_body
from gateway.web.deadlines import DEADLINES

SILENCE = 30.0  # seconds without a byte; a client that is gone without a word would hold a thread for ever
SLOWEST = 64 * 1024  # bytes a second that a body must come with on the whole, beside `SILENCE`


def request_body(limit: int = MAX_BODY) -> bytes:
    """All of it, unpacked; raises as `read_body`."""
    with patience(request.environ, SILENCE + limit / SLOWEST):
        return read_body(
            request.stream,
            content_length=request.content_length,
            content_encoding=request.headers.get("Content-Encoding"),
            limit=limit,
        )


@contextmanager
def patience(environ: dict[str, Any], seconds: float) -> Iterator[None]:
    """While inside, reading from gunicorn's socket ends after a silence, and in all after `seconds`; another server has its own rules."""
    connection = environ.get("gunicorn.socket")
    if not isinstance(connection, socket.socket):
        yield
        return
    before = connection.gettimeout()
    connection.settimeout(SILENCE)
    try:
        with DEADLINES.within(connection, seconds):
            yield
    finally:
        connection.settimeout(before)
