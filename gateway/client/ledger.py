"""A gateway's ledger from afar, without an account: its head, its delegates, and handing in what a holder or delegate signed."""

import json
from collections.abc import Mapping
from typing import Any

import requests
from requests.exceptions import InvalidSchema, InvalidURL, MissingSchema

from chain.genesis import Genesis

_TIMEOUT_SECONDS = (10, 60)


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
        return int(self._get("/ledger/head")["height"])

    def standing(self) -> list[tuple[bytes, str]]:
        """Keys and names of those who stand for election. Raises LedgerUnreachable."""
        return [(bytes.fromhex(one["key"]), str(one["name"])) for one in self._get("/ledger/delegates")["standing"]]

    def submit(self, transaction: bytes) -> None:
        """Raises NotTaken and LedgerUnreachable."""
        sent = {"data": transaction, "headers": {"Content-Type": "application/cbor"}}
        _taken(_answer("POST", f"{self._url}/ledger/transactions", **sent), requests.codes.accepted)

    def proof(self, kind: str, asked: Mapping[str, str | int | None]) -> bytes:
        """The file of a proof (`finality`, `inclusion`, `consistency`, `state`), as it came. Raises NotTaken, LedgerUnreachable."""
        told = {name: value for name, value in asked.items() if value is not None}
        return _taken(_answer("GET", f"{self._url}/ledger/proofs/{kind}", params=told), requests.codes.ok).content

    def _get(self, path: str) -> Any:
        try:
            return json.loads(fetched(self._url + path))
        except ValueError as error:
            raise LedgerUnreachable(f"{self._url}{path} cannot be read: {type(error).__name__}") from error


def fetched(url: str) -> bytes:
    """What lies at `url`. Raises LedgerUnreachable."""
    answer = _answer("GET", url)
    if answer.status_code != requests.codes.ok:
        raise LedgerUnreachable(f"{url}: the gateway answered {answer.status_code}")
    return answer.content


def _taken(answer: requests.Response, expected: int) -> requests.Response:
    """Raises NotTaken, or LedgerUnreachable if it is not about what was asked."""
    if answer.status_code == expected:
        return answer
    reason = f"the gateway answered {answer.status_code}: {_diagnostics(answer)}"
    raise LedgerUnreachable(reason) if answer.status_code >= requests.codes.server_error else NotTaken(reason)


def _answer(method: str, url: str, **sent: Any) -> requests.Response:
    """Raises LedgerUnreachable."""
    try:
        return requests.request(method, url, timeout=_TIMEOUT_SECONDS, allow_redirects=False, **sent)
    except (MissingSchema, InvalidSchema, InvalidURL) as error:
        raise LedgerUnreachable(f"{url} is no address of a gateway, such as https://fhir.example.org") from error
    except requests.RequestException as error:
        raise LedgerUnreachable(f"{url} cannot be reached: {type(error).__name__}") from error


def _diagnostics(answer: requests.Response) -> str:
    try:
        return str(answer.json()["issue"][0]["diagnostics"])
    except (ValueError, LookupError, TypeError):
        return "without a reason"
