"""Consent for the patient who owns the archive (http://hl7.org/fhir/R4/consent.html): POST grants, GET reads, `$revoke` ends it for good.

Whom it names as grantee reads it, too. What others write as Consent is a record like any other and permits nothing, so they are passed on
to the ordinary interactions; a search finds grants alone.
"""

import msgspec
from flask import Blueprint, Response, request

from gateway import granting, stored_consents
from gateway.errors import NotSupported
from gateway.index.parties import PartyRole
from gateway.search.parse import Search
from gateway.stored_consents import StoredConsent
from gateway.web import addresses
from gateway.web.authorization import caller, require
from gateway.web.bundle import REPLAY
from gateway.web.create import create_resource
from gateway.web.links import dated, version_path
from gateway.web.media_type import FHIR_JSON, check_accept, check_content_type
from gateway.web.preferences import preferred_return
from gateway.web.read import read_current, read_version, version_number
from gateway.web.request_body import request_body
from gateway.web.request_context import services
from gateway.web.search import form_parameters, search_for
from gateway.web.searchset import Found, parameters

_PATH = addresses.FHIR_PATH + "/Consent"
_TYPE = {"resource_type": "Consent"}  # what the scopes are checked for

consent = Blueprint("consent", __name__)


@consent.post(_PATH, defaults=_TYPE)
@require("c")
def create_consent(resource_type: str) -> Response:
    """201 once the grant holds; 200 for the same Consent once more while it stands."""
    if not _is_patient():
        return create_resource(resource_type)
    check_accept(request.accept_mimetypes, request.args.get("_format"))
    check_content_type(request.content_type)
    if "If-None-Exist" in request.headers:
        raise NotSupported("a consent is not granted on a condition; sent twice it is granted once anyway")
    stored = granting.grant(services(), caller().party, request_body())
    wanted = preferred_return(request.headers.get("Prefer"))
    answer = _described(Response(stored.body if wanted == "representation" else b"", 201 if stored.is_new else 200), stored)
    answer.headers["Location"] = f"{addresses.fhir_base()}/{version_path(f'Consent/{stored.id}', stored.version)}"
    if not stored.is_new:
        answer.headers[REPLAY] = "true"
    return answer


@consent.get(_PATH + "/<record_id>", defaults=_TYPE)
@require("r")
def read_consent(resource_type: str, record_id: str) -> Response:
    stored = _own(record_id, None)
    return _described(Response(stored.body), stored) if stored else read_current(resource_type, record_id)


@consent.get(_PATH + "/<record_id>/_history/<version_id>", defaults=_TYPE)
@require("r")
def read_consent_version(resource_type: str, record_id: str, version_id: str) -> Response:
    stored = _own(record_id, version_number(version_id))
    return _described(Response(stored.body), stored) if stored else read_version(resource_type, record_id, version_id)


@consent.post(_PATH + "/<record_id>/$revoke", defaults=_TYPE)
@require("c")  # no other update of a Consent is a patient's, so there is no scope for one
def revoke_consent(resource_type: str, record_id: str) -> Response:  # noqa: ARG001 - what the scope is checked for
    """200 with the inactive Consent: from the commit before this answer on, nothing is disclosed by it."""
    check_accept(request.accept_mimetypes, request.args.get("_format"))
    stored = granting.revoke(services(), caller().party, record_id)
    return _described(Response(stored.body), stored)


@consent.get(_PATH, defaults=_TYPE)
@require("s")
def search_consents(resource_type: str) -> Response:
    """What the caller granted, and what was granted to it, the first first."""
    return search_for(resource_type, parameters(request.query_string), _find)


@consent.post(_PATH + "/_search", defaults=_TYPE)
@require("s")
def search_consents_by_form(resource_type: str) -> Response:
    return search_for(resource_type, form_parameters(), _find)


def _find(search: Search, after: int) -> Found:
    found, following = stored_consents.find(services(), caller().party, search, after)
    return Found([_entry(stored) for stored in found], following)


def _entry(stored: StoredConsent) -> dict[str, object]:
    full_url = f"{addresses.fhir_base()}/Consent/{stored.id}"
    return {"fullUrl": full_url, "resource": msgspec.Raw(stored.body), "search": {"mode": "match"}}


def _own(record_id: str, version: int | None) -> StoredConsent | None:
    """The grant of this id, if the caller granted it or is whom it names."""
    check_accept(request.accept_mimetypes, request.args.get("_format"))
    return stored_consents.read(services(), caller().party, record_id, version)


def _is_patient() -> bool:
    return caller().party.role is PartyRole.PATIENT


def _described(answer: Response, stored: StoredConsent) -> Response:
    answer.content_type = FHIR_JSON
    return dated(answer, stored.version, stored.updated_ms)
