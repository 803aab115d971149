"""The text of a FHIR JSON body, before anything is known of its content: RFC 8259 and http://hl7.org/fhir/R4/json.html.

What fails here could not be read at all (HTTP 400). Duplicate keys are found later, per resource, where the path can be named.
"""

import codecs
import re

import msgspec

from fhir_adapters.issue import InvalidInput, Issue

BOM = b"\xef\xbb\xbf"
MAX_DEPTH = 100

_RAW = msgspec.json.Decoder(msgspec.Raw)
_ALL_BUT_STRUCTURE = bytes(set(range(256)) - set(b'{}[]"'))
_AS_OBJECTS = bytes.maketrans(b"[]", b"{}")
_ESCAPE = re.compile(rb"\\(?:(u0000)|.)", re.DOTALL)
_NUL = re.compile(rb"\\u0000")
_SLICE = 4096
_UTF8 = codecs.getincrementaldecoder("utf-8")
_STRING = re.compile(rb'"[^"]*"')


def unreadable(diagnostics: str, expression: str | None = None) -> InvalidInput:
    """The error for what is no FHIR JSON at all: one fatal issue of code `structure`."""
    return InvalidInput([Issue("structure", diagnostics, expression, "fatal")], unreadable=True)


def check_text(body: bytes) -> bytes:
    """`body` without a leading byte order mark, known to be one JSON object in clean UTF-8, at most 100 levels deep.

    Raises InvalidInput (unreadable) for invalid UTF-8, lone surrogates, NUL, NaN and Infinity, too many levels, bytes after the end
    and a top level that is not an object.
    """
    text = body.removeprefix(BOM)
    _check_utf8(text)
    if is_deeper_than(text, MAX_DEPTH):
        raise unreadable(f"nested deeper than {MAX_DEPTH} levels")
    try:
        _RAW.decode(text)
    except (msgspec.DecodeError, RecursionError) as error:
        raise unreadable(malformed(error)) from error
    if not text.lstrip(b" \t\r\n").startswith(b"{"):
        raise unreadable("the body is not a JSON object")
    if b"\\" in text and _NUL.search(text) and any(match[1] for match in _ESCAPE.finditer(text)):
        raise unreadable("a string holds NUL")
    return text


def malformed(error: Exception) -> str:
    """What a decoder's error says of the text: the fault and its byte position, never a value."""
    return str(error) if isinstance(error, msgspec.DecodeError) else "the JSON cannot be read"


def is_deeper_than(text: bytes, levels: int) -> bool:
    """Whether objects and arrays nest deeper than `levels`: exact for well-formed JSON, without recursion; False where it is malformed.

    What remains are brackets, of one kind; taking out all innermost pairs takes one level off.
    """
    if b"\\" in text:
        text = _ESCAPE.sub(b"", text)
    skeleton = text.translate(_AS_OBJECTS, _ALL_BUT_STRUCTURE).replace(b'""', b"")
    if b'"' in skeleton:
        skeleton = _STRING.sub(b"", skeleton)
    for _ in range(levels):
        shallower = skeleton.replace(b"{}", b"")
        if len(shallower) == len(skeleton):
            return False
        skeleton = shallower
    return b"{}" in skeleton


def _check_utf8(text: bytes) -> None:
    """In slices, most of which are ASCII and need no decoding."""
    decoder = _UTF8()
    try:
        for start in range(0, len(text), _SLICE):
            piece = text[start : start + _SLICE]
            if not piece.isascii() or decoder.getstate()[0]:
                decoder.decode(piece)
        decoder.decode(b"", final=True)
    except UnicodeDecodeError as error:
        raise unreadable("not valid UTF-8") from error
