"""GET /fhir/{type}?... and POST /fhir/{type}/_search (http://hl7.org/fhir/R4/http.html#search)."""

from collections.abc import Callable, Sequence

from flask import Blueprint, Response, request
from werkzeug.http import parse_options_header

from gateway.errors import UnsupportedMedia
from gateway.search.parse import Parameter, Search, parse_search
from gateway.web import addresses
from gateway.web.authorization import require
from gateway.web.request_body import request_body
from gateway.web.resource_type import check_type
from gateway.web.searchset import Found, answer, find_records, parameters

_FORM = "application/x-www-form-urlencoded"
_MAX_FORM = 64 * 1024  # bytes

search = Blueprint("search", __name__)


@search.get(addresses.FHIR_PATH + "/<resource_type>")
@require("s")
def search_type(resource_type: str) -> Response:
    return search_for(resource_type, parameters(request.query_string))


@search.post(addresses.FHIR_PATH + "/<resource_type>/_search")
@require("s")
def search_by_form(resource_type: str) -> Response:
    return search_for(resource_type, form_parameters())


def form_parameters() -> list[Parameter]:
    """Of a search by POST: in the body, so that they end in no log on the way; those in the address count as well."""
    if parse_options_header(request.content_type)[0].lower() not in ("", _FORM):
        raise UnsupportedMedia(f"the parameters of a search by POST are {_FORM}")
    return [*parameters(request.query_string), *parameters(request_body(_MAX_FORM))]


def search_for(resource_type: str, given: list[Parameter], find: Callable[[Search, int], Found] = find_records) -> Response:
    """One page of what `find` finds, records if nothing else is said."""
    check_type(resource_type)

    def parse(parameters: Sequence[Parameter], strict: bool) -> Search:  # noqa: FBT001 - as `answer` calls it
        return parse_search(resource_type, parameters, strict=strict)

    return answer(resource_type, given, parse, find)
