"""POST /ledger/verify: receipts and proofs, one a line, each answered by a line as they come (docs/design/receipt.md, batches).

For anyone, so bounded: by the body's size, the time that it may take to come, the length of a line, and the places of a worker. Nothing
is kept and no record is taken: whoever wants to know for certain verifies at home, with a genesis file that is not from here.
"""

import time
from collections.abc import Callable, Iterator
from itertools import takewhile
from threading import BoundedSemaphore
from typing import Any

import msgspec
from flask import Blueprint, Response, request

from gateway.errors import TooLarge, UnsupportedMedia
from gateway.line_verification import Counts, lines_of, verify_lines
from gateway.verifiers import NOT_CHECKED, Check, checker
from gateway.web.authorization import public
from gateway.web.body import MAX_BODY
from gateway.web.errors import TooManyRequests
from gateway.web.request_body import patience
from gateway.web.request_context import services

NDJSON = "application/x-ndjson"
PLACES = 2  # batches at a time in one worker, of its 16 threads: they want the whole of a core
WITHIN_SECONDS = 120.0  # for a body to come and its answer to be taken
LONGEST_LINE = 256 * 1024  # a receipt with fifty handovers of 21 delegates
STEP = 4096  # a body is waited for in steps of this

verify = Blueprint("verify", __name__)
_places = BoundedSemaphore(PLACES)


@verify.post("/ledger/verify")
@public
def verify_batch() -> Response:
    """NDJSON in, NDJSON out: an outcome for each line, and the counts when the body has ended."""
    if request.content_encoding not in (None, "", "identity"):
        raise UnsupportedMedia("a batch of receipts is sent as it is, without a Content-Encoding")
    if request.content_length is not None and request.content_length > MAX_BODY:
        raise TooLarge(f"a batch may hold {MAX_BODY:,} bytes; split it")
    check = checker(services().settings.genesis_path.read_bytes())
    if not _places.acquire(blocking=False):
        raise TooManyRequests("other batches are being verified; come back, or verify with `fhir-anchor receipt verify`", retry_after=5)
    answer = Response(_answers(request.stream, request.environ, check), content_type=NDJSON)
    answer.call_on_close(_places.release)
    return answer


def _answers(stream: Any, environ: dict[str, Any], check: Check, clock: Callable[[], float] = time.monotonic) -> Iterator[bytes]:
    """All of it within `patience`: a client that takes no answers waits no longer for the last line than for another."""
    counts, body = Counts(), _Body(stream, clock)
    with patience(environ, WITHIN_SECONDS):
        outcomes = verify_lines(lines_of(body.pieces(), LONGEST_LINE), check, with_records=False)
        for outcome in counts.each(takewhile(lambda _: body.is_open(), outcomes)):  # what came of a line that was cut short is none
            yield _line(outcome)
        if body.fault:
            counts.of[NOT_CHECKED] += 1
            yield _line({"result": NOT_CHECKED, "detail": body.fault})
        yield _line(counts.told())


class _Body:
    """The body as it comes. What ends it early is no error of the answer, which has begun, but its last line."""

    def __init__(self, stream: Any, clock: Callable[[], float]) -> None:
        """`clock` in seconds from anywhere."""
        self._stream, self._clock = stream, clock
        self._until = clock() + WITHIN_SECONDS
        self.fault = ""

    def is_open(self) -> bool:
        """Whether nothing has ended it. Time does, also while lines that came at once wait for answers to be taken."""
        if not self.fault and self._clock() > self._until:
            self.fault = f"a batch may take {WITHIN_SECONDS:.0f} seconds, its answers taken; split it"
        return not self.fault

    def pieces(self) -> Iterator[bytes]:
        taken = 0
        while taken <= MAX_BODY:
            if not self.is_open():
                return
            try:
                piece = self._stream.read(STEP)
            except Exception:  # every server has its own errors for a connection that went away or fell silent
                self.fault = "the rest of the body did not come"
                return
            if not piece:
                return
            taken += len(piece)
            yield piece
        self.fault = f"a batch may hold {MAX_BODY:,} bytes; split it"


def _line(told: dict[str, Any]) -> bytes:
    return msgspec.json.encode(told) + b"\n"
