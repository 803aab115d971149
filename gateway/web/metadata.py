"""GET /fhir/metadata: what this server does, no more (http://hl7.org/fhir/R4/capabilitystatement.html, `kind` instance)."""

import importlib.metadata
from typing import Any

import msgspec
from flask import Blueprint, Response, request

from fhir_adapters.definitions import RESOURCE_TYPES
from gateway.search.parse import search_parameters
from gateway.web import addresses
from gateway.web.authorization import public
from gateway.web.media_type import FHIR_JSON, check_accept

_SAID_ON = "2026-11-23"  # changes when the statement does
_EVERYTHING = "http://hl7.org/fhir/OperationDefinition/Patient-everything"
_SMART_SERVICE = "http://terminology.hl7.org/CodeSystem/restful-security-service"
_OAUTH_URIS = "http://fhir-registry.smarthealthit.org/StructureDefinition/oauth-uris"
_REVOKE = addresses.FHIR_PATH + "/OperationDefinition/Consent-revoke"
_INTERACTIONS = ("create", "read", "vread", "update", "delete", "history-instance", "search-type")
_DOCUMENTATION = (
    "Ids are the gateway's. A PUT by the sender's own id creates or updates what it calls so; Location then has the gateway's id. "
    "Conditions are identifier=system|value among the sender's own resources. A transaction or batch takes POST, PUT and DELETE. "
    "Equal content makes no version: 200, with the outcome unchanged of urn:fhir-anchor:write-outcome. "
    "PATCH is not offered. A request with an Idempotency-Key is done once."
)

metadata = Blueprint("metadata", __name__)


@metadata.get(addresses.FHIR_PATH + "/metadata")
@public
def capabilities() -> Response:
    check_accept(request.accept_mimetypes, request.args.get("_format"))
    return Response(msgspec.json.encode(capability_statement(addresses.base_url())), content_type=FHIR_JSON)


@metadata.get(_REVOKE)
@public
def revoke_definition() -> Response:
    check_accept(request.accept_mimetypes, request.args.get("_format"))
    return Response(msgspec.json.encode(_revoke_definition(addresses.base_url())), content_type=FHIR_JSON)


def capability_statement(base_url: str) -> dict[str, Any]:
    """The CapabilityStatement of a gateway at `base_url`."""
    return {
        "resourceType": "CapabilityStatement",
        "status": "active",
        "date": _SAID_ON,
        "kind": "instance",
        "software": {"name": "fhir-anchor", "version": importlib.metadata.version("fhir-anchor")},
        "implementation": {"description": "A FHIR gateway that can prove what it says", "url": base_url + addresses.FHIR_PATH},
        "fhirVersion": "4.0.1",
        "format": [FHIR_JSON],
        "rest": [
            {
                "mode": "server",
                "security": _security(base_url),
                "resource": [_resource(kind, base_url) for kind in sorted(RESOURCE_TYPES)],
                "interaction": [{"code": "transaction"}, {"code": "batch"}],
                "documentation": _DOCUMENTATION,
            }
        ],
    }


_SEARCH_TYPES = {
    "ids": "token",
    "identifiers": "token",
    "codes": "token",
    "categories": "token",
    "patients": "reference",
    "actors": "reference",
    "dates": "date",
}
_OF_TYPE = {
    "Consent": "A patient's is a grant: created by the patient, ended by $revoke, searched and read by the patient and by whom it names. "
    "Whoever else writes one writes a record, which permits nothing and which no search of Consent finds. actor is "
    "actor:identifier=urn:fhir-anchor:client-id|ID.",
    "AuditEvent": "A patient finds each access to the own archive by a consent, the last first. For others it is a record like any other.",
}


def _resource(kind: str, base_url: str) -> dict[str, Any]:
    operations = {
        "Patient": {"name": "everything", "definition": _EVERYTHING},
        "Consent": {"name": "revoke", "definition": base_url + _REVOKE},
    }
    return {
        "type": kind,
        "interaction": [{"code": code} for code in _INTERACTIONS],
        "searchParam": [{"name": name, "type": _SEARCH_TYPES[field]} for name, (field, _) in sorted(search_parameters(kind).items())],
        "versioning": "versioned-update",
        "readHistory": True,
        "updateCreate": True,
        "conditionalCreate": True,
        "conditionalRead": "not-match",
        "conditionalUpdate": True,
        "conditionalDelete": "single",
        "referencePolicy": ["literal", "local", "enforced"],
        **({"documentation": _OF_TYPE[kind]} if kind in _OF_TYPE else {}),
        **({"operation": [operations[kind]]} if kind in operations else {}),
    }


def _security(base_url: str) -> dict[str, Any]:
    token = {"url": "token", "valueUri": base_url + addresses.TOKEN_PATH}
    return {
        "extension": [{"url": _OAUTH_URIS, "extension": [token]}],
        "cors": False,
        "service": [{"coding": [{"system": _SMART_SERVICE, "code": "SMART-on-FHIR"}]}],
        "description": "SMART Backend Services: client_credentials with private_key_jwt (ES384, RS384)",
    }


def _revoke_definition(base_url: str) -> dict[str, Any]:
    """What `$revoke` is (http://hl7.org/fhir/R4/operationdefinition.html)."""
    return {
        "resourceType": "OperationDefinition",
        "id": "Consent-revoke",
        "url": base_url + _REVOKE,
        "name": "ConsentRevoke",
        "status": "active",
        "kind": "operation",
        "date": _SAID_ON,
        "affectsState": True,
        "description": "End a Consent of one's own for good: from the answer on nothing is disclosed by it. Done twice it ends once.",
        "code": "revoke",
        "resource": ["Consent"],
        "system": False,
        "type": False,
        "instance": True,
        "parameter": [{"name": "return", "use": "out", "min": 1, "max": "1", "documentation": "The Consent, inactive.", "type": "Consent"}],
    }
