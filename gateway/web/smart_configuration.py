"""GET .well-known/smart-configuration: what a client needs to sign in (https://hl7.org/fhir/smart-app-launch/conformance.html).

Below the FHIR base, where SMART looks for it, and a copy at the root.
"""

import msgspec
from flask import Blueprint, Response

from gateway.web import addresses
from gateway.web.assertion import ALGORITHMS
from gateway.web.authorization import public

smart_configuration = Blueprint("smart_configuration", __name__)


@smart_configuration.get(addresses.FHIR_PATH + "/.well-known/smart-configuration")
@smart_configuration.get("/.well-known/smart-configuration")
@public
def configuration() -> Response:
    told = {
        "token_endpoint": addresses.base_url() + addresses.TOKEN_PATH,
        "token_endpoint_auth_methods_supported": ["private_key_jwt"],
        "token_endpoint_auth_signing_alg_values_supported": list(ALGORITHMS),
        "grant_types_supported": ["client_credentials"],
        "scopes_supported": ["system/*.cruds", "system/*.rs", "patient/*.rs", "patient/Consent.c"],
        "response_types_supported": [],
        "capabilities": ["client-confidential-asymmetric", "permission-v2"],
    }
    return Response(msgspec.json.encode(told), content_type="application/json")
