"""POST /fhir/{type}: create, and conditional create (http://hl7.org/fhir/R4/http.html#create)."""

import calendar
import time

import structlog
from flask import Blueprint, Response, request

from fhir_adapters.issue import Issue, operation_outcome
from gateway import disclosure
from gateway.errors import GatewayError
from gateway.intake import receive
from gateway.submission import Written
from gateway.web import addresses
from gateway.web.authorization import caller, require
from gateway.web.bundle import REPLAY
from gateway.web.links import describe, version_path
from gateway.web.media_type import FHIR_JSON
from gateway.web.preferences import preferred_return
from gateway.web.request_context import services
from gateway.web.resource_type import check_body_type, check_type
from gateway.web.submitted import submission

_CREATED = Issue("informational", "the resource is stored; its receipt follows when the ledger has accepted it", severity="information")

create = Blueprint("create", __name__)


@create.post(addresses.FHIR_PATH + "/<resource_type>")
@require("c")
def create_resource(resource_type: str) -> Response:
    """201 where something was written, 200 where If-None-Exist met a resource that is there. The client's id is not taken over."""
    check_type(resource_type)
    sent = submission(resource_type)
    check_body_type(sent.body, resource_type)
    accepted = receive(services(), caller().party, sent)
    written = accepted.results[0]
    assert isinstance(written, Written)  # of a single resource, what fails is raised
    answer = Response(_body(written), 200 if written.status == "unchanged" else 201, content_type=FHIR_JSON)
    answer.headers["Location"] = f"{addresses.fhir_base()}/{version_path(written.reference, written.version)}"
    if accepted.replayed:
        answer.headers[REPLAY] = "true"
    return describe(answer, written.reference, written.version, _milliseconds(written.last_updated))


def _body(written: Written) -> bytes:
    wanted = preferred_return(request.headers.get("Prefer"))
    if wanted == "OperationOutcome":
        return operation_outcome([_CREATED])
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
