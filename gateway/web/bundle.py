"""POST /fhir: a transaction, a batch, or a collection, document or message as a release (http://hl7.org/fhir/R4/http.html#transaction)."""

from http import HTTPStatus

import msgspec
from flask import Blueprint, Response

from fhir_adapters.issue import operation_outcome
from gateway.intake import receive
from gateway.submission import UNCHANGED, Accepted, Failed, Written
from gateway.web import addresses, submitted
from gateway.web.authorization import caller, require
from gateway.web.links import etag, receipt_url, version_path
from gateway.web.media_type import FHIR_JSON
from gateway.web.request_context import services

REPLAY = "Idempotent-Replay"
_NO_CONTENT = "204 No Content"
_RESPONSE_STATUS = {
    "created": "201 Created",
    "updated": "200 OK",
    "unchanged": "200 OK",
    "deleted": _NO_CONTENT,
    "absent": _NO_CONTENT,
}

bundle = Blueprint("bundle", __name__)


@bundle.post(addresses.FHIR_PATH)
@require("c")
def submit() -> Response:
    """All of a transaction or release, or none of it; of a batch what can be taken. The token must allow creating all types."""
    accepted = receive(services(), caller().party, submitted.bundle())
    answer = Response(response_bundle(accepted, addresses.base_url()), 200, content_type=FHIR_JSON)
    if accepted.replayed:
        answer.headers[REPLAY] = "true"
    return answer


def response_bundle(accepted: Accepted, base_url: str) -> bytes:
    """The Bundle that answers, one entry for each that was sent, in their order; each written one names its receipt."""
    kind = "batch-response" if accepted.bundle_type == "batch" else "transaction-response"
    entries = [_failed(r) if isinstance(r, Failed) else _written(r, base_url) for r in accepted.results]
    return msgspec.json.encode({"resourceType": "Bundle", "type": kind, **({"entry": entries} if entries else {})})


def _written(result: Written, base_url: str) -> dict[str, object]:
    if not result.version:
        return {"response": {"status": _NO_CONTENT}}
    told = {"outcome": msgspec.Raw(operation_outcome([UNCHANGED]))} if result.status == "unchanged" else {}
    return {
        "fullUrl": f"{base_url}{addresses.FHIR_PATH}/{result.reference}",
        "link": [{"relation": "receipt", "url": receipt_url(base_url, result.reference, result.version)}],
        "response": {
            "status": _RESPONSE_STATUS[result.status],
            "location": version_path(result.reference, result.version),
            "etag": etag(result.version),
            "lastModified": result.last_updated,
            **told,
        },
    }


def _failed(result: Failed) -> dict[str, object]:
    status = HTTPStatus(result.status)
    return {"response": {"status": f"{status.value} {status.phrase}", "outcome": msgspec.Raw(operation_outcome(result.issues))}}
