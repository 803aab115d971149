"""Where delegates elsewhere vote (docs/design/voter.md): they ask what there is to sign, and send what they have signed."""

import time
from threading import BoundedSemaphore

from flask import Blueprint, Response, request

from chain.block import Proposal
from gateway.vault.submission import to_base64url
from gateway.voting import MAX_BYTES, take_ballot
from gateway.web.authorization import public
from gateway.web.ledger import json_answer
from gateway.web.request_body import request_body
from gateway.web.request_context import ledger, services

WAIT_SECONDS = 5.0  # at most, for something new
LOOK_SECONDS = 0.05
PLACES = 8  # who wait at a time in one worker, of its 16 threads; for who finds none there is an answer at once

voting = Blueprint("voting", __name__)
_places = BoundedSemaphore(PLACES)


@voting.get("/ledger/proposal")
@public
def proposal() -> Response:
    """How far the chain is, and the block that is proposed now; 204 if in a while nothing has changed since `after`, as answered before."""
    mark = _changed_since(request.args.get("after", ""))
    if mark is None:
        return Response(status=204)
    reader = ledger()
    proposed, head = reader.proposal(), reader.head()
    return json_answer(
        {
            "after": mark,
            "height": head.height if head else 0,
            "hash": (head.hash() if head else services().chain_id).hex(),
            "proposal": None if proposed is None else _told(proposed),
        }
    )


@voting.post("/ledger/votes")
@public
def vote() -> Response:
    """Take a delegate's ballot: its bytes are the body. 202; the jobs process counts it within the slot; a cosignature is served."""
    take_ballot(services().index, ledger(), request_body(MAX_BYTES), int(services().clock()))
    return Response(status=202)


def _changed_since(after: str) -> str | None:
    """The chain's present mark, once it is another than `after`; None if that takes too long, or too many wait already."""
    mark = _mark()
    if mark == after and _places.acquire(blocking=False):
        try:
            until = time.monotonic() + WAIT_SECONDS
            while mark == after and time.monotonic() < until:
                time.sleep(LOOK_SECONDS)
                mark = _mark()
        finally:
            _places.release()
    return None if mark == after else mark


def _mark() -> str:
    height, proposed, is_signed = ledger().stage()
    return f"{height}-{proposed.hex()[:32]}-{'signed' if is_signed else 'open'}"


def _told(proposed: Proposal) -> dict[str, object]:
    return {
        "header": to_base64url(proposed.header),
        "transactions": [to_base64url(transaction) for transaction in proposed.transactions],
        "signature": None if proposed.signature is None else to_base64url(proposed.signature),
    }
