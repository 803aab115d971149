"""A gateway's ledger from afar, without an account: its head, its delegates, and handing in what a holder or delegate signed."""

import time
from collections.abc import Mapping
from typing import Annotated, Any, NamedTuple, TypeVar

import msgspec
import requests
from msgspec import Meta, Struct
from requests.exceptions import InvalidSchema, InvalidURL, MissingSchema
from urllib3.exceptions import HTTPError

from chain.genesis import Genesis
from gateway.client.bounded_answer import ANSWER_SECONDS, AS_IT_IS, read_answer

_TIMEOUT_SECONDS = (10, 60)

_Told = TypeVar("_Told", bound=Struct)


class _Head(Struct):
    height: Annotated[int, Meta(ge=0, le=1 << 62)]  # what is signed is valid for some heights more


class _Standing(Struct):
    key: Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]
    name: str


class _Delegates(Struct):
    standing: list[_Standing]


class _Answer(NamedTuple):
    status: int
    body: bytes


class LedgerUnreachable(Exception):
    """The gateway could not be reached, or answered nothing that makes sense; it may be tried again."""


class NotTaken(Exception):
    """The gateway did not take the transaction, or has no such proof; the message has its reason."""


class RemoteLedger:
    """The ledger of the gateway at `url`. It is believed for convenience only: a signature names its chain by the genesis file."""

    def __init__(self, url: str, genesis: Genesis) -> None:
        self._url, self.genesis = url.rstrip("/"), genesis

    def height(self) -> int:
        """Raises LedgerUnreachable."""
        return self._get("/ledger/head", _Head).height

    def standing(self) -> list[tuple[bytes, str]]:
        """Keys and names of those who stand for election. Raises LedgerUnreachable."""
        return [(bytes.fromhex(one.key), one.name) for one in self._get("/ledger/delegates", _Delegates).standing]

    def submit(self, transaction: bytes) -> None:
        """Raises NotTaken and LedgerUnreachable."""
        sent = {"data": transaction, "headers": {**AS_IT_IS, "Content-Type": "application/cbor"}}
        _taken(_answer("POST", f"{self._url}/ledger/transactions", **sent), requests.codes.accepted)

    def proof(self, kind: str, asked: Mapping[str, str | int | None]) -> bytes:
        """The file of a proof (`finality`, `inclusion`, `consistency`, `state`), as it came. Raises NotTaken, LedgerUnreachable."""
        told = {name: value for name, value in asked.items() if value is not None}
        return _taken(_answer("GET", f"{self._url}/ledger/proofs/{kind}", params=told), requests.codes.ok).body

    def _get(self, path: str, kind: type[_Told]) -> _Told:
        try:
            return msgspec.json.decode(fetched(self._url + path), type=kind)
        except (msgspec.DecodeError, RecursionError) as error:
            raise LedgerUnreachable(f"{self._url}{path} cannot be read: {type(error).__name__}") from error


def fetched(url: str) -> bytes:
    """What lies at `url`. Raises LedgerUnreachable."""
    answer = _answer("GET", url)
    if answer.status != requests.codes.ok:
        raise LedgerUnreachable(f"{url}: the gateway answered {answer.status}")
    return answer.body


def _taken(answer: _Answer, expected: int) -> _Answer:
    """Raises NotTaken, or LedgerUnreachable if it is not about what was asked."""
    if answer.status == expected:
        return answer
    reason = f"the gateway answered {answer.status}: {_diagnostics(answer.body)}"
    raise LedgerUnreachable(reason) if answer.status >= requests.codes.server_error else NotTaken(reason)


def _answer(method: str, url: str, **sent: Any) -> _Answer:
    """Raises LedgerUnreachable."""
    until, told = time.monotonic() + ANSWER_SECONDS, {"headers": AS_IT_IS, **sent}
    try:
        with requests.request(method, url, timeout=_TIMEOUT_SECONDS, allow_redirects=False, stream=True, **told) as answer:
            return _Answer(answer.status_code, read_answer(answer, until, time.monotonic))
    except (MissingSchema, InvalidSchema, InvalidURL) as error:
        raise LedgerUnreachable(f"{url} is no address of a gateway, such as https://fhir.example.org") from error
    except (requests.RequestException, HTTPError, OSError) as error:
        raise LedgerUnreachable(f"{url} cannot be reached: {type(error).__name__}") from error


def _diagnostics(body: bytes) -> str:
    try:
        return str(msgspec.json.decode(body)["issue"][0]["diagnostics"])
    except (msgspec.DecodeError, LookupError, TypeError, RecursionError):
        return "without a reason"
