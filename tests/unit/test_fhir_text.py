"""What is refused before content is looked at: all of it unreadable (HTTP 400)."""

import pytest

from fhir_adapters import InvalidInput, check_text
from fhir_adapters.text import is_deeper_than


def nested(levels: int, opening: bytes = b'{"a":', closing: bytes = b"}") -> bytes:
    return opening * (levels - 1) + b"{}" + closing * (levels - 1)


def test_a_byte_order_mark_goes_and_nothing_else():
    assert check_text(b'\xef\xbb\xbf{"a":"\xc3\xa9"}') == b'{"a":"\xc3\xa9"}'
    assert check_text(b' {"a": 1.50}\n') == b' {"a": 1.50}\n'


def test_only_one_byte_order_mark_goes():
    with pytest.raises(InvalidInput):
        check_text(b"\xef\xbb\xbf\xef\xbb\xbf{}")


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"[]", id="array"),
        pytest.param(b'"x"', id="string"),
        pytest.param(b"{} x", id="bytes after the end"),
        pytest.param(b"{}{}", id="two documents"),
        pytest.param(b'{"a":NaN}', id="NaN"),
        pytest.param(b'{"a":-Infinity}', id="Infinity"),
        pytest.param(b'{"a":01}', id="leading zero"),
        pytest.param(b'{"a":1,}', id="trailing comma"),
        pytest.param(b'{"a":"\xff"}', id="no UTF-8"),
        pytest.param(b'{"a":"\xc3"}', id="cut UTF-8"),
        pytest.param(b'{"a":"\xed\xa0\x80"}', id="encoded surrogate"),
        pytest.param(b'{"a":"' + b"x" * 4089 + b"\xc3" + b"x" * 9000 + b'"}', id="cut UTF-8 at the end of a slice"),
        pytest.param(b'{"a":"' + b"x" * 4089 + b"\xc3" + b"x" * 4096 + b'\xa9"}', id="UTF-8 cut in two with a slice between"),
        pytest.param(b'{"a":"\\ud800"}', id="lone surrogate"),
        pytest.param(b'{"a":"\\udc00 \\ud800"}', id="surrogates the wrong way round"),
        pytest.param(b'{"a":"\x00"}', id="raw NUL"),
        pytest.param(b'{"a":"\\u0000"}', id="escaped NUL"),
        pytest.param(b'{"a":"\\\\\\u0000"}', id="NUL after an escaped backslash"),
        pytest.param(b'{"a":"\n"}', id="raw newline in a string"),
        pytest.param(nested(101), id="101 levels"),
        pytest.param(nested(2000), id="2000 levels"),
        pytest.param(nested(100_000, b'{"a":[', b"]}"), id="200000 levels"),
        pytest.param(b'{"a":' + b"[" * 100_000, id="never closed"),
    ],
)
def test_unreadable(body):
    with pytest.raises(InvalidInput) as refused:
        check_text(body)
    assert refused.value.unreadable
    assert refused.value.issues[0].severity == "fatal"


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b'{"a":"\\\\u0000"}', id="the text \\u0000"),
        pytest.param(b'{"a":"\\ud83d\\ude00"}', id="a surrogate pair"),
        pytest.param(b'{"a":"' + b"x" * 4089 + "é".encode() + b'"}', id="a character across two slices"),
        pytest.param(nested(100), id="100 levels"),
    ],
)
def test_readable(body):
    assert check_text(body) == body


@pytest.mark.parametrize("text", [b'{"a":"[[[[[["}', b'{"a":"\\"[[[[["}', b'{"a\\\\":"[[[[["}', b'{"a":"}"}', b'{"[":1}'])
def test_brackets_in_strings_are_no_levels(text):
    assert not is_deeper_than(text, 1)


def test_closing_brackets_in_strings_hide_no_levels():
    assert is_deeper_than(b'{"a":["}]",{"b":"}]"}]}', 2)
    assert not is_deeper_than(b'{"a":["}]",{"b":"}]"}]}', 3)


def test_escaped_quotes_hide_no_levels():
    assert is_deeper_than(b'{"a":"\\"","b":[[]]}', 2)
