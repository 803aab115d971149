"""AuditEvent for the patient: who was given what of the own archive (http://hl7.org/fhir/R4/auditevent.html, docs/design/access.md).

What institutions write as AuditEvent is a record like any other, so that what others ask for is passed on to the ordinary interactions.
"""

import msgspec
from flask import Blueprint, Response, request

from gateway.audit_events import LoggedEvent, find_audit_events, is_number, read_audit_event
from gateway.index.parties import PartyRole
from gateway.search.parse import Parameter, Search
from gateway.web import addresses
from gateway.web.authorization import caller, require
from gateway.web.media_type import FHIR_JSON, check_accept
from gateway.web.read import read_current
from gateway.web.request_context import services
from gateway.web.search import form_parameters, search_for
from gateway.web.searchset import Found, parameters

_PATH = addresses.FHIR_PATH + "/AuditEvent"
_TYPE = {"resource_type": "AuditEvent"}  # what the scopes are checked for

audit_event = Blueprint("audit_event", __name__)


@audit_event.get(_PATH, defaults=_TYPE)
@require("s")
def search_audit_events(resource_type: str) -> Response:
    """The last first. `patient`, `date`, `_id`, `_count`."""
    return _answer(resource_type, parameters(request.query_string))


@audit_event.post(_PATH + "/_search", defaults=_TYPE)
@require("s")
def search_audit_events_by_form(resource_type: str) -> Response:
    return _answer(resource_type, form_parameters())


@audit_event.get(_PATH + "/<record_id>", defaults=_TYPE)
@require("r")
def read_one(resource_type: str, record_id: str) -> Response:
    """An access by its number, whoever asks: to all but its patient it is what no one has."""
    if not is_number(record_id):
        return read_current(resource_type, record_id)
    check_accept(request.accept_mimetypes, request.args.get("_format"))
    event = read_audit_event(services(), caller().party, int(record_id))
    answer = Response(msgspec.json.encode(event.resource), content_type=FHIR_JSON)
    answer.headers["Link"] = f'<{_receipt(event)}>; rel="receipt"'
    return answer


def _answer(resource_type: str, given: list[Parameter]) -> Response:
    if caller().party.role is PartyRole.PATIENT:
        return search_for(resource_type, given, _find)
    return search_for(resource_type, given)


def _find(search: Search, below: int) -> Found:
    found, following = find_audit_events(services(), caller().party, search, below)
    return Found([_entry(event) for event in found], following)


def _entry(event: LoggedEvent) -> dict[str, object]:
    return {
        "fullUrl": f"{addresses.fhir_base()}/AuditEvent/{event.sequence}",
        "link": [{"relation": "receipt", "url": _receipt(event)}],
        "resource": event.resource,
        "search": {"mode": "match"},
    }


def _receipt(event: LoggedEvent) -> str:
    return f"{addresses.base_url()}/ledger/accesses/{event.sequence}"
