"""The metrics process: answers GET /metrics on an address of its own, for the operator's Prometheus (docs/adr/0028-metrics.md).

It holds no keys, reads the databases, and is not behind the address that clients use. It adds up what the web workers left in their files.
"""

import os
import socket
import threading
import time
from contextlib import closing
from pathlib import Path
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

import structlog
from prometheus_client import CollectorRegistry, make_wsgi_app
from prometheus_client.multiprocess import MultiProcessCollector

from chain.ledger import Ledger
from gateway.bootstrap import read_genesis
from gateway.gauges import Gauges
from gateway.index.database import open_index
from gateway.readiness import Readiness
from gateway.settings import Settings
from gateway.storage.opening import open_object_store

PATH = "/metrics"
_PATIENCE = 10.0  # seconds for a request to arrive
_LOOK = 0.5  # seconds between two looks at the parent


def serve_metrics(settings: Settings, folder: Path, listener: socket.socket, parent: int) -> None:
    """Answer on `listener` until SIGTERM, or until process `parent` is gone. `folder` is where the web workers count."""
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    with closing(open_index(settings.effective_database_url, cache_mib=1)) as index:
        ledger = Ledger.open(settings.effective_ledger_url, read_genesis(settings))
        readiness = Readiness(settings, open_object_store(settings.effective_bucket_url), ledger, time.time)
        registry = CollectorRegistry()
        MultiProcessCollector(registry, str(folder))  # type: ignore[no-untyped-call]
        registry.register(Gauges(index, ledger, readiness, time.time))
        with _Server(listener, _only_metrics(make_wsgi_app(registry))) as server:
            structlog.get_logger().info("metrics are served", address="{}:{}".format(*listener.getsockname()[:2]))
            server.serve_forever()


def _only_metrics(metrics: Any) -> Any:
    def answer(environ: dict[str, Any], start_response: Any) -> Any:
        if environ["PATH_INFO"] == PATH and environ["REQUEST_METHOD"] == "GET":
            return metrics(environ, start_response)
        start_response("404 Not Found", [("Content-Type", "text/plain")])
        return [b"metrics are at /metrics\n"]

    return answer


class _Quiet(WSGIRequestHandler):
    timeout = _PATIENCE

    def log_message(self, *_: object) -> None:
        """What is asked of this address says nothing."""


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True

    def __init__(self, listener: socket.socket, application: Any) -> None:
        super().__init__(listener.getsockname()[:2], _Quiet, bind_and_activate=False)
        self.socket.close()
        self.socket = listener
        self.server_name, self.server_port = listener.getsockname()[:2]
        self.setup_environ()
        self.set_app(application)

    def handle_error(self, *_: object) -> None:
        """A scrape that broke off, or failed: the next one comes soon."""
        structlog.get_logger().warning("a request for metrics failed", exc_info=True)


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(_LOOK)
    os._exit(1)
