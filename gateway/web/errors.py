"""One table turns what went wrong into an HTTP answer: status, OperationOutcome, headers. Nothing else in the web layer does.

An unexpected error answers 500 with the request id alone; its type and place are in the log under the same id.
"""

from functools import lru_cache

import structlog
from flask import Flask, Response, g, request
from werkzeug.exceptions import HTTPException, MethodNotAllowed

from chain.database import LedgerUnreachable
from chain.errors import LedgerError
from fhir_adapters.issue import InvalidInput, Issue, operation_outcome
from gateway.disclosure import Deleted
from gateway.errors import GatewayError, Unauthorized, Unavailable
from gateway.index.records import RecordLocation
from gateway.vault.errors import SealBroken
from gateway.web import addresses
from gateway.web.links import describe, version_path
from gateway.web.media_type import FHIR_JSON
from gateway.web.oauth_error import OAuthError
from gateway.web.request_context import services

# What the router and the server say by themselves: status -> (issue code, sentence).
_HTTP = {
    400: ("structure", "the request cannot be read"),
    404: ("not-found", "there is nothing at this address"),
    405: ("not-supported", "this address does not take this method"),
    408: ("timeout", "the request took too long to arrive"),
    413: ("too-long", "the request is too large"),
    414: ("too-long", "the address is too long"),
    415: ("not-supported", "this kind of body is not read here"),
    416: ("not-supported", "ranges are not served"),
}
_REALM = 'Bearer realm="fhir-anchor"'


class TooManyRequests(GatewayError):
    """429: come back after `retry_after` seconds."""

    status = 429
    code = "throttled"

    def __init__(self, diagnostics: str, *, retry_after: int) -> None:
        super().__init__(diagnostics)
        self.retry_after = retry_after


def answer_errors(app: Flask) -> None:
    """Let every error that leaves a view be answered by this table."""
    app.register_error_handler(Exception, answer)


def answer(error: Exception) -> Response:
    """The HTTP answer to `error`."""
    if isinstance(error, OAuthError):
        return error.response()
    if isinstance(error, InvalidInput):
        return outcome(400 if error.unreadable else 422, error.issues)
    if isinstance(error, LedgerUnreachable):
        return answer(Unavailable("the ledger cannot be reached for now"))
    if isinstance(error, LedgerError):
        return _not_whole(error)
    if isinstance(error, GatewayError):
        if isinstance(error, SealBroken):
            structlog.get_logger().error("alarm: what is stored was altered", exc_info=error)
        elif error.status >= 500:
            structlog.get_logger().warning("refused for now", exc_info=error)
        return _with_headers(outcome(error.status, [error.issue]), error)
    if isinstance(error, HTTPException):
        return _routing(error)
    structlog.get_logger().error("unexpected error", exc_info=error)
    return outcome(500, [Issue("exception", f"the request failed; the log has it under request id {g.request_id}", severity="fatal")])


def _not_whole(error: LedgerError) -> Response:
    """Its sentences name heights and objects, never a content. What lies elsewhere in the ledger is served as before."""
    _alarm(str(error))
    told = f"the ledger here is not whole where this would be read: {error}; an audit of the ledger says what else is"
    return outcome(500, [Issue("exception", told)])


@lru_cache(maxsize=256)  # once a process: whoever asks for the same block again and again does not fill the log
def _alarm(reason: str) -> None:
    structlog.get_logger().error("alarm: the stored ledger is not whole", reason=reason)


def outcome(status: int, issues: list[Issue] | tuple[Issue, ...]) -> Response:
    """An OperationOutcome as an answer."""
    return Response(operation_outcome(issues), status, content_type=FHIR_JSON)


def _with_headers(response: Response, error: GatewayError) -> Response:
    if isinstance(error, Unauthorized):
        # RFC 6750, 3.1: no error code where no token was sent at all.
        sent = request.headers.get("Authorization") is not None
        response.headers["WWW-Authenticate"] = f'{_REALM}, error="invalid_token"' if sent else _REALM
    if isinstance(error, Deleted):
        _name_tombstone(response, error.location)
    if isinstance(error, Unavailable | TooManyRequests):
        response.headers["Retry-After"] = str(error.retry_after)
    return response


def _name_tombstone(response: Response, at: RecordLocation) -> None:
    """Which version says that the resource was deleted, where its committed bytes are, and where their receipt is."""
    reference = f"{at.type}/{services().ids.encode((at.row,))[0]}"
    path = version_path(reference, at.version)
    response.headers["Location"] = f"{addresses.fhir_base()}/{path}"
    describe(response, reference, at.version, at.updated_ms)
    response.headers.add("Link", f'<{addresses.base_url()}/ledger/tombstones/{path}>; rel="describedby"')


def _routing(error: HTTPException) -> Response:
    status = error.code or 500
    code, sentence = _HTTP.get(status, ("exception" if status >= 500 else "invalid", "the request was refused"))
    response = outcome(status, [Issue(code, sentence)])
    if isinstance(error, MethodNotAllowed) and error.valid_methods:
        response.headers["Allow"] = ", ".join(sorted(error.valid_methods))
    return response
