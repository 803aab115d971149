import pytest
from joserfc import jwk, jwt

from gateway.web.access_token import TokenExpired, TokenRefused, issue_token, read_token
from gateway.web.scopes import Scope

KEY, OTHER = bytes(range(32)), bytes(32)
NOW = 1_800_000_000
GIVEN = {"audience": "urn:gw", "client_id": "hospital-1", "scopes": (Scope("*", "cruds"),), "jti": "t1", "now": NOW}


def test_a_token_says_what_it_was_given():
    read = read_token(KEY, issue_token(KEY, **GIVEN), audience="urn:gw", now=NOW + 299)
    assert (read.client_id, read.scopes, read.jti, read.expires_at) == ("hospital-1", (Scope("*", "cruds"),), "t1", NOW + 300)


def test_a_token_lives_five_minutes():
    with pytest.raises(TokenExpired):
        read_token(KEY, issue_token(KEY, **GIVEN), audience="urn:gw", now=NOW + 300)


@pytest.mark.parametrize("token", ["", "x", "a.b.c", "eyJhbGciOiJub25lIn0.e30."])
def test_garbage_is_refused(token):
    with pytest.raises(TokenRefused):
        read_token(KEY, token, audience="urn:gw", now=NOW)


def test_another_gateways_token_is_refused():
    with pytest.raises(TokenRefused):
        read_token(OTHER, issue_token(KEY, **GIVEN), audience="urn:gw", now=NOW)
    with pytest.raises(TokenRefused):
        read_token(KEY, issue_token(KEY, **GIVEN), audience="urn:other", now=NOW)


@pytest.mark.parametrize("header", [{"alg": "HS256", "typ": "JWT"}, {"alg": "HS384", "typ": "at+jwt"}])
def test_a_jwt_of_another_kind_under_the_same_key_is_refused(header):
    claims = {"iss": "urn:gw", "aud": "urn:gw", "sub": "h", "scope": "system/*.cruds", "jti": "1", "exp": NOW + 100}
    forged = jwt.encode(header, claims, jwk.OctKey.import_key(KEY), algorithms=[header["alg"]])
    with pytest.raises(TokenRefused):
        read_token(KEY, forged, audience="urn:gw", now=NOW)


@pytest.mark.parametrize("missing", ["iss", "aud", "sub", "scope", "jti", "exp"])
def test_a_claim_that_is_missing_is_refused(missing):
    claims = {"iss": "urn:gw", "aud": "urn:gw", "sub": "h", "scope": "system/*.cruds", "jti": "1", "exp": NOW + 100}
    del claims[missing]
    forged = jwt.encode({"alg": "HS256", "typ": "at+jwt"}, claims, jwk.OctKey.import_key(KEY))
    with pytest.raises(TokenRefused):
        read_token(KEY, forged, audience="urn:gw", now=NOW)
