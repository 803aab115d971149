"""DELETE /fhir/{type}/{id} and DELETE /fhir/{type}?search: delete, and conditional delete of one (http://hl7.org/fhir/R4/http.html#delete)."""

from flask import Blueprint, Response

from gateway.web import addresses, submitted
from gateway.web.authorization import require
from gateway.web.written import remove

delete = Blueprint("delete", __name__)


@delete.delete(addresses.FHIR_PATH + "/<resource_type>/<record_id>")
@require("d")
def delete_resource(resource_type: str, record_id: str) -> Response:
    """204. ETag names the version that says so; earlier ones can still be read by their version."""
    return remove(submitted.deletion(resource_type, record_id))


@delete.delete(addresses.FHIR_PATH + "/<resource_type>")
@require("d")
def delete_found(resource_type: str) -> Response:
    """The one resource that the search finds; 204 where it finds none, 412 where it finds several."""
    return remove(submitted.deletion(resource_type))
