"""Keys that a KMS wraps, against a stand-in over real HTTP: what is checked, what is said when it fails, moving there and back."""

import json
import re
import socket

import pytest
from click.testing import CliRunner
from fake_kms import NAME, URI, fake_kms

from gateway.cli import main
from gateway.vault.kms import GoogleKms, KmsFailed, is_kms_uri

SECRET, CONTEXT = b"s" * 32, b"context"


@pytest.fixture
def kms(monkeypatch):
    with fake_kms() as running:
        monkeypatch.setenv("KMS_EMULATOR_HOST", running.url)
        yield running


def test_what_it_wraps_it_opens_for_the_same_context_alone(kms):
    wrapped = GoogleKms(URI).wrap(SECRET, CONTEXT)
    assert SECRET not in wrapped
    assert GoogleKms(URI).unwrap(wrapped, CONTEXT) == SECRET
    with pytest.raises(KmsFailed, match="does not open"):
        GoogleKms(URI).unwrap(wrapped, b"another")
    with pytest.raises(KmsFailed, match="does not open"):
        GoogleKms(URI).unwrap(wrapped[:-1] + b"x", CONTEXT)
    kms.keys[NAME] = b"o" * 32
    with pytest.raises(KmsFailed, match="does not open"):
        GoogleKms(URI).unwrap(wrapped, CONTEXT)


@pytest.mark.parametrize(
    ("method", "what", "says"),
    [
        ("encrypt", "damaged", "damaged"),
        ("encrypt", "unverified", "damaged"),
        ("encrypt", "other-key", "another key"),
        ("encrypt", "no-json", "cannot be read"),
        ("encrypt", 403, "permission denied"),
        ("encrypt", 401, "credentials"),
        ("encrypt", 404, "no such key"),
        ("decrypt", "damaged", "damaged"),
        ("decrypt", "no-json", "cannot be read"),
        ("decrypt", 403, "permission denied"),
        ("decrypt", 418, "status 418"),
        ("decrypt", 503, "status 503"),
    ],
)
def test_faults_have_a_sentence(kms, method, what, says):
    wrapped = GoogleKms(URI).wrap(SECRET, CONTEXT)
    kms.fault = method, what
    with pytest.raises(KmsFailed, match=says) as failed:
        GoogleKms(URI).wrap(SECRET, CONTEXT) if method == "encrypt" else GoogleKms(URI).unwrap(wrapped, CONTEXT)
    assert URI in str(failed.value)


def test_what_passes_is_asked_again_and_a_refusal_is_not(kms):
    kms.fault = "encrypt", 503
    with pytest.raises(KmsFailed):
        GoogleKms(URI).wrap(SECRET, CONTEXT)
    assert len(kms.asked) == 3
    kms.fault = "encrypt", 403
    with pytest.raises(KmsFailed):
        GoogleKms(URI).wrap(SECRET, CONTEXT)
    assert len(kms.asked) == 4


def test_a_kms_that_is_not_there_is_said_to_be_so(monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    monkeypatch.setenv("KMS_EMULATOR_HOST", f"http://127.0.0.1:{port}")
    with pytest.raises(KmsFailed, match="cannot be reached"):
        GoogleKms(URI).wrap(SECRET, CONTEXT)


@pytest.mark.parametrize(
    "uri", ["gcp-kms://", "gcp-kms://projects/p", URI + "/cryptoKeyVersions/1", URI + "/..", "gcp-kms:///" + NAME, "aws-kms://" + NAME]
)
def test_other_uris_are_no_keys(uri):
    assert not is_kms_uri(uri)


def command(home, *args, code=0):
    done = CliRunner().invoke(main, ["--home", str(home), *args])
    assert done.exit_code == code, (done.output, done.exception)
    return done.output


def test_a_gateway_lives_with_keys_that_a_kms_wraps(kms, tmp_path):
    home = tmp_path / "gw"
    command(home, "init", "--kek-uri", URI)
    held = json.loads((home / "keys/kek.json").read_bytes())
    assert held["wrapped_by"] == URI
    assert len(held["keys"][0]["kek"]) > 60, "wrapped, not in clear"
    command(home, "party", "list")
    command(home, "keys", "rotate-kek")
    listed = json.loads(command(home, "keys", "list", "--json"))["keys"]
    assert [key["state"] for key in listed] == ["retired", "current"]
    assert all(re.fullmatch(r"[0-9-]{10}T[0-9:]{8}Z", key["changed_at"]) for key in listed)
    kms.fault = "decrypt", 403
    assert "permission denied" in command(home, "party", "list", code=2)
    kms.fault, kms.keys[NAME] = None, b"o" * 32
    assert "does not open" in command(home, "party", "list", code=2)


def test_keys_move_to_a_kms_and_back(kms, tmp_path):
    home, file = tmp_path / "gw", tmp_path / "gw/keys/kek.json"
    command(home, "init")
    in_clear = json.loads(file.read_bytes())["keys"][0]["kek"]
    command(home, "keys", "rewrap", "--kek-uri", URI)
    assert in_clear not in file.read_text()
    assert json.loads((home / "settings.json").read_bytes())["kek_uri"] == URI
    command(home, "party", "list")
    elsewhere = tmp_path / "kek-elsewhere.json"
    command(home, "keys", "rewrap", "--kek-uri", elsewhere.as_uri())
    assert json.loads(elsewhere.read_bytes())["keys"][0]["kek"] == in_clear
    assert not file.exists()
    command(home, "party", "list")


def test_a_move_that_was_stopped_before_the_setting_changed_goes_on(kms, tmp_path):
    home = tmp_path / "gw"
    command(home, "init")
    before = (home / "settings.json").read_bytes()
    command(home, "keys", "rewrap", "--kek-uri", URI)
    (home / "settings.json").write_bytes(before)
    assert "keys rewrap" in command(home, "party", "list", code=2)
    command(home, "keys", "rewrap", "--kek-uri", URI)
    command(home, "party", "list")


def test_a_move_that_fails_changes_nothing(kms, tmp_path):
    home = tmp_path / "gw"
    command(home, "init")
    before = (home / "keys/kek.json").read_bytes()
    kms.fault = "encrypt", 403
    assert "permission denied" in command(home, "keys", "rewrap", "--kek-uri", URI, code=2)
    assert (home / "keys/kek.json").read_bytes() == before
    kms.fault = "decrypt", 403  # it may wrap, and would never open it again
    assert "permission denied" in command(home, "keys", "rewrap", "--kek-uri", URI, code=2)
    assert [path.name for path in (home / "keys").iterdir() if "kek" in path.name and path.suffix != ".lock"] == ["kek.json"]
    assert (home / "keys/kek.json").read_bytes() == before
    other = tmp_path / "other"
    command(other, "init")
    (home / "keys/kek.json").chmod(0o644)
    assert "mode 0600" in command(home, "keys", "rewrap", "--kek-uri", (other / "keys/kek.json").as_uri(), code=2)
    (home / "keys/kek.json").chmod(0o600)
    assert "never written over" in command(home, "keys", "rewrap", "--kek-uri", (other / "keys/kek.json").as_uri(), code=2)
    command(home, "party", "list")


def test_keys_that_a_kms_gives_for_others_are_neither_used_nor_written_down(kms, tmp_path):
    home = tmp_path / "gw"
    command(home, "init", "--kek-uri", URI)
    before = (home / "keys/kek.json").read_bytes()
    kms.fault = "decrypt", "wrong"
    for asked in (("party", "list"), ("keys", "rotate-kek"), ("keys", "rewrap", "--kek-uri", (tmp_path / "clear.json").as_uri())):
        assert "not the one that was written" in command(home, *asked, code=2)
    assert (home / "keys/kek.json").read_bytes() == before
    kms.fault = None
    command(home, "party", "list")


def test_a_gateway_is_not_made_where_its_key_cannot_be_kept(kms, tmp_path):
    kms.fault = "encrypt", 403
    assert "permission denied" in command(tmp_path / "gw", "init", "--kek-uri", URI, code=2)
    assert list(tmp_path.iterdir()) == []
    taken = tmp_path / "taken.json"
    taken.write_text("{}")
    command(tmp_path / "gw", "init", "--kek-uri", taken.as_uri(), code=2)
    assert taken.read_text() == "{}"
