"""A gateway's chain as a delegate elsewhere asks for it. Nothing that comes is believed, and nothing that comes can fill memory or last.

What an answer may take stands in `gateway.client.bounded_answer`; redirects are not followed.
"""

import base64
import time
from collections.abc import Callable
from typing import Annotated, TypeVar

import msgspec
import requests
from msgspec import Meta, Struct
from urllib3.exceptions import HTTPError

from chain.ballot import Ballot
from chain.block import FinalBlock, Header, Proposal, Vote, block_hash
from chain.format import MOST
from chain.kinds import MAX_HEIGHT
from gateway.client.bounded_answer import ANSWER_SECONDS, AS_IT_IS, MAX_ANSWER, TooMuch, read_answer

MAX_VOTES = 1000
TIMEOUT_SECONDS = (10, 30)  # to connect; between bytes, longer than a gateway makes wait

_Told = TypeVar("_Told", bound=Struct)
_Text = Annotated[str, Meta(max_length=MAX_ANSWER)]
_Height = Annotated[int, Meta(ge=0, le=MAX_HEIGHT)]
_Transactions = Annotated[list[_Text], Meta(max_length=MOST.transactions)]


class ChainUnreachable(Exception):
    """The gateway cannot be reached, is not ready, or answers nothing that makes sense; it may be asked again."""


class BallotNotTaken(Exception):
    """The gateway refuses the ballot; the message is what it said."""


class _Proposal(Struct):
    header: _Text
    transactions: _Transactions
    signature: _Text | None


class _Progress(Struct):
    after: Annotated[str, Meta(max_length=200)]
    height: _Height
    hash: Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]
    proposal: _Proposal | None


class _Block(Struct):
    header: _Text
    signature: _Text
    transactions: _Transactions
    votes: Annotated[list[tuple[int, _Text]], Meta(max_length=MAX_VOTES)]


class Progress(Struct, frozen=True):
    """How far the gateway says its chain is."""

    after: str  # to ask on from
    height: int
    hash: bytes
    proposal: Proposal | None


class RemoteChain:
    """The chain of the gateway at `url`. Not for several threads at once. `clock` in seconds, from anywhere."""

    def __init__(self, url: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._url, self._clock = url.rstrip("/"), clock
        self._session = requests.Session()
        self._session.headers.update(AS_IT_IS)

    def progress(self, after: str = "") -> Progress | None:
        """What has come since `after`; None if nothing has in a while. Raises ChainUnreachable."""
        status, body = self._ask("GET", "/ledger/proposal", params={"after": after})
        if status == requests.codes.no_content:
            return None
        _require_ok(status, body)
        told = _decoded(body, _Progress)
        proposed = told.proposal
        if proposed is None:
            return Progress(told.after, told.height, bytes.fromhex(told.hash), None)
        signature = None if proposed.signature is None else _bytes(proposed.signature)
        proposal = Proposal(_bytes(proposed.header), tuple(map(_bytes, proposed.transactions)), signature)
        return Progress(told.after, told.height, bytes.fromhex(told.hash), proposal)

    def block(self, height: int) -> FinalBlock | None:
        """The final block of a height, if there is one. Raises ChainUnreachable, and BlockInvalid for what has no header."""
        status, body = self._ask("GET", f"/ledger/blocks/{height}")
        if status == requests.codes.not_found:
            return None
        _require_ok(status, body)
        told = _decoded(body, _Block)
        header_bytes = _bytes(told.header)
        header = Header.from_bytes(header_bytes)
        votes = tuple(Vote(index, _bytes(signature)) for index, signature in told.votes)
        hash_ = block_hash(header.chain_id, header_bytes)
        return FinalBlock(header, hash_, _bytes(told.signature), tuple(map(_bytes, told.transactions)), votes)

    def checkpoint(self) -> bytes | None:
        """The log's checkpoint as anyone gets it, if there is one. Raises ChainUnreachable."""
        status, body = self._ask("GET", "/ledger/checkpoint")
        if status == requests.codes.not_found:
            return None
        _require_ok(status, body)
        return body

    def send(self, ballot: Ballot) -> None:
        """Raises BallotNotTaken and ChainUnreachable."""
        headers = {"Content-Type": "application/cbor"}
        status, body = self._ask("POST", "/ledger/votes", data=ballot.to_bytes(), headers=headers)
        if status == requests.codes.accepted:
            return
        reason = f"the gateway answered {status}: {_diagnostics(body)}"
        raise ChainUnreachable(reason) if _is_passing(status) else BallotNotTaken(reason)

    def close(self) -> None:
        self._session.close()

    def _ask(self, method: str, path: str, **named: object) -> tuple[int, bytes]:
        until = self._clock() + ANSWER_SECONDS
        try:
            with self._session.request(
                method,
                self._url + path,
                timeout=TIMEOUT_SECONDS,
                allow_redirects=False,
                stream=True,
                **named,  # type: ignore[arg-type]  # of a few keywords
            ) as answer:
                return answer.status_code, read_answer(answer, until, self._clock)
        except TooMuch as error:
            raise ChainUnreachable(str(error)) from error
        except (requests.RequestException, HTTPError, OSError) as error:
            raise ChainUnreachable(f"{self._url} cannot be reached: {type(error).__name__}") from error


def _require_ok(status: int, body: bytes) -> None:
    if status != requests.codes.ok:
        raise ChainUnreachable(f"the gateway answered {status}: {_diagnostics(body)}")


def _decoded(body: bytes, kind: type[_Told]) -> _Told:
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.DecodeError, RecursionError) as error:
        raise ChainUnreachable("the gateway's answer is not of the form that it should have") from error


def _bytes(text: str) -> bytes:
    try:
        return base64.b64decode(text.encode("ascii") + b"=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except ValueError as error:
        raise ChainUnreachable("the gateway's answer has a field that is not base64") from error


def _is_passing(status: int) -> bool:
    return status >= 500 or status == 429


def _diagnostics(body: bytes) -> str:
    """What an OperationOutcome says, as far as there is one."""
    try:
        return str(msgspec.json.decode(body)["issue"][0]["diagnostics"])[:300]
    except (msgspec.DecodeError, LookupError, TypeError, RecursionError):
        return "without a reason"
