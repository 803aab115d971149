"""Secrets at rest: the key file, items sealed for a context, archives."""

import itertools
import os
import stat

import pytest

from gateway.vault import primitives
from gateway.vault.errors import WrongKey
from gateway.vault.kek_file import KekFile, KeyFileUnusable, create_kek
from gateway.vault.keyring import Keyring
from gateway.vault.primitives import WrapSuite

KEYRING = Keyring(b"k" * 32)


def kek_of(path):
    (key,) = KekFile(path).read()
    return key.kek


def counting_random():
    numbers = itertools.count()
    return lambda n: next(numbers).to_bytes(n, "big")


def test_the_key_file_is_for_its_owner_alone_and_made_once(tmp_path):
    path = tmp_path / "kek.json"
    create_kek(path, lambda n: b"r" * n)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert kek_of(path) == b"r" * 32
    with pytest.raises(FileExistsError):
        create_kek(path, lambda n: b"x" * n)
    assert kek_of(path) == b"r" * 32


def test_a_key_file_that_others_can_read_is_refused(tmp_path):
    path = tmp_path / "kek.json"
    create_kek(path, os.urandom)
    path.chmod(0o640)
    with pytest.raises(KeyFileUnusable, match="mode 0600"):
        kek_of(path)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b"[]",
        b'{"format":"fhir-anchor kek 3","kek":"a2tra2tra2tra2tra2tra2tra2tra2tra2tra2tra2s"}',
        b'{"format":"fhir-anchor kek 1","kek":"a2tr"}',
        b'{"format":"fhir-anchor kek 1","kek":"a2tra2tra2tra2tra2tra2tra2tra2tra2tra2tra2s","more":1}',
        b'{"format":"fhir-anchor kek 1","kek":"a2tra2tra2tra2tra2tra2tra2tra2tra2tra2tra2s="}',
    ],
)
def test_a_malformed_key_file_is_refused_without_showing_it(tmp_path, body):
    path = tmp_path / "kek.json"
    path.touch(mode=0o600)
    path.write_bytes(body)
    with pytest.raises(KeyFileUnusable) as refusal:
        kek_of(path)
    assert "a2tr" not in str(refusal.value)


def test_a_missing_key_file_is_named_without_its_path(tmp_path):
    with pytest.raises(KeyFileUnusable, match="No such file") as refusal:
        kek_of(tmp_path / "kek.json")
    assert str(tmp_path) not in str(refusal.value)


def test_a_secret_opens_for_its_context_under_its_kek_only():
    sealed = KEYRING.seal("attestation-key/a", b"secret", os.urandom)
    assert KEYRING.open("attestation-key/a", sealed) == b"secret"
    assert b"secret" not in sealed
    for keyring, context, item in (
        (Keyring(b"x" * 32), "attestation-key/a", sealed),
        (KEYRING, "attestation-key/b", sealed),
        (KEYRING, "attestation-key/a", sealed[:-1]),
        (KEYRING, "attestation-key/a", b""),
    ):
        with pytest.raises(WrongKey):
            keyring.open(context, item)


def test_every_changed_byte_of_a_sealed_secret_is_found():
    sealed = KEYRING.seal("a", b"secret", os.urandom)
    for at in range(len(sealed)):
        with pytest.raises(WrongKey):
            KEYRING.open("a", sealed[:at] + bytes([sealed[at] ^ 1]) + sealed[at + 1 :])


def test_the_same_secret_is_never_sealed_twice_alike():
    assert KEYRING.seal("a", b"secret", os.urandom) != KEYRING.seal("a", b"secret", os.urandom)


@pytest.mark.parametrize("suite", WrapSuite)
def test_an_archive_keeps_its_public_key_in_clear_and_the_rest_sealed(suite):
    archive = KEYRING.new_archive(counting_random(), suite)
    private = KEYRING.private_key(archive)
    assert private.public == archive.public_key
    assert archive.key_id == archive.public_key.key_id
    assert private.seed not in archive.sealed_seed
    with pytest.raises(WrongKey):
        Keyring(b"x" * 32).private_key(archive)


def test_one_archives_secret_does_not_pass_for_anothers():
    first, second = (KEYRING.new_archive(os.urandom, WrapSuite.X25519) for _ in range(2))
    swapped = type(first)(first.key_id, first.suite, first.public, second.sealed_seed, second.sealed_secret)
    for use in (KEYRING.private_key, KEYRING.archive_secret):
        with pytest.raises(WrongKey):
            use(swapped)


def test_bundle_ids_are_the_hmac_of_the_running_number():
    archive = KEYRING.new_archive(os.urandom, WrapSuite.X25519)
    secret = KEYRING.archive_secret(archive)
    assert len({secret.bundle_id(number) for number in range(100)}) == 100
    assert all(len(secret.bundle_id(number)) == 16 for number in range(3))
    assert KEYRING.archive_secret(archive).bundle_id(7) == secret.bundle_id(7)
    assert secret.token_key != primitives.derive(secret.token_key, primitives.TOKEN_KEY)


def test_two_archives_have_nothing_in_common():
    first, second = (KEYRING.archive_secret(KEYRING.new_archive(os.urandom, WrapSuite.X25519)) for _ in range(2))
    assert first.bundle_id(0) != second.bundle_id(0)
    assert first.token_key != second.token_key
