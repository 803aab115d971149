"""Columns of byte strings: read as the strict decoder reads them, and nothing that it refuses."""

import os

import pytest

from chain import encoding
from gateway.vault.errors import SealBroken
from gateway.vault.shape import Shape

LENGTHS = (0, 1, 23, 24, 25, 255, 256, 257, 65535, 65536, 65537)


@pytest.mark.parametrize("length", LENGTHS)
def test_columns_are_what_the_strict_decoder_reads(length):
    value = {0: os.urandom(length), 1: b"", 2: os.urandom(300)}
    assert Shape("x").columns(encoding.encode(value), 3) == list(value.values())


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xa2",
        b"\xa2\x00\x41a",  # a field short
        b"\xa2\x00\x41a\x01\x41",  # cut off
        b"\xa2\x00\x41a\x01\x41bb",  # something left over
        b"\xa3\x00\x41a\x01\x41b\x02\x41c",  # a field too many
        b"\xa2\x01\x41a\x00\x41b",  # out of order
        b"\xa2\x00\x41a\x00\x41b",  # a key twice
        b"\xa2\x00\x41a\x02\x41b",  # another key
        b"\xb8\x02\x00\x41a\x01\x41b",  # the map's length spelled longer
        b"\xa2\x18\x00\x41a\x01\x41b",  # a key spelled longer
        b"\xa2\x00\x58\x01a\x01\x41b",  # a string's length spelled longer, in each way
        b"\xa2\x00\x59\x00\x01a\x01\x41b",
        b"\xa2\x00\x5a\x00\x00\x00\x01a\x01\x41b",
        b"\xa2\x00\x5b\x00\x00\x00\x00\x00\x00\x00\x01a\x01\x41b",
        b"\xa2\x00\x5f\x41a\xff\x01\x41b",  # of indefinite length
        b"\xa2\x00\x61a\x01\x41b",  # text
        b"\xa2\x00\x01\x01\x41b",  # a number
        b"\xa2\x00\xd8\x1c\x41a\x01\xd8\x1d\x00",  # the second refers to the first
        b"\xd9\x01\x00\xa2\x00\x41a\x01\x41b",  # under a tag
        b"\xa2\x00\x41a\x01\x5b\xff\xff\xff\xff\xff\xff\xff\xff",
        b"\x82\x41a\x41b",  # an array
    ],
)
def test_anything_else_is_refused(content):
    with pytest.raises(SealBroken):
        Shape("x").columns(content, 2)


@pytest.mark.parametrize("length", LENGTHS)
def test_every_cut_and_every_flipped_head_is_refused_or_not_the_same(length):
    column = bytes(length)
    content = encoding.encode({0: column, 1: b"abc"})
    for place in (*range(min(len(content), 12)), len(content) - 4):
        with pytest.raises(SealBroken):
            Shape("x").columns(content[:place], 2)
        for bit in range(8):
            flipped = content[:place] + bytes([content[place] ^ 1 << bit]) + content[place + 1 :]
            try:
                found = Shape("x").columns(flipped, 2)
            except SealBroken:
                continue
            assert encoding.encode(dict(enumerate(found))) == flipped
