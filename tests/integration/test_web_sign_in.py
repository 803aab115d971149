"""The sign-in matrix over HTTP: who gets a token, and what a token then opens."""

import base64
import json
import time

import pytest
import web_gateway
from joserfc import jwk
from web_gateway import new_key

from gateway.web.access_token import issue_token
from gateway.web.scopes import parse_scopes

KEY, RSA, STRANGER = new_key("k1"), jwk.RSAKey.generate_key(2048, {"kid": "k2"}), new_key("k1")
HMAC = jwk.OctKey.generate_key(384, {"kid": "k1"})
P256 = new_key("k3", "P-256")


@pytest.fixture(scope="module")
def gateway(tmp_path_factory):
    with web_gateway.gateway(tmp_path_factory.mktemp("home"), jwks=[KEY, RSA, P256]) as running:
        yield running


def assert_refused(answer, error, status):
    assert (answer.status, answer.json["error"]) == (status, error), answer.body
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["content-type"] == "application/json"
    return answer.json["error_description"]


def ask(gateway, key=KEY, *, client_id=None, scope="system/*.cruds", alg="ES384", header=None, **claims):
    client = gateway.client
    return client.sign_in(client.form(client.assertion(key, client_id or gateway.hospital, alg, header, **claims), scope))


@pytest.mark.parametrize(("key", "alg"), [(KEY, "ES384"), (RSA, "RS384")])
def test_a_registered_key_gets_a_short_lived_token(gateway, key, alg):
    answer = ask(gateway, key, alg=alg)
    assert answer.status == 200, answer.body
    assert {**answer.json, "access_token": ...} == {
        "access_token": ...,
        "token_type": "bearer",
        "expires_in": 300,
        "scope": "system/*.cruds",
    }
    assert (answer.headers["cache-control"], answer.headers["pragma"]) == ("no-store", "no-cache")


@pytest.mark.parametrize(
    ("asked", "given"),
    [("system/*.rs", "system/*.rs"), ("system/Patient.r openid", "system/Patient.r"), ("system/Observation.crs", "system/Observation.crs")],
)
def test_an_institution_gets_what_it_asks(gateway, asked, given):
    assert ask(gateway, scope=asked).json["scope"] == given


def test_an_agency_gets_reading_only(gateway):
    assert ask(gateway, client_id=gateway.agency).json["scope"] == "system/*.rs"
    assert_refused(ask(gateway, client_id=gateway.agency, scope="system/Patient.c"), "invalid_scope", 400)


@pytest.mark.parametrize("scope", ["", "system/*.read", "patient/*.rs", "everything"])
def test_scopes_that_are_none_are_refused(gateway, scope):
    assert_refused(ask(gateway, scope=scope), "invalid_scope", 400)


@pytest.mark.parametrize(
    "claims",
    [
        {"exp": int(time.time()) - 10},
        {"exp": int(time.time()) + 3600},
        {"exp": ...},
        {"aud": "https://elsewhere.example/auth/token"},
        {"aud": ...},
        {"sub": "someone-else"},
        {"jti": ...},
        {"nbf": int(time.time()) + 3600},
    ],
)
def test_claims_that_do_not_hold_are_refused(gateway, claims):
    assert_refused(ask(gateway, **claims), "invalid_client", 401)


@pytest.mark.parametrize(("key", "alg"), [(STRANGER, "ES384"), (HMAC, "HS384"), (P256, "ES256"), (RSA, "RS256")])
def test_other_keys_and_algorithms_are_refused(gateway, key, alg):
    assert_refused(ask(gateway, key, alg=alg), "invalid_client", 401)


def test_an_unsigned_assertion_is_refused(gateway):
    head, payload, _ = gateway.client.assertion(KEY, gateway.hospital).split(".")
    none = base64.urlsafe_b64encode(json.dumps({"alg": "none", "kid": "k1"}).encode()).rstrip(b"=").decode()
    for assertion in (f"{none}.{payload}.", f"{head}.{payload}.", f"{none}.{payload}.AAAA", "", "x"):
        assert_refused(gateway.client.sign_in(gateway.client.form(assertion)), "invalid_client", 401)


def test_an_assertion_is_good_once(gateway):
    form = gateway.client.form(gateway.client.assertion(KEY, gateway.hospital))
    assert gateway.client.sign_in(form).status == 200
    assert "jti" in assert_refused(gateway.client.sign_in(form), "invalid_client", 401)


def test_a_jti_of_another_client_is_not_in_the_way(gateway):
    assert ask(gateway, jti="same").status == 200
    assert ask(gateway, client_id=gateway.agency, jti="same").status == 200


def test_an_unknown_and_a_suspended_client_are_refused_alike(gateway):
    unknown = assert_refused(ask(gateway, client_id="nobody-00000000"), "invalid_client", 401)
    suspended = assert_refused(ask(gateway, client_id=gateway.suspended), "invalid_client", 401)
    assert unknown == suspended


def test_a_host_that_is_not_this_machine_proves_no_audience(gateway):
    client = gateway.client
    form = client.form(client.assertion(KEY, gateway.hospital, aud="http://evil.example/auth/token"))
    answer = client.ask("POST", "/auth/token", web_gateway.urlencode(form), Host="evil.example", Content_Type=web_gateway.FORM)
    assert "FHIR_ANCHOR_BASE_URL" in assert_refused(answer, "invalid_client", 401)


@pytest.mark.parametrize(
    ("changed", "error"),
    [
        ({"grant_type": "authorization_code"}, "unsupported_grant_type"),
        ({"grant_type": ...}, "unsupported_grant_type"),
        ({"client_assertion_type": "urn:x"}, "invalid_request"),
        ({"client_assertion_type": ...}, "invalid_request"),
    ],
)
def test_other_grants_are_refused(gateway, changed, error):
    assert_refused(gateway.client.sign_in(gateway.client.form(gateway.client.assertion(KEY, gateway.hospital), **changed)), error, 400)


@pytest.mark.parametrize(
    "body", [b"grant_type=client_credentials&grant_type=x", b"\xff\xfe", b"a" * 70_000, b"&".join([b"a=b"] * 50), b"a"]
)
def test_a_form_that_cannot_be_read_is_refused(gateway, body):
    assert_refused(gateway.client.ask("POST", "/auth/token", body, Content_Type=web_gateway.FORM), "invalid_request", 400)


def test_json_is_no_form(gateway):
    assert_refused(gateway.client.ask("POST", "/auth/token", b"{}", Content_Type="application/json"), "invalid_request", 400)


def patient(gateway, token=None, **headers):
    return gateway.client.ask("GET", "/fhir/Patient/00000000000000000000000000000000", None, token, **headers)


def test_without_a_token_nothing_opens(gateway):
    for headers in ({}, {"Authorization": "Basic eDp5"}, {"Authorization": "Bearer"}, {"Authorization": "Bearer "}):
        answer = patient(gateway, **headers)
        assert answer.status == 401
        assert answer.outcome[0]["code"] == "login"
        assert answer.headers["www-authenticate"].startswith("Bearer ")


def signed(gateway, key=None, audience=None, now=0, client_id=None):
    services = gateway.services
    return issue_token(
        key or services.token_key,
        audience=audience or "urn:fhir-anchor:gateway",
        client_id=client_id or gateway.hospital,
        scopes=parse_scopes("system/*.cruds"),
        jti="1",
        now=int(time.time()) + now,
    )


def test_a_token_that_holds_opens(gateway):
    answer = patient(gateway, signed(gateway))
    assert answer.status == 403
    assert "no such record" in answer.outcome[0]["diagnostics"]


@pytest.mark.parametrize(
    ("made", "code"),
    [
        ({"now": -301}, "expired"),
        ({"key": bytes(32)}, "login"),
        ({"audience": "urn:other"}, "login"),
        ({"client_id": "nobody-00000000"}, "login"),
    ],
)
def test_a_token_that_does_not_hold_opens_nothing(gateway, made, code):
    answer = patient(gateway, signed(gateway, **made))
    assert answer.status == 401
    assert answer.outcome[0]["code"] == code
    assert 'error="invalid_token"' in answer.headers["www-authenticate"]


def test_a_suspended_partys_token_stops_at_once(gateway):
    assert patient(gateway, signed(gateway, client_id=gateway.suspended)).status == 401


def test_an_altered_token_opens_nothing(gateway):
    head, payload, signature = signed(gateway).split(".")
    claims = json.loads(base64.urlsafe_b64decode(payload + "=="))
    more = base64.urlsafe_b64encode(json.dumps(claims | {"sub": gateway.agency}).encode()).rstrip(b"=").decode()
    none = base64.urlsafe_b64encode(b'{"alg":"none","typ":"at+jwt"}').rstrip(b"=").decode()
    for forged in (f"{head}.{more}.{signature}", f"{none}.{payload}.", "x"):
        assert patient(gateway, forged).status == 401


def test_a_scope_for_another_type_or_interaction_is_forbidden(gateway):
    client = gateway.client
    for scope in ("system/Observation.r", "system/Patient.cuds"):
        answer = patient(gateway, client.token(KEY, gateway.hospital, scope))
        assert answer.status == 403
        assert "the token has no scope" in answer.outcome[0]["diagnostics"]


def test_every_route_says_who_may_call_it(gateway):
    app = gateway.app
    for rule in app.url_map.iter_rules():
        access = getattr(app.view_functions[rule.endpoint], "access", None)
        assert access in {"public", "probe", *"cruds"}, rule


def test_a_route_that_says_nothing_is_open_to_nobody(gateway):
    from gateway.web.app import create_app

    app = create_app(gateway.services, gateway.ledger)
    app.add_url_rule("/fhir/forgotten", view_func=lambda: "secret")
    answer = app.test_client().get("/fhir/forgotten", headers={"Authorization": f"Bearer {signed(gateway)}"})
    assert answer.status_code == 403
    assert b"secret" not in answer.data


def test_clients_find_the_token_endpoint(gateway):
    for place in ("/fhir/.well-known/smart-configuration", "/.well-known/smart-configuration"):
        told = gateway.client.ask("GET", place).json
        assert told["token_endpoint"] == gateway.client.url + "/auth/token"
        assert "private_key_jwt" in told["token_endpoint_auth_methods_supported"]
        assert set(told["token_endpoint_auth_signing_alg_values_supported"]) == {"ES384", "RS384"}
