"""Who may call what: every route declares it, a route that declares nothing is reachable by nobody.

`@public` needs no token, `@probe` neither, and it answers where another home took this one over, too. `@require("r")` needs a token whose
scopes allow that interaction (SMART's letters c r u d s) on the resource type of the path, or on all types where the path names none. The
check runs before the view, in one place.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import structlog
from flask import Flask, current_app, g, request

from gateway import tenure
from gateway.errors import Forbidden, Unauthorized
from gateway.index.parties import Party
from gateway.web import addresses
from gateway.web.access_token import AccessToken, TokenExpired, TokenRefused, read_token
from gateway.web.request_context import services

View = TypeVar("View", bound=Callable[..., Any])
PUBLIC, PROBE = "public", "probe"


@dataclass(frozen=True, slots=True)
class Caller:
    """Who is asking, by a token that holds: a party that is active now, and what the token lets it do."""

    party: Party
    token: AccessToken


def public(view: View) -> View:
    """Declare that the route answers anyone."""
    view.__dict__["access"] = PUBLIC
    return view


def probe(view: View) -> View:
    """Declare that the route answers anyone, whatever state this gateway is in."""
    view.__dict__["access"] = PROBE
    return view


def require(interaction: str) -> Callable[[View], View]:
    """Declare that the route needs a token that allows `interaction`, one of c r u d s."""
    assert interaction in "cruds"

    def declare(view: View) -> View:
        view.__dict__["access"] = interaction
        return view

    return declare


def caller() -> Caller:
    """The caller of this request; only on routes that require a scope."""
    found = g.caller
    assert isinstance(found, Caller)
    return found


def enforce(app: Flask) -> None:
    """Check every request against its route's declaration before the view runs."""
    app.before_request(_check)


def _check() -> None:
    if request.endpoint is None:  # no such address, or not with this method: answered as such, and nothing runs
        return
    access = getattr(current_app.view_functions[request.endpoint], "access", None)
    if access == PROBE:
        return
    if (taken := tenure.told(services().settings.home)) is not None:
        raise tenure.TakenOver(taken)
    if access == PUBLIC:
        return
    if access is None:
        raise Forbidden("this address is open to nobody")
    g.caller = authenticate(request.headers.get("Authorization"))
    structlog.contextvars.bind_contextvars(client_id=g.caller.party.client_id)
    resource_type = str((request.view_args or {}).get("resource_type", "*"))
    if not any(scope.allows(access, resource_type) for scope in g.caller.token.scopes):
        raise Forbidden(f"the token has no scope for this: system/{resource_type}.{access}")


def authenticate(header: str | None) -> Caller:
    """The caller that the Authorization header proves. Raises Unauthorized."""
    scheme, _, token = (header or "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise Unauthorized("sign in: send a bearer token from the token endpoint")
    try:
        read = read_token(services().token_key, token.strip(), audience=addresses.token_audience(), now=int(services().clock()))
    except TokenExpired as error:
        raise Unauthorized(str(error), code="expired") from error
    except TokenRefused as error:
        raise Unauthorized(str(error)) from error
    party = services().parties.by_client_id(read.client_id)
    if party is None or not party.active:
        raise Unauthorized("this party is not active here")
    return Caller(party, read)
