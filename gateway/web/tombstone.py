"""GET /ledger/tombstones/{type}/{id}/_history/{vid}: the committed bytes of a version that says the resource was deleted.

They are no FHIR resource, so below the FHIR base such a version answers 410. Whoever has them and their receipt can show the deletion.
"""

from flask import Blueprint, Response

from gateway import disclosure
from gateway.errors import NotFound
from gateway.web.authorization import caller, require
from gateway.web.links import describe
from gateway.web.read import version_number
from gateway.web.request_context import services
from gateway.web.resource_type import check_type

tombstone = Blueprint("tombstone", __name__)


@tombstone.get("/ledger/tombstones/<resource_type>/<record_id>/_history/<version_id>")
@require("r")
def read_tombstone(resource_type: str, record_id: str, version_id: str) -> Response:
    check_type(resource_type)
    at = disclosure.locate(services(), caller().party, resource_type, record_id, version_number(version_id))
    if not at.deleted:
        raise NotFound("this version says nothing of a deletion")
    record = disclosure.committed(services(), at)
    answer = Response(record.body, content_type="application/json")
    return describe(answer, f"{resource_type}/{record_id}", record.version, record.updated_ms)
