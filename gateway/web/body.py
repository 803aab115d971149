"""The body of a request, whole or refused. Flask cuts an over-long chunked body short without a word, and never
gunzips: both are done here.

The caps hold for what was sent and for what it unpacks to, so no request can make a worker hold more than twice `MAX_BODY`.
"""

import zlib
from collections.abc import Iterator
from typing import Protocol

from fhir_adapters.issue import InvalidInput, Issue
from gateway.errors import TooLarge, UnsupportedMedia

MAX_BODY = 32 * 1024 * 1024  # bytes, decoded
_STEP = 256 * 1024  # bytes read or unpacked at a time
_MAX_RATIO = 200  # FHIR JSON packs 4 to 30 times; a body that unpacks further was made to do harm
_RATIO_COUNTS_FROM = 1024 * 1024  # bytes of output; below, a ratio says nothing


class ByteStream(Protocol):
    """wsgi.input: ends where the body ends, also for chunked bodies."""

    def read(self, size: int, /) -> bytes:
        """At most `size` bytes, none at the end."""


def read_body(stream: ByteStream, *, content_length: int | None, content_encoding: str | None, limit: int = MAX_BODY) -> bytes:
    """All bytes, unpacked. Raises TooLarge, UnsupportedMedia (an encoding that is not gzip) or InvalidInput (cut short, not gzip)."""
    if content_length is not None and content_length > limit:
        raise _too_large(limit)
    encoding = (content_encoding or "identity").strip().lower()
    sent = _sent(stream, limit)
    if encoding == "identity":
        return b"".join(sent)
    if encoding in ("gzip", "x-gzip"):
        return b"".join(_unpacked(sent, limit))
    raise UnsupportedMedia("the Content-Encoding of a request may be gzip, or none")


def _sent(stream: ByteStream, limit: int) -> Iterator[bytes]:
    total = 0
    while True:
        try:
            piece = stream.read(_STEP)
        except Exception as error:  # every server has its own errors for a broken chunk or a connection that went away
            raise _unreadable("the body ended early or its chunks are malformed") from error
        if not piece:
            return
        total += len(piece)
        if total > limit:
            raise _too_large(limit)
        yield piece


def _unpacked(sent: Iterator[bytes], limit: int) -> Iterator[bytes]:
    """Members of a gzip file one after the other (RFC 1952, 2.2), unpacked in steps so that the caps act before the memory is taken."""
    taken = given = 0
    unpack = zlib.decompressobj(wbits=31)
    started = False
    for piece in sent:
        taken += len(piece)
        rest = piece
        while rest:
            if unpack.eof:
                unpack, started = zlib.decompressobj(wbits=31), False
            try:
                out = unpack.decompress(rest, _STEP)
            except zlib.error as error:
                raise _unreadable("the body is not gzip, as its Content-Encoding says") from error
            started = True
            given += len(out)
            if given > limit or (given > _RATIO_COUNTS_FROM and given > taken * _MAX_RATIO):
                raise _too_large(limit)
            yield out
            rest = unpack.unused_data or unpack.unconsumed_tail
    yield unpack.flush()  # what it held back because a step was full: less than one step
    if started and not unpack.eof:
        raise _unreadable("the gzip body ends early")


def _too_large(limit: int) -> TooLarge:
    return TooLarge(f"a request may hold {limit:,} bytes, unpacked; split the bundle")


def _unreadable(diagnostics: str) -> InvalidInput:
    return InvalidInput([Issue("structure", diagnostics)], unreadable=True)
