"""The log for foreign tools (docs/design/checkpoint.md): C2SP tlog-tiles with the prefix /ledger."""

import re

from flask import Blueprint, Response

from chain.log import TILE_WIDTH
from chain.merkle import HASH_SIZE
from gateway.checkpoints import served_checkpoint
from gateway.errors import NotFound
from gateway.web.authorization import public
from gateway.web.proofs import FOR_EVER
from gateway.web.request_context import ledger, services

_LEVEL = re.compile(r"[0-9]|[1-5][0-9]|6[0-3]")
_PLACE = re.compile(r"((?:x[0-9]{3}/)*[0-9]{3})(?:\.p/([1-9][0-9]{0,2}))?")
_MAX_DIGITS = 15  # so that the last transaction of a tile has a number of 64 bits

tlog = Blueprint("tlog", __name__)


@tlog.get("/ledger/checkpoint")
@public
def checkpoint() -> Response:
    """The signed and cosigned head of the log, a note of plain text."""
    note = served_checkpoint(services().index, ledger())
    if note is None:
        raise NotFound("the log has signed no checkpoint yet; it does with the next block, once its key is registered")
    answer = Response(note, content_type="text/plain; charset=utf-8")
    answer.headers["Cache-Control"] = "no-cache"
    return answer


@tlog.get("/ledger/tile/<level>/<path:place>")
@public
def tile(level: str, place: str) -> Response:
    """A tile's hashes, 32 bytes each."""
    if not _LEVEL.fullmatch(level):
        raise NotFound("there is no tile of this name")
    number, width = _parsed(place)
    hashes = ledger().tile(int(level), number)[: width * HASH_SIZE]
    return _for_ever(hashes if len(hashes) == width * HASH_SIZE else None)


@tlog.get("/ledger/tile/entries/<path:place>")
@public
def entries(place: str) -> Response:
    """The transactions behind a tile of level 0, each after its length (u16, big-endian)."""
    number, width = _parsed(place)
    found = ledger().entries(number * TILE_WIDTH, number * TILE_WIDTH + width)
    return _for_ever(b"".join(len(one).to_bytes(2, "big") + one for one in found) if len(found) == width else None)


def _parsed(place: str) -> tuple[int, int]:
    """Number and width of a tile, in the one spelling that there is of each."""
    found = _PLACE.fullmatch(place)
    digits = found[1].replace("x", "").replace("/", "") if found else ""
    width = int(found[2] or TILE_WIDTH) if found else 0
    if not 0 < len(digits) <= _MAX_DIGITS or (len(digits) > 3 and digits.startswith("000")) or (found and found[2] and width >= TILE_WIDTH):
        raise NotFound("there is no tile of this name")
    return int(digits), width


def _for_ever(found: bytes | None) -> Response:
    if found is None:
        raise NotFound("the log does not reach so far")
    answer = Response(found, content_type="application/octet-stream")
    answer.headers["Cache-Control"] = FOR_EVER
    return answer
