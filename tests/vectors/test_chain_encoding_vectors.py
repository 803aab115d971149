"""RFC 8949, appendix A: what the ledger's narrow CBOR reads, and what it must refuse although it is CBOR."""

import time

import pytest

from chain.encoding import EncodingError, decode, encode

GOOD = [
    ("00", 0),
    ("17", 23),
    ("1818", 24),
    ("1903e8", 1000),
    ("1a000f4240", 1000000),
    ("1bffffffffffffffff", 18446744073709551615),
    ("20", -1),
    ("3903e7", -1000),
    ("f4", False),
    ("f5", True),
    ("f6", None),
    ("40", b""),
    ("4401020304", b"\x01\x02\x03\x04"),
    ("60", ""),
    ("62c3bc", "\u00fc"),
    ("64f0908591", "\U00010151"),
    ("80", []),
    ("8301820203820405", [1, [2, 3], [4, 5]]),
    ("a0", {}),
    ("a201020304", {1: 2, 3: 4}),
]
BAD = {
    "float": "f93c00",
    "double": "fb3ff199999999999a",
    "big integer": "c249010000000000000000",
    "negative below 64 bits": "3bffffffffffffffff",
    "undefined": "f7",
    "simple value": "f0",
    "date": "c11a514b67b0",
    "text date": "c074323031332d30332d32315432303a30343a30305a",
    "shared reference": "d81c80",
    "set": "d9010280",
    "integer longer than needed": "1817",
    "integer much longer than needed": "1b0000000000000001",
    "string length longer than needed": "580401020304",
    "indefinite string": "5f42010243030405ff",
    "indefinite array": "9f01ff",
    "indefinite map": "bf0102ff",
    "text key": "a1616101",
    "negative key": "a12001",
    "key above 23": "a1181801",
    "boolean key": "a1f501",
    "keys out of order": "a203040102",
    "key twice": "a201020103",
    "trailing byte": "0000",
    "nothing": "",
    "cut short": "440102",
    "huge length": "5bffffffffffffffff",
    "huge array": "9bffffffffffffffff",
    "text that is not UTF-8": "61ff",
    "surrogate in text": "63eda080",
    "17 levels": "81" * 17 + "00",
    "2000 levels": "81" * 2000 + "00",
}


@pytest.mark.parametrize(("text", "value"), GOOD, ids=[text for text, _ in GOOD])
def test_appendix_a(text, value):
    decoded = decode(bytes.fromhex(text))
    assert decoded == value
    assert type(decoded) is type(value)
    assert encode(value).hex() == text


@pytest.mark.parametrize("text", BAD.values(), ids=BAD)
def test_other_cbor_is_refused(text):
    with pytest.raises(EncodingError):
        decode(bytes.fromhex(text))


@pytest.mark.parametrize(
    "value", [1.0, {1.0: 2}, {"a": 1}, {-1: 0}, {24: 0}, {True: 0}, 1 << 64, -(1 << 63) - 1, {1, 2}, object(), bytearray(b"a"), "\ud800"]
)
def test_what_has_no_encoding(value):
    with pytest.raises(EncodingError):
        encode(value)
    with pytest.raises(EncodingError):
        encode([value])


def test_maps_are_sorted_at_every_depth():
    assert encode({3: [{2: 0, 1: 0}], 1: (2,)}).hex() == "a2018102" + "0381a201000200"


def test_a_tag_is_refused_before_anything_is_made_of_it():
    """A pattern took four seconds and 200 MB to compile for each megabyte of its text, before it was refused."""
    pattern = b"(a|b)*?" * 30_000
    began = time.process_time()
    with pytest.raises(EncodingError):
        decode(b"\xd8\x23\x7a" + len(pattern).to_bytes(4, "big") + pattern)
    assert time.process_time() - began < 0.1
