"""CRED.json: complete, private, and the same after reading."""

import json
import stat

import pytest
from joserfc import jwt
from joserfc.jwk import ECKey

from gateway.client import signin
from gateway.client.credentials import AGENCY_SCOPE, BadCredentials, new_credentials, public_jwk, read, write

CREDENTIALS = new_credentials("http://127.0.0.1:8080/", "hospital-0a1b2c3d")


def test_what_is_written_is_read_back_and_only_its_owner_can(tmp_path):
    path = tmp_path / "cred.json"
    write(path, CREDENTIALS)
    assert read(path) == CREDENTIALS
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [other.name for other in tmp_path.iterdir()] == ["cred.json"]


def test_the_file_has_the_fields_that_others_read(tmp_path):
    write(tmp_path / "cred.json", new_credentials("https://gw.example", "insurer-1", AGENCY_SCOPE))
    found = json.loads((tmp_path / "cred.json").read_bytes())
    assert (found["base_url"], found["token_url"]) == ("https://gw.example", "https://gw.example/auth/token")
    assert (found["client_id"], found["scope"]) == ("insurer-1", "system/*.rs")
    assert {found["private_jwk"][name] for name in ("kty", "crv")} == {"EC", "P-384"}
    assert {found["signing_jwk"][name] for name in ("kty", "crv")} == {"OKP", "Ed25519"}
    assert all("d" in found[name] and "kid" in found[name] for name in ("private_jwk", "signing_jwk"))


def test_an_older_file_is_replaced_with_its_mode(tmp_path):
    path = tmp_path / "cred.json"
    path.write_text("{}")
    path.chmod(0o644)
    write(path, CREDENTIALS)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_fields_that_are_not_ours_are_kept(tmp_path):
    path = tmp_path / "cred.json"
    write(path, CREDENTIALS)
    path.write_text(json.dumps({**json.loads(path.read_bytes()), "note": "for the night shift"}))
    write(path, read(path))
    assert json.loads(path.read_bytes())["note"] == "for the night shift"


def test_keys_do_not_show():
    assert str(CREDENTIALS.private_jwk["d"]) not in repr(CREDENTIALS)
    assert str(CREDENTIALS.signing_jwk["d"]) not in repr(CREDENTIALS)
    assert "d" not in public_jwk(CREDENTIALS.private_jwk)


@pytest.mark.parametrize(
    ("url", "base", "token_url"),
    [
        (None, "http://127.0.0.1:8080", "http://127.0.0.1:8080/auth/token"),
        ("http://127.0.0.1:9999/", "http://127.0.0.1:9999", "http://127.0.0.1:9999/auth/token"),
        ("https://gw.example/behind", "https://gw.example/behind", "https://gw.example/behind/auth/token"),
    ],
)
def test_another_address_moves_the_base_and_the_token_url(url, base, token_url):
    moved = CREDENTIALS.at(url)
    assert (moved.base_url, moved.token_url) == (base, token_url)
    assert moved.at("http://127.0.0.1:8080") == CREDENTIALS


@pytest.mark.parametrize("url", ["", "127.0.0.1:8080", "ftp://gw.example", "http://", "https://gw.example/?a=b"])
def test_what_is_no_address_is_refused(url):
    with pytest.raises(BadCredentials, match="no address"):
        CREDENTIALS.at(url)


@pytest.mark.parametrize(
    "change",
    [
        {"client_id": None},
        {"base_url": 7},
        {"private_jwk": None},
        {"private_jwk": {"kty": "OKP"}},
        {"private_jwk": public_jwk(CREDENTIALS.private_jwk)},
        {"signing_jwk": dict(CREDENTIALS.private_jwk)},
        {"signing_jwk": public_jwk(CREDENTIALS.signing_jwk)},
    ],
    ids=["no-client", "number", "none", "no-key", "public-only", "other-kind", "signing-public-only"],
)
def test_a_file_that_lacks_something_says_what(tmp_path, change):
    path = tmp_path / "cred.json"
    write(path, CREDENTIALS)
    path.write_text(json.dumps({**json.loads(path.read_bytes()), **change}))
    with pytest.raises(BadCredentials, match=next(iter(change))) as error:
        read(path)
    assert str(CREDENTIALS.private_jwk["d"]) not in str(error.value)


def test_a_file_that_is_missing_or_no_json(tmp_path):
    with pytest.raises(BadCredentials, match="No such file"):
        read(tmp_path / "none.json")
    for body in ("", "nonsense", "[]"):
        (tmp_path / "cred.json").write_text(body)
        with pytest.raises(BadCredentials):
            read(tmp_path / "cred.json")


def test_the_assertion_is_what_smart_backend_services_asks_for():
    form = signin.token_form(CREDENTIALS, 1_790_000_000, "once-0001")
    token = jwt.decode(form["client_assertion"], ECKey.import_key(public_jwk(CREDENTIALS.private_jwk)), algorithms=["ES384"])
    assert token.header["alg"] == "ES384"
    assert token.header["kid"] == CREDENTIALS.private_jwk["kid"]
    assert token.claims["iss"] == token.claims["sub"] == CREDENTIALS.client_id
    assert token.claims["aud"] == CREDENTIALS.token_url
    assert 0 < token.claims["exp"] - 1_790_000_000 <= 300
    assert token.claims["jti"] == "once-0001"
    assert form["grant_type"] == "client_credentials"


@pytest.mark.parametrize(
    ("answer", "renew_at"),
    [
        ({"access_token": "t", "expires_in": 300}, 1270.0),
        ({"access_token": "t", "expires_in": 20}, 1010.0),
        ({"access_token": "t"}, 1000.0),
    ],
    ids=str,
)
def test_a_token_is_renewed_before_it_expires(answer, renew_at):
    token = signin.token_from(answer, 1000.0)
    assert token is not None
    assert token.renew_at == renew_at


@pytest.mark.parametrize("answer", [None, [], {}, {"access_token": 7}])
def test_what_is_no_token_is_none(answer):
    assert signin.token_from(answer, 0.0) is None
