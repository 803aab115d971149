"""GET /ledger/receipts/{type}/{id}[/_history/{vid}]: the receipt of a record, for whoever may read it (docs/design/receipt.md)."""

from flask import Blueprint, Response, current_app

from fhir_adapters.issue import Issue
from gateway import disclosure, receipt_format
from gateway.errors import Unavailable
from gateway.receipts import NotYetFinal, ReceiptAssembler
from gateway.storage.port import ObjectMissing
from gateway.web.authorization import caller, require
from gateway.web.errors import outcome
from gateway.web.read import version_number
from gateway.web.request_context import ledger, services
from gateway.web.resource_type import check_type

receipts = Blueprint("receipts", __name__)


@receipts.get("/ledger/receipts/<resource_type>/<record_id>")
@require("r")
def current_receipt(resource_type: str, record_id: str) -> Response:
    return _answer(resource_type, record_id, None)


@receipts.get("/ledger/receipts/<resource_type>/<record_id>/_history/<version_id>")
@require("r")
def version_receipt(resource_type: str, record_id: str, version_id: str) -> Response:
    return _answer(resource_type, record_id, version_number(version_id))


def _answer(resource_type: str, record_id: str, version: int | None) -> Response:
    """200 with the receipt; 202 with Retry-After while the ledger has not accepted what it needs."""
    check_type(resource_type)
    location = disclosure.locate(services(), caller().party, resource_type, record_id, version)
    assembler: ReceiptAssembler = current_app.extensions["receipts"]
    try:
        made = assembler.assemble(location)
    except ObjectMissing as error:
        raise Unavailable("the record's container cannot be read for now") from error
    if isinstance(made, NotYetFinal):
        answer = outcome(202, [Issue("informational", made.reason, severity="information")])
        answer.headers["Retry-After"] = str(ledger().genesis.slot_seconds)
        return answer
    return Response(receipt_format.to_json(made), content_type="application/json")
