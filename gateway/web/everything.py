"""GET /fhir/Patient/{id}/$everything: all of a patient's records that the caller may have, page by page
(http://hl7.org/fhir/R4/patient-operation-everything.html).

With each page comes, beyond `_count`, what its records refer to of the institution's own: practitioners, organizations, locations.
"""

from collections.abc import Sequence
from urllib.parse import quote

from flask import Blueprint, Response, request

from fhir_adapters.definitions import RESOURCE_TYPES
from gateway.search.parse import Parameter, Search, parse_everything
from gateway.web import addresses
from gateway.web.authorization import require
from gateway.web.searchset import answer, parameters

everything = Blueprint("everything", __name__)


@everything.get(addresses.FHIR_PATH + "/Patient/<record_id>/$everything")
@require("s")  # no type stands in the address: it takes a scope for all of them
def patient_everything(record_id: str) -> Response:
    """`record_id` is the gateway's id of the Patient, or the sender's own. `_type`, `start`, `end`, `_count`."""

    def parse(given: Sequence[Parameter], strict: bool) -> Search:  # noqa: FBT001 - as `answer` calls it
        return parse_everything(f"Patient/{record_id}", RESOURCE_TYPES, given, strict=strict)

    return answer(f"Patient/{quote(record_id, safe='')}/$everything", parameters(request.query_string), parse)
