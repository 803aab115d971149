import base64
import hmac
import json

import pytest
from joserfc import jwk, jws

from gateway.web.assertion import AssertionRefused, claimed_client_id, verify_assertion

NOW = 1_800_000_000
URL = "https://gateway.example/auth/token"
EC = jwk.ECKey.generate_key("P-384", {"kid": "k1"})
P256 = jwk.ECKey.generate_key("P-256", {"kid": "k2"})
RSA = jwk.RSAKey.generate_key(2048, {"kid": "k3"})
OCT = jwk.OctKey.generate_key(256, {"kid": "k4"})
STRANGER = jwk.ECKey.generate_key("P-384", {"kid": "k1"})
JWKS = {"keys": [EC.as_dict(private=False), P256.as_dict(private=False), RSA.as_dict(private=False)]}


def claims(**changed):
    made = {"iss": "hospital-1", "sub": "hospital-1", "aud": URL, "exp": NOW + 240, "iat": NOW, "jti": "one"} | changed
    return {name: value for name, value in made.items() if value is not ...}


def sign(payload, key=EC, alg="ES384", kid="k1", **header):
    header = {"alg": alg, "typ": "JWT", "kid": kid} | header
    header = {name: value for name, value in header.items() if value is not ...}
    return jws.serialize_compact(header, json.dumps(payload).encode(), key, algorithms=[alg])


def verify(assertion, **changed):
    return verify_assertion(assertion, **({"client_id": "hospital-1", "jwks": JWKS, "token_url": URL, "now": NOW} | changed))


@pytest.mark.parametrize(("key", "alg", "kid"), [(EC, "ES384", "k1"), (RSA, "RS384", "k3")])
def test_both_algorithms_of_smart_are_taken(key, alg, kid):
    found = verify(sign(claims(), key, alg, kid))
    assert (found.client_id, found.jti, found.expires_at) == ("hospital-1", "one", NOW + 240)


@pytest.mark.parametrize("audience", [URL, [URL]])
def test_audience_is_the_token_address(audience):
    assert verify(sign(claims(aud=audience)))


@pytest.mark.parametrize(
    "changed",
    [
        {"iss": "hospital-2"},
        {"sub": "hospital-2"},
        {"sub": ...},
        {"aud": "https://other.example/auth/token"},
        {"aud": [URL, "https://other.example/auth/token"]},
        {"aud": ...},
        {"aud": URL + "/"},
        {"exp": NOW},
        {"exp": NOW - 1},
        {"exp": NOW + 331},
        {"exp": ...},
        {"exp": None},
        {"exp": "1800000200"},
        {"exp": True},
        {"exp": 1e300},
        {"exp": float("nan")},
        {"iat": NOW + 31},
        {"iat": "now"},
        {"nbf": NOW + 31},
        {"jti": ...},
        {"jti": ""},
        {"jti": 7},
        {"jti": "j" * 256},
    ],
)
def test_each_claim_is_checked(changed):
    with pytest.raises(AssertionRefused):
        verify(sign(claims(**changed)))


@pytest.mark.parametrize(
    ("key", "alg", "kid"),
    [
        (STRANGER, "ES384", "k1"),
        (EC, "ES384", "k9"),
        (EC, "ES384", ...),
        (EC, "ES384", ""),
        (P256, "ES256", "k2"),
        (P256, "ES256", "k1"),
        (RSA, "RS256", "k3"),
        (RSA, "PS384", "k3"),
        (RSA, "RS384", "k1"),
        (OCT, "HS256", "k4"),
        (OCT, "HS384", "k1"),
    ],
)
def test_other_keys_and_algorithms_are_refused(key, alg, kid):
    with pytest.raises(AssertionRefused):
        verify(sign(claims(), key, alg, kid))


def by_hand(header, signer):
    """A JWS that the library itself would not make."""
    signed = ".".join(base64.urlsafe_b64encode(json.dumps(p).encode()).rstrip(b"=").decode() for p in (header, claims())).encode()
    return (signed + b"." + base64.urlsafe_b64encode(signer(signed)).rstrip(b"=")).decode()


def es384(signed):
    return jws.JWSRegistry.algorithms["ES384"].sign(signed, EC)


def test_public_key_as_hmac_secret_is_refused():
    with pytest.raises(AssertionRefused):
        verify(by_hand({"alg": "HS384", "kid": "k3"}, lambda signed: hmac.digest(RSA.as_pem(private=False), signed, "sha384")))


def test_unsigned_is_refused():
    def part(value):
        return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()

    for signature in ("", "AAAA"):
        with pytest.raises(AssertionRefused):
            verify(f"{part({'alg': 'none', 'kid': 'k1'})}.{part(claims())}.{signature}")


def test_an_altered_payload_or_signature_is_refused():
    head, payload, signature = sign(claims()).split(".")
    other = base64.urlsafe_b64encode(json.dumps(claims(jti="two")).encode()).rstrip(b"=").decode()
    turned = ("B" if signature[0] == "A" else "A") + signature[1:]
    for forged in (f"{head}.{other}.{signature}", f"{head}.{payload}.{turned}", f"{head}.{payload}.", f"{head}.{payload}"):
        with pytest.raises(AssertionRefused):
            verify(forged)


@pytest.mark.parametrize(
    "extra", [{"typ": "at+jwt"}, {"crit": ["b64"], "b64": False}, {"crit": ["x"], "x": 1}, {"alg": "es384"}, {"alg": None}]
)
def test_headers_that_change_the_meaning_are_refused(extra):
    assert verify(by_hand({"alg": "ES384", "kid": "k1"}, es384))
    forged = by_hand({"alg": "ES384", "kid": "k1"} | extra, es384)
    with pytest.raises(AssertionRefused):
        verify(forged)


def test_two_keys_of_one_name_are_not_chosen_between():
    with pytest.raises(AssertionRefused):
        verify(sign(claims()), jwks={"keys": [EC.as_dict(private=False), STRANGER.as_dict(private=False)]})


def test_a_client_without_keys_is_refused():
    with pytest.raises(AssertionRefused):
        verify(sign(claims()), jwks={})


@pytest.mark.parametrize(
    "garbage", ["", "a", "a.b.c", "....", "e30.e30.e30", "e30.W10.e30", "\u00e9.e30.e30", "e30." + "A" * 20_000 + ".e30"]
)
def test_garbage_has_no_client(garbage):
    with pytest.raises(AssertionRefused):
        claimed_client_id(garbage)


def test_the_claimed_client_is_read_unverified():
    assert claimed_client_id(sign(claims(), STRANGER)) == "hospital-1"


def test_a_wrong_algorithm_is_named():
    with pytest.raises(AssertionRefused, match="alg must be ES384 or RS384"):
        verify(sign(claims(), OCT, "HS256", "k4"))
