"""GET /fhir/{type}/{id}/_history: all versions of one resource, newest first (http://hl7.org/fhir/R4/http.html#history).

Each live version stands in its entry as the committed bytes, verbatim; a deletion is an entry without a resource.
"""

import msgspec
from flask import Blueprint, Response, request

from fhir_adapters.issue import InvalidInput, Issue
from gateway import disclosure
from gateway.disclosure import Disclosed
from gateway.errors import NotSupported
from gateway.submission import instant
from gateway.web import addresses
from gateway.web.accesses import name_accesses
from gateway.web.authorization import caller, require
from gateway.web.links import etag, receipt_url, version_path
from gateway.web.media_type import FHIR_JSON, check_accept
from gateway.web.purpose import stated_purpose
from gateway.web.request_context import services
from gateway.web.resource_type import check_type

USUAL_COUNT, MOST = 20, 100  # entries of a page
_BEFORE = "_before"  # ours, in next links: the version that the page before ended with

history = Blueprint("history", __name__)


@history.get(addresses.FHIR_PATH + "/<resource_type>/<record_id>/_history")
@require("r")
def history_of_resource(resource_type: str, record_id: str) -> Response:
    check_type(resource_type)
    check_accept(request.accept_mimetypes, request.args.get("_format"))
    if not {"_since", "_at", "_list"}.isdisjoint(request.args):
        raise NotSupported("a history is given whole, page by page: _since, _at and _list are not known here")
    count = min(_number("_count") or USUAL_COUNT, MOST)
    before = _number(_BEFORE)
    reader = caller().party
    released, following = disclosure.history(
        services(), reader, resource_type, record_id, before=before, limit=count, purpose=stated_purpose(reader)
    )
    reference = f"{resource_type}/{record_id}"
    page = {
        "resourceType": "Bundle",
        "type": "history",
        "link": _links(reference, count, before, following),
        **({"entry": [_entry(reference, record) for record in released.records]} if released.records else {}),
    }
    return name_accesses(Response(msgspec.json.encode(page), content_type=FHIR_JSON), released.accesses)


def _links(reference: str, count: int, before: int | None, following: int | None) -> list[dict[str, str]]:
    address = f"{addresses.fhir_base()}/{reference}/_history?_count={count}"
    links = [{"relation": "self", "url": address if before is None else f"{address}&{_BEFORE}={before}"}]
    return links if following is None else [*links, {"relation": "next", "url": f"{address}&{_BEFORE}={following}"}]


def _entry(reference: str, record: Disclosed) -> dict[str, object]:
    base, at = addresses.base_url(), record.location
    body = {} if at.deleted else {"resource": msgspec.Raw(record.body)}
    method, address = ("DELETE", reference) if at.deleted else ("POST", at.type) if at.version == 1 else ("PUT", reference)
    status = "204 No Content" if at.deleted else "201 Created" if at.version == 1 else "200 OK"
    told = {"status": status, "location": version_path(reference, at.version), "etag": etag(at.version)}
    return {
        "fullUrl": f"{base}{addresses.FHIR_PATH}/{reference}",
        "link": [{"relation": "receipt", "url": receipt_url(base, reference, at.version)}],
        **body,
        "request": {"method": method, "url": address},
        "response": told | {"lastModified": instant(at.updated_ms)},
    }


def _number(parameter: str) -> int | None:
    """A parameter that must be a number, one at least; None where it is not given. `_count=0` asks for a count we do not give."""
    given = request.args.get(parameter)
    if given is None:
        return None
    if not (given.isascii() and given.isdigit() and int(given[:12]) > 0 and len(given) <= 10):
        raise InvalidInput([Issue("value", f"{parameter} must be a number from 1 to 9999999999")], unreadable=True)
    return int(given)
