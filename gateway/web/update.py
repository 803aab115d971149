"""PUT /fhir/{type}/{id} and PUT /fhir/{type}?search: update, and conditional update (http://hl7.org/fhir/R4/http.html#update)."""

from flask import Blueprint, Response

from gateway.web import addresses, submitted
from gateway.web.authorization import require
from gateway.web.written import store

update = Blueprint("update", __name__)


@update.put(addresses.FHIR_PATH + "/<resource_type>/<record_id>")
@require("u")
def update_resource(resource_type: str, record_id: str) -> Response:
    """200, or 201 where it is new here. `record_id` is the gateway's id, or the sender's own: Location then has the gateway's.

    The same content again is 200 and no new version.
    """
    return store(submitted.write("PUT", resource_type, record_id), existing=200)


@update.put(addresses.FHIR_PATH + "/<resource_type>")
@require("u")
def update_found(resource_type: str) -> Response:
    """The one resource that the search finds; a new one where it finds none, 412 where it finds several."""
    return store(submitted.write("PUT", resource_type), existing=200)
