"""What this gateway is called from outside: the configured base URL, or, where none is, what the request was sent to.

An assertion's `aud` protects a client from a server that passes its assertion on to another. So it is compared with the configured base
URL; without one, the Host header (which the sender chooses) is believed only where it names this very machine.
"""

import re
from urllib.parse import urlsplit

from flask import request

from gateway.web.request_context import services

TOKEN_PATH = "/auth/token"  # noqa: S105 - an address, no secret
FHIR_PATH = "/fhir"
_HOST = re.compile(r"[A-Za-z0-9.-]{1,253}(:\d{1,5})?|\[[0-9A-Fa-f:.]{2,45}\](:\d{1,5})?")
_LOOPBACK = ("127.0.0.1", "localhost", "::1")


def base_url() -> str:
    """Scheme, host and port, without a slash at the end."""
    configured = services().settings.base_url
    if configured:
        return configured
    return f"http://{request.host}" if _HOST.fullmatch(request.host) else "http://localhost"


def fhir_base() -> str:
    return base_url() + FHIR_PATH


def token_url() -> str | None:
    """The one `aud` that an assertion may have; None where no base URL is configured and the request was not sent to this machine."""
    if services().settings.base_url is None and urlsplit(base_url()).hostname not in _LOOPBACK:
        return None
    return base_url() + TOKEN_PATH


def token_audience() -> str:
    """The audience of our own access tokens. Their key is this gateway's alone, so the name may stay fixed where no base URL is."""
    configured = services().settings.base_url
    return configured + FHIR_PATH if configured else "urn:fhir-anchor:gateway"
