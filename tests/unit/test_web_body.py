import gzip
import io
import os
import zlib

import pytest

from fhir_adapters.issue import InvalidInput
from gateway.errors import TooLarge, UnsupportedMedia
from gateway.web.body import read_body


class Trickle(io.BytesIO):
    """A stream that gives a few bytes at a time, as sockets do."""

    def read(self, size=-1):
        return super().read(min(size, 777))


def read(sent, encoding=None, length=None, limit=100_000, stream=Trickle):
    return read_body(stream(sent), content_length=length, content_encoding=encoding, limit=limit)


def test_body_of_exactly_the_limit_is_read_whole():
    assert read(b"x" * 100_000) == b"x" * 100_000


@pytest.mark.parametrize("length", [None, 100_001])
def test_one_byte_more_is_refused_with_and_without_a_length(length):
    with pytest.raises(TooLarge):
        read(b"x" * 100_001, length=length)


def test_a_length_over_the_limit_is_refused_before_a_byte_is_read():
    class Unreadable(io.BytesIO):
        def read(self, size=-1):
            raise AssertionError("read")

    with pytest.raises(TooLarge):
        read(b"", length=100_001, stream=Unreadable)


@pytest.mark.parametrize("encoding", ["gzip", "x-gzip", " GZIP "])
def test_gzip_is_unpacked(encoding):
    body = os.urandom(60_000) + b"a" * 30_000
    assert read(gzip.compress(body), encoding) == body


def test_gzip_of_several_members_is_one_body():
    assert read(gzip.compress(b"one ") + gzip.compress(b"two"), "gzip") == b"one two"


def test_nothing_sent_is_nothing_read():
    assert read(b"", "gzip") == b""


def test_a_gzip_bomb_is_refused_by_its_size():
    with pytest.raises(TooLarge):
        read(gzip.compress(b"\0" * 10_000_000), "gzip")


def test_a_gzip_bomb_below_the_size_is_refused_by_its_ratio():
    bomb = gzip.compress(b"\0" * 10_000_000)
    with pytest.raises(TooLarge):
        read(bomb, "gzip", limit=20_000_000, stream=io.BytesIO)


def test_real_ratios_pass():
    body = b'{"resourceType":"Observation","status":"final"},' * 50_000
    assert read(gzip.compress(os.urandom(50_000) + body), "gzip", limit=20_000_000)[50_000:] == body


@pytest.mark.parametrize("cut", [1, 8, 9, 40])
def test_gzip_cut_short_is_unreadable(cut):
    with pytest.raises(InvalidInput) as refused:
        read(gzip.compress(os.urandom(5_000))[:-cut], "gzip")
    assert refused.value.unreadable


@pytest.mark.parametrize("sent", [b"{}", gzip.compress(b"{}", mtime=0) + b"junk", zlib.compress(b"{}")])
def test_what_is_not_gzip_is_unreadable(sent):
    with pytest.raises(InvalidInput):
        read(sent, "gzip")


def test_a_flipped_bit_in_gzip_is_unreadable():
    sent = bytearray(gzip.compress(b"x" * 1000))
    sent[-6] ^= 1
    with pytest.raises(InvalidInput):
        read(bytes(sent), "gzip")


@pytest.mark.parametrize("encoding", ["br", "deflate", "gzip, gzip", "zstd"])
def test_other_encodings_are_refused_by_name(encoding):
    with pytest.raises(UnsupportedMedia):
        read(b"{}", encoding)


def test_a_stream_that_breaks_is_unreadable_not_empty():
    class Broken(io.BytesIO):
        def read(self, size=-1):
            raise OSError("chunk")

    with pytest.raises(InvalidInput) as refused:
        read(b"", stream=Broken)
    assert refused.value.unreadable
