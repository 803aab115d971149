"""The body of a gateway's answer, where the gateway is not believed: nothing that comes can fill memory or last.

It has at most MAX_ANSWER bytes, unpacked by nobody, and ANSWER_SECONDS until its last byte.
"""

from collections.abc import Callable

import requests

from chain.format import MOST

MAX_ANSWER = 2 * MOST.size  # a full block in base64 and JSON has 1.5 times its size
ANSWER_SECONDS = 60.0
AS_IT_IS = {"Accept-Encoding": "identity"}  # to be sent along
_CHUNK = 1 << 16


class TooMuch(requests.RequestException):
    """The answer is larger, or takes longer, than any answer may."""


def read_answer(answer: requests.Response, until: float, clock: Callable[[], float]) -> bytes:
    """All of an answer that was asked for as a stream; `until` by `clock`, in seconds. Raises TooMuch, and what urllib3 raises."""
    body = bytearray()
    while piece := answer.raw.read1(_CHUNK, decode_content=False):
        body += piece
        if len(body) > MAX_ANSWER or clock() > until:
            raise TooMuch("the gateway's answer is larger, or takes longer, than any answer may")
    return bytes(body)
