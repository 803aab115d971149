"""GET /ledger/receipts/{type}/{id}[/_history/{vid}]: the receipt of a record, for whoever may read it (docs/design/receipt.md).

GET /ledger/accesses/{sequence}: the receipt of an access, for its reader and its patient (docs/design/access.md).

With `?from=HEIGHT`, for whoever has pinned that block, the receipt is against it or a later one, and its handovers begin there.
"""

from flask import Blueprint, Response, current_app
from msgspec import Struct

from fhir_adapters.issue import Issue
from gateway import disclosure
from gateway.access_receipts import assemble_access_receipt
from gateway.errors import Unavailable
from gateway.receipt_json import to_json
from gateway.receipts import NotYetFinal, ReceiptAssembler
from gateway.storage.port import ObjectMissing
from gateway.web.authorization import caller, require
from gateway.web.errors import outcome
from gateway.web.proofs import start_asked
from gateway.web.read import version_number
from gateway.web.request_context import ledger, services
from gateway.web.resource_type import check_type

_MAX_SEQUENCE = (1 << 63) - 1

receipts = Blueprint("receipts", __name__)


@receipts.get("/ledger/receipts/<resource_type>/<record_id>")
@require("r")
def current_receipt(resource_type: str, record_id: str) -> Response:
    return _answer(resource_type, record_id, None)


@receipts.get("/ledger/receipts/<resource_type>/<record_id>/_history/<version_id>")
@require("r")
def version_receipt(resource_type: str, record_id: str, version_id: str) -> Response:
    return _answer(resource_type, record_id, version_number(version_id))


@receipts.get(f"/ledger/accesses/<int(max={_MAX_SEQUENCE}):sequence>", defaults={"resource_type": "AuditEvent"})
@require("r")  # an access is an AuditEvent to its patient
def access_receipt(sequence: int, resource_type: str) -> Response:  # noqa: ARG001 - what the scope is checked for
    return _made(assemble_access_receipt(services(), ledger(), caller().party, sequence, start_asked()))


def _answer(resource_type: str, record_id: str, version: int | None) -> Response:
    check_type(resource_type)
    location = disclosure.locate(services(), caller().party, resource_type, record_id, version)
    assembler: ReceiptAssembler = current_app.extensions["receipts"]
    try:
        return _made(assembler.assemble(location, start_asked()))
    except ObjectMissing as error:
        raise Unavailable("the record's container cannot be read for now") from error


def _made(made: Struct | NotYetFinal) -> Response:
    """200 with the receipt; 202 with Retry-After while the ledger has not accepted what it needs."""
    if isinstance(made, NotYetFinal):
        answer = outcome(202, [Issue("informational", made.reason, severity="information")])
        answer.headers["Retry-After"] = str(ledger().genesis.slot_seconds)
        return answer
    return Response(to_json(made), content_type="application/json")
