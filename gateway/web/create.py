"""POST /fhir/{type}: create, and conditional create (http://hl7.org/fhir/R4/http.html#create)."""

from flask import Blueprint, Response

from gateway.web import addresses, submitted
from gateway.web.authorization import require
from gateway.web.written import store

create = Blueprint("create", __name__)


@create.post(addresses.FHIR_PATH + "/<resource_type>")
@require("c")
def create_resource(resource_type: str) -> Response:
    """201 where something was written, 200 where If-None-Exist met a resource that is there. The client's id is not taken over."""
    return store(submitted.write("POST", resource_type), existing=201)
