"""POST /auth/token: SMART Backend Services, `client_credentials` with an assertion (https://hl7.org/fhir/smart-app-launch/backend-services.html)."""

from collections.abc import Mapping
from urllib.parse import parse_qs

import msgspec
import structlog
from flask import Blueprint, Response, request

from fhir_adapters.issue import InvalidInput
from gateway.errors import TooLarge, UnsupportedMedia
from gateway.index.parties import PartyRole
from gateway.party_check import verify_standing
from gateway.web import addresses
from gateway.web.access_token import LIFETIME, issue_token
from gateway.web.assertion import UNKNOWN_KEY, AssertionRefused, Claims, claimed_client_id, verify_assertion
from gateway.web.authorization import public
from gateway.web.oauth_error import NO_STORE, OAuthError
from gateway.web.request_body import request_body
from gateway.web.request_context import services
from gateway.web.roles import scopes_of
from gateway.web.scopes import Scope, granted, parse_scopes

ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_MAX_FORM = 64 * 1024  # bytes
_FORM = "application/x-www-form-urlencoded"

token = Blueprint("token", __name__)


@token.post(addresses.TOKEN_PATH)
@public
def give_token() -> Response:
    """A bearer token for the client that the assertion proves, with what of the asked scopes its role may have."""
    try:
        given = _given(_form())
    except OAuthError as error:
        services().metrics.sign_in(error.error)
        raise
    services().metrics.sign_in("granted")
    return given


def _given(form: Mapping[str, str]) -> Response:
    if form.get("grant_type") != "client_credentials":
        raise OAuthError("unsupported_grant_type", "grant_type must be client_credentials")
    if form.get("client_assertion_type") != ASSERTION_TYPE:
        raise OAuthError("invalid_request", f"client_assertion_type must be {ASSERTION_TYPE}")
    claims, role = _authenticated(form.get("client_assertion", ""), now=int(services().clock()))
    scopes = granted(parse_scopes(form.get("scope", "")), scopes_of(role))
    if not scopes:
        raise OAuthError("invalid_scope", "none of the scopes asked for is one this client may have, such as system/*.rs")
    structlog.contextvars.bind_contextvars(client_id=claims.client_id)
    return Response(_token_body(claims, scopes), headers=NO_STORE, content_type="application/json")


def _token_body(claims: Claims, scopes: tuple[Scope, ...]) -> bytes:
    given = issue_token(
        services().token_key,
        audience=addresses.token_audience(),
        client_id=claims.client_id,
        scopes=scopes,
        jti=services().random(16).hex(),
        now=int(services().clock()),
    )
    return msgspec.json.encode({"access_token": given, "token_type": "bearer", "expires_in": LIFETIME, "scope": " ".join(map(str, scopes))})


def _form() -> dict[str, str]:
    """The form's parameters; none may come twice (RFC 6749, 3.2)."""
    if request.mimetype != _FORM:
        raise OAuthError("invalid_request", f"the request must be {_FORM}")
    try:
        sent = request_body(_MAX_FORM)
        fields = parse_qs(sent.decode("ascii"), strict_parsing=bool(sent), max_num_fields=32)
    except (ValueError, InvalidInput, TooLarge, UnsupportedMedia) as error:
        raise OAuthError("invalid_request", "the form cannot be read") from error
    if any(len(values) > 1 for values in fields.values()):
        raise OAuthError("invalid_request", "a parameter comes twice")
    return {name: values[0] for name, values in fields.items()}


def _authenticated(assertion: str, *, now: int) -> tuple[Claims, PartyRole]:
    """Who signed the assertion, and its role. An unknown or suspended client is refused in the words for a key that is not registered."""
    expected = addresses.token_url()
    if expected is None:
        raise OAuthError("invalid_client", "this gateway has no base URL configured (FHIR_ANCHOR_BASE_URL), so no aud can be checked")
    try:
        client_id = claimed_client_id(assertion)
        party = services().parties.by_client_id(client_id)
        if party is None or not party.active:
            raise AssertionRefused(UNKNOWN_KEY)
        claims = verify_assertion(assertion, client_id=client_id, jwks=party.jwks, token_url=expected, now=now)
    except AssertionRefused as error:
        raise OAuthError("invalid_client", str(error)) from error
    verify_standing(services(), party)
    if not services().parties.claim_jti(client_id, claims.jti, claims.expires_at):
        raise OAuthError("invalid_client", "jti was used before")
    return claims, party.role
