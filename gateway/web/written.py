"""How a write of one resource is answered: where it is now, as which version, and with the body that the client would like (`Prefer`)."""

import calendar
import time

import structlog
from flask import Response, request

from fhir_adapters.issue import Issue, operation_outcome
from gateway import disclosure
from gateway.errors import GatewayError
from gateway.intake import receive
from gateway.submission import UNCHANGED, Accepted, Submission, Written
from gateway.web import addresses
from gateway.web.authorization import caller
from gateway.web.bundle import REPLAY
from gateway.web.links import describe, version_path
from gateway.web.media_type import FHIR_JSON
from gateway.web.preferences import preferred_return
from gateway.web.request_context import services

_STORED = Issue("informational", "the resource is stored; its receipt follows when the ledger has accepted it", severity="information")
_DELETED = Issue("informational", "the resource is not there any more; what says so has a receipt, too", severity="information")


def store(sent: Submission, *, existing: int) -> Response:
    """201 where the resource is new, or lives again; `existing` (a status) where it was there."""
    accepted, written = _received(sent)
    status = 201 if written.status == "created" else 200 if written.status == "unchanged" else existing
    answer = Response(_body(written), status, content_type=FHIR_JSON)
    answer.headers["Location"] = f"{addresses.fhir_base()}/{version_path(written.reference, written.version)}"
    return _described(answer, accepted, written)


def remove(sent: Submission) -> Response:
    """204, or 200 with an OperationOutcome for who prefers one, whether or not there was something to delete."""
    accepted, written = _received(sent)
    if preferred_return(request.headers.get("Prefer")) == "OperationOutcome":
        answer = Response(operation_outcome([_DELETED]), 200, content_type=FHIR_JSON)
    else:
        answer = Response(status=204)
    return _described(answer, accepted, written) if written.version else answer


def _received(sent: Submission) -> tuple[Accepted, Written]:
    accepted = receive(services(), caller().party, sent)
    written = accepted.results[0]
    assert isinstance(written, Written)  # of a single resource, what fails is raised
    return accepted, written


def _described(answer: Response, accepted: Accepted, written: Written) -> Response:
    if accepted.replayed:
        answer.headers[REPLAY] = "true"
    return describe(answer, written.reference, written.version, _milliseconds(written.last_updated))


def _body(written: Written) -> bytes:
    wanted = preferred_return(request.headers.get("Prefer"))
    if wanted == "OperationOutcome":
        return operation_outcome([UNCHANGED if written.status == "unchanged" else _STORED])
    if wanted == "representation":
        return _representation(written)
    return b""


def _representation(written: Written) -> bytes:
    """The committed bytes. A preference must not turn a write that is durable into an error, so without them the answer is minimal."""
    resource_type, _, id_ = written.reference.partition("/")
    try:
        return disclosure.read(services(), caller().party, resource_type, id_, written.version).body
    except GatewayError as error:
        structlog.get_logger().warning("the representation could not be read back", exc_info=error)
        return b""


def _milliseconds(instant: str) -> int:
    """Of an instant of ours, whole seconds: 2026-11-23T04:25:29.123Z."""
    return calendar.timegm(time.strptime(instant[:19], "%Y-%m-%dT%H:%M:%S")) * 1000
