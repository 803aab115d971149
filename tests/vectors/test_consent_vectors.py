"""What a consent's commitment and one-time key are made from, computed again without our code: stored and signed for ever."""

import dataclasses
import hashlib
import hmac

from nacl.signing import SigningKey

from chain.consent import commit_terms
from chain.encoding import decode
from chain.keys import ChainId
from chain.keys import SigningKey as LedgerKey
from gateway.consent.provision import Provision
from gateway.consent.terms import Terms
from gateway.vault.keyring import ArchiveSecret

SECRET, CONSENT, ARCHIVE, CHAIN = bytes(range(32)), bytes(range(16)), bytes(range(16, 32)), ChainId(bytes(range(64, 96)))
TERMS = Terms(
    grantee="insurer-3f9a2b6c",
    types=frozenset({"Observation", "Condition"}),
    purposes=frozenset({"HPAYMT"}),
    rights=frozenset({"read"}),
    starts_at=1_800_000_000,
    ends_at=1_893_542_400,
)
# RFC 8949 by hand: a map of 9, texts in ascending order, times in four bytes.
TERMS_HEX = (
    "a9 00 01 01 50 000102030405060708090a0b0c0d0e0f 02 50 101112131415161718191a1b1c1d1e1f"
    " 03 70 696e73757265722d3366396132623663"
    " 04 82 69 436f6e646974696f6e 6b 4f62736572766174696f6e"
    " 05 81 66 485041594d54 06 81 64 72656164 07 1a 6b49d200 08 1a 70dd2a00"
)


EXCEPTIONS = (
    Provision(
        permits=False,
        codes=frozenset({("urn:b", "2"), ("urn:a", "1")}),
        data_period=(None, 0),
        exceptions=(Provision(permits=True, types=frozenset({"Observation"})),),
    ),
)
# format 2: a map of 10, whose last value is a list of maps; false, true and null are f4, f5, f6.
EXCEPTIONS_HEX = (
    " 09 81 a4 00 f4 05 82 82 65 75726e3a61 61 31 82 65 75726e3a62 61 32 09 82 f6 00 0a 81 a2 00 f5 01 81 6b 4f62736572766174696f6e"
)


def test_terms_with_exceptions():
    told = dataclasses.replace(TERMS, exceptions=EXCEPTIONS).to_bytes(CONSENT, ARCHIVE)
    assert told == bytes.fromhex(TERMS_HEX.replace("a9 00 01", "aa 00 02") + EXCEPTIONS_HEX)
    assert tuple(map(Provision.from_map, decode(told)[9])) == EXCEPTIONS


def expand(label, context):
    """HKDF-Expand of one block (RFC 5869, 2.3)."""
    return hmac.digest(SECRET, label + b"\x00" + context + b"\x01", "sha256")


def test_terms():
    assert TERMS.to_bytes(CONSENT, ARCHIVE) == bytes.fromhex(TERMS_HEX)


def test_the_commitment_hides_them_under_a_salt_of_the_archives_secret():
    salt = ArchiveSecret(SECRET).grant_salt(CONSENT)
    assert salt == expand(b"fhir-anchor/grant-salt/v1", CONSENT)
    expected = hashlib.sha256(b"fhir-anchor/grant-terms/v1\x00" + CHAIN + salt + bytes.fromhex(TERMS_HEX)).digest()
    assert commit_terms(CHAIN, salt, TERMS.to_bytes(CONSENT, ARCHIVE)) == expected


def test_the_one_time_key():
    seed = ArchiveSecret(SECRET).grant_seed(CONSENT)
    assert seed == expand(b"fhir-anchor/grant-seed/v1", CONSENT)
    assert LedgerKey.from_seed(seed).public == bytes(SigningKey(seed).verify_key)
