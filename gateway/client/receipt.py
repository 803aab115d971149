"""The receipt of a record, which the read names (`Link: <...>; rel="receipt"`), or of an access; until it is final there is none."""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

from gateway.client.connection import Answer, Connection

RECORD = re.compile(r"[A-Z][A-Za-z]{1,63}/[A-Za-z0-9.-]{1,64}(?:/_history/[A-Za-z0-9.-]{1,64})?", re.ASCII)
POLL_SECONDS = 0.5
_RECEIPT_LINK = re.compile(r'<([^>]*)>\s*;[^,]*\brel="?receipt"?')
_PENDING = 202


class NoReceiptThere(Exception):
    """The gateway has no receipt to give for this; the message is its reason."""


class NotYetFinal(Exception):
    """It is stored; the ledger has not accepted its anchor or batch yet."""


def receipt_link(headers_link: str | None) -> str | None:
    """The target of the first `rel="receipt"` in a Link header (RFC 8288)."""
    found = _RECEIPT_LINK.search(headers_link or "")
    return found[1] if found else None


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a receipt that is not final yet is asked for again, or a checkpoint. `clock` in seconds."""

    wait_seconds: float
    clock: Callable[[], float]
    sleep: Callable[[float], None]


def fetch_receipt(connection: Connection, record: str, patience: Patience, start: int = 0) -> bytes:
    """The receipt's file of `record` (`Type/id`, or with `/_history/version`), asked for until it is there or the patience is over.

    With a `start` it is against the block of that height or a later one, and its handovers begin there. Raises NoReceiptThere, NotYetFinal,
    and what the connection raises. ValueError if `record` is no such name.
    """
    if not RECORD.fullmatch(record):
        raise ValueError(f"{record!r} is no record: its name looks like Observation/0123")
    return _awaited(connection, _receipt_path(connection, record) + _from(start), f"the anchor of {record}", patience)


def fetch_access_receipt(connection: Connection, sequence: int, patience: Patience, start: int = 0) -> bytes:
    """The receipt's file of the access of that number (`X-Access-Sequence`). Otherwise as `fetch_receipt`."""
    return _awaited(connection, f"/ledger/accesses/{sequence}{_from(start)}", f"the batch of access {sequence}", patience)


def _from(start: int) -> str:
    """For who has pinned the block of that height: the receipt is against it or a later one."""
    return f"?from={start}" if start else ""


def _awaited(connection: Connection, path: str, awaited: str, patience: Patience) -> bytes:
    deadline = patience.clock() + patience.wait_seconds
    while True:
        answer = connection.ask("GET", path)
        if answer.status == 200:
            return answer.body
        if answer.status != _PENDING:
            raise NoReceiptThere(_reason(answer))
        if patience.clock() + POLL_SECONDS > deadline:
            raise NotYetFinal(f"{awaited} is not final yet")
        patience.sleep(POLL_SECONDS)


def _receipt_path(connection: Connection, record: str) -> str:
    answer = connection.ask("GET", f"/fhir/{record}", headers={"Accept": "application/fhir+json"})
    if answer.status != 200:
        raise NoReceiptThere(_reason(answer))
    link = receipt_link(answer.headers.get("Link"))
    if link is None:
        raise NoReceiptThere(f"the gateway names no receipt of {record}")
    base = connection.credentials.base_url
    # What the gateway calls itself may differ from how it was reached; the token goes nowhere else than there.
    return link.removeprefix(base) if link.startswith(base + "/") else urlsplit(link).path


def _reason(answer: Answer) -> str:
    try:
        issues = json.loads(answer.body)["issue"]
        return f"{issues[0]['diagnostics']} (HTTP status {answer.status})"
    except (ValueError, KeyError, IndexError, TypeError):
        return f"the gateway answered with HTTP status {answer.status}"
