"""gunicorn, held to what this service needs: no file, no flag and no header from outside changes how it runs.

Threads serve a worker's requests (`gthread` finishes them after SIGTERM, and reads chunked bodies to their end); processes use the cores.
"""

import gc
import os
import signal
import socket
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import structlog
from gunicorn.app.base import BaseApplication
from gunicorn.arbiter import Arbiter
from gunicorn.errors import HaltServer
from gunicorn.http import errors as http_errors
from gunicorn.workers.gthread import ThreadWorker

from fhir_adapters.issue import Issue, operation_outcome
from gateway.logs import GunicornLog
from gateway.web.deadlines import DEADLINES
from gateway.web.media_type import FHIR_JSON
from gateway.web.request_id import HEADER, request_id_from

if TYPE_CHECKING:
    from flask import Flask

THREADS = 16  # a worker's requests at a time; they share one interpreter lock, but most of a slow client's time is waiting
HEAD_WITHIN = 10.0  # seconds for the request line and headers
TAKEN_WITHIN = 120.0  # seconds for a client to take a piece of an answer, a few MB: all of it, so that a byte now and then gains nothing
_STUCK_AFTER = 120  # seconds without a sign of life of a worker's main loop
_KEEP_ALIVE = 15  # seconds
_STOPPING = (signal.SIGTERM, signal.SIGQUIT)  # as the master tells its workers

# What gunicorn refuses before the application sees it: error -> status line. The rest of its parse errors are 400.
_STATUS: dict[type[Exception], tuple[int, str]] = {
    http_errors.LimitRequestLine: (414, "URI Too Long"),
    http_errors.LimitRequestHeaders: (431, "Request Header Fields Too Large"),
    http_errors.ExpectationFailed: (417, "Expectation Failed"),
    http_errors.UnsupportedTransferCoding: (501, "Not Implemented"),
}


def run_server(
    listener: socket.socket, *, workers: int, make_app: Callable[[], "Flask"], warm: Callable[[], None], parent: int, grace: int
) -> None:
    """Serve on `listener` until SIGTERM, or until process `parent` is gone; running requests then get `grace` seconds."""
    warm()
    gc.collect()
    gc.set_threshold(100_000, 20, 50)  # a bundle makes hundreds of thousands of objects and no cycles
    gc.freeze()  # what is there now is never collected, so its pages stay shared after the fork
    try:
        _Master(_Server(listener.fileno(), workers, make_app, grace), parent).run()
    except HaltServer as halted:  # once more while it halts, where the second worker could not start either
        sys.exit(halted.exit_status)


class _Server(BaseApplication):  # type: ignore[misc]  # gunicorn has no types
    def __init__(self, fd: int, workers: int, make_app: Callable[[], "Flask"], grace: int) -> None:
        self._chosen: dict[str, Any] = {
            "bind": f"fd://{fd}",
            "workers": workers,
            "worker_class": _Worker,
            "threads": THREADS,
            "timeout": _STUCK_AFTER,
            "graceful_timeout": grace,
            "keepalive": _KEEP_ALIVE,
            "logger_class": GunicornLog,
            "control_socket_disable": True,
            "forwarded_allow_ips": "",
            "secure_scheme_headers": {},
            "proc_name": "fhir-anchor",
        }
        self._make_app = make_app
        super().__init__()

    def load_config(self) -> None:
        for name, value in self._chosen.items():
            self.cfg.set(name, value)

    def load(self) -> "Flask":
        """Called in each worker, so databases are opened after the fork."""
        return self._make_app()


class _Master(Arbiter):  # type: ignore[misc]
    def __init__(self, app: _Server, parent: int) -> None:
        super().__init__(app)
        self._parent = parent

    def murder_workers(self) -> None:
        """Called once a second. gunicorn's workers look after their master; here the master looks after its parent."""
        if os.getppid() != self._parent:
            structlog.get_logger().error("the parent process is gone; stopping", process="web")
            raise StopIteration
        super().murder_workers()

    def spawn_worker(self) -> int:
        """A new worker still has the master's handlers, which would queue a stop for nobody: until it has its own, the stop waits."""
        signal.pthread_sigmask(signal.SIG_BLOCK, _STOPPING)
        try:
            return int(super().spawn_worker())
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _STOPPING)


class _Worker(ThreadWorker):  # type: ignore[misc]
    def __init__(self, *args: Any, **named: Any) -> None:
        super().__init__(*args, **named)
        self._heads: dict[Any, ExitStack] = {}  # by connection: the deadline of the head that is being read

    def init_signals(self) -> None:
        """From here on a stop is heard, also one that came since the fork (`_Master.spawn_worker`)."""
        super().init_signals()
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _STOPPING)

    def enqueue_req(self, conn: Any) -> None:
        """Something came on `conn`; a thread reads it when one is free."""
        conn.came_at = time.monotonic()
        super().enqueue_req(conn)

    def handle(self, conn: Any) -> object:
        """Reads one request and answers it. What follows the head has deadlines of its own (`gateway.web.request_body`).

        Time in the queue counts for the head: of a client that is not slow all is there by now, and one that is holds no thread for long.
        """
        waited = time.monotonic() - conn.came_at
        self._heads[conn] = ExitStack()
        self._heads[conn].enter_context(DEADLINES.within(conn.sock, max(HEAD_WITHIN - waited, 1.0)))
        try:
            return super().handle(conn)
        finally:
            self._heads.pop(conn).close()

    def handle_request(self, req: object, conn: Any) -> object:
        self._heads[conn].close()
        conn.sock.settimeout(TAKEN_WITHIN)
        return super().handle_request(req, conn)

    def handle_error(self, req: object, client: socket.socket, addr: object, exc: Exception) -> None:  # noqa: ARG002 - gunicorn's
        """A request that is not HTTP, or an answer that broke. gunicorn would log and echo the address with its query string."""
        known = isinstance(exc, http_errors.ParseException | OSError)
        status, reason = _STATUS.get(type(exc), (400, "Bad Request")) if known else (500, "Internal Server Error")
        request_id = request_id_from(None, os.urandom)
        told = {"status": status, "error": type(exc).__name__, "request_id": request_id}
        structlog.get_logger().warning("refused before a route was found", **told)
        issue = Issue("structure", "the request is not valid HTTP") if known else Issue("exception", "the request failed")
        body = operation_outcome([issue])
        head = f"HTTP/1.1 {status} {reason}\r\nConnection: close\r\nContent-Type: {FHIR_JSON}\r\nContent-Length: {len(body)}\r\n"
        head += f"{HEADER}: {request_id}\r\n\r\n"
        try:
            client.sendall(head.encode("ascii") + body)
        except OSError:
            structlog.get_logger().debug("the client is gone")
