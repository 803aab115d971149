"""What belongs to the request being served: the services it runs on, its id, and the access line that the log gets when it ends."""

import os
import time

import structlog
from flask import Flask, Response, current_app, g, request

from chain.ledger import Ledger
from gateway.services import Services
from gateway.web.request_id import HEADER, request_id_from

_NOT_LOGGED = ("/livez", "/readyz")  # probes come every few seconds and say nothing


def services() -> Services:
    """What the composition root made for this process."""
    found: Services = current_app.extensions["services"]
    return found


def ledger() -> Ledger:
    """The chain, to read."""
    found: Ledger = current_app.extensions["ledger"]
    return found


def request_id() -> str:
    """The id of the request being served."""
    return str(g.request_id)


def follow_requests(app: Flask) -> None:
    """Name every request, and write one access line for it: the route, not the path; never a query string."""
    app.before_request(_begin)
    app.after_request(_end)


def _begin() -> None:
    g.started = time.perf_counter()
    g.request_id = request_id_from(request.headers.get(HEADER), os.urandom)
    structlog.contextvars.clear_contextvars()
    structlog.contextvars.bind_contextvars(request_id=g.request_id)


def _end(response: Response) -> Response:
    response.headers[HEADER] = g.request_id
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers.setdefault("Cache-Control", "no-store")
    seconds = time.perf_counter() - g.started
    method = request.method if request.method in _METHODS else "(other)"
    services().metrics.request(request.endpoint or "(none)", method, response.status_code, seconds)
    route = request.url_rule.rule if request.url_rule is not None else "(none)"
    if route not in _NOT_LOGGED:
        structlog.get_logger().info("request", method=method, route=route, status=response.status_code, ms=round(seconds * 1000, 1))
    return response


_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
