"""A proxy on real sockets between a client of Google Cloud Storage and its emulator, which can be told to fail.

`fail(method, fault, ...)` queues faults for the next requests of a method (PUT of an object is a POST), one a request:
`lost` hangs up before anything is done, `kept` does it and hangs up, `refused` answers 503, `slow` waits for `delay` seconds first,
`truncated` hangs up after half of the answer's body, `shortened` answers half of it as if that were all, `damaged` changes a byte of the
answer's body, `damaging` one of the request's, `stale` gives the answer of the last request of this kind again, `denied` is a 403.
"""

import threading
import time
from collections import deque
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

Answer = tuple[int, list[tuple[str, str]], bytes]
_HOP = {"connection", "transfer-encoding", "content-length", "keep-alive"}
_REFUSALS = {"refused": (503, [], b"{}"), "denied": (403, [], b"{}")}


class CuttingProxy:
    """Running from its making until `close`; `url` is for STORAGE_EMULATOR_HOST."""

    def __init__(self, upstream: str, *, delay: float = 0.1) -> None:
        self.delay = delay
        self.requests: list[str] = []  # methods and paths, as they came
        self._upstream = urlsplit(upstream)
        self._faults: dict[str, deque[str]] = {}
        self._last: dict[str, Answer] = {}  # by method and path without query
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler_of(self))
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def fail(self, method: str, *faults: str) -> None:
        self._faults.setdefault(method, deque()).extend(faults)

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def answer(self, method: str, path: str, headers: dict[str, str], body: bytes) -> tuple[Answer, int] | None:
        """The answer and how many bytes of its body to send; None to hang up."""
        self.requests.append(f"{method} {path}")
        queued = self._faults.get(method)
        fault = queued.popleft() if queued else ""
        key = f"{method} {path.partition('?')[0]}"
        if fault == "lost":
            return None
        if fault == "stale" and key in self._last:
            return self._last[key], len(self._last[key][2])
        if fault in _REFUSALS:
            return _REFUSALS[fault], 2
        if fault == "slow":
            time.sleep(self.delay)
        status, fields, content = self._last[key] = self._forward(method, path, headers, _damaged(body) if fault == "damaging" else body)
        if fault == "kept":
            return None
        if fault == "shortened":
            content = content[: len(content) // 2]
        if fault == "damaged":
            content = _damaged(content)
        return (status, fields, content), len(content) // 2 if fault == "truncated" else len(content)

    def _forward(self, method: str, path: str, headers: dict[str, str], body: bytes) -> Answer:
        connection = HTTPConnection(self._upstream.hostname or "", self._upstream.port, timeout=10)
        try:
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            return response.status, [(k, v) for k, v in response.getheaders() if k.lower() not in _HOP], response.read()
        finally:
            connection.close()


def _damaged(body: bytes) -> bytes:
    """The byte in the middle, which in an upload is the content's if that is long against its description."""
    at = len(body) // 2
    return body[:at] + bytes([body[at] ^ 1]) + body[at + 1 :]


def _handler_of(proxy: CuttingProxy) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _serve(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            try:
                answered = proxy.answer(self.command, self.path, dict(self.headers), body)
            except OSError:  # nobody behind it
                answered = None
            if answered is None:
                self.close_connection = True
                return
            (status, fields, content), sent = answered
            self.send_response_only(status)
            for name, value in fields:
                self.send_header(name, value)
            if status != 204:
                self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content[:sent])
            self.close_connection = sent < len(content)

        do_GET = do_POST = do_PUT = do_DELETE = _serve  # noqa: N815 - the names the base class looks for

        def log_message(self, *_args: object) -> None:
            pass

    return Handler
