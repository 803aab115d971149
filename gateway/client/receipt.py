"""Fetching the receipt of a record: the read names it (`Link: <...>; rel="receipt"`), and until the anchor is final there is none yet."""

import json
import re
from collections.abc import Callable
from urllib.parse import urlsplit

from gateway.client.connection import Answer, Connection

RECORD = re.compile(r"[A-Z][A-Za-z]{1,63}/[A-Za-z0-9.-]{1,64}(?:/_history/[A-Za-z0-9.-]{1,64})?", re.ASCII)
POLL_SECONDS = 0.5
_RECEIPT_LINK = re.compile(r'<([^>]*)>\s*;[^,]*\brel="?receipt"?')
_PENDING = 202


class NoReceiptThere(Exception):
    """The gateway has no receipt to give for this record; the message is its reason."""


class NotYetFinal(Exception):
    """The record is stored; the ledger has not accepted its anchor yet."""


def receipt_link(headers_link: str | None) -> str | None:
    """The target of the first `rel="receipt"` in a Link header (RFC 8288)."""
    found = _RECEIPT_LINK.search(headers_link or "")
    return found[1] if found else None


def fetch_receipt(
    connection: Connection, record: str, *, wait_seconds: float, clock: Callable[[], float], sleep: Callable[[float], None]
) -> bytes:
    """The receipt's file of `record` (`Type/id`, or with `/_history/version`), asked for until it is there or `wait_seconds` are over.

    Raises NoReceiptThere, NotYetFinal, and what the connection raises. ValueError if `record` is no such name.
    """
    if not RECORD.fullmatch(record):
        raise ValueError(f"{record!r} is no record: its name looks like Observation/0123")
    path = _receipt_path(connection, record)
    deadline = clock() + wait_seconds
    while True:
        answer = connection.ask("GET", path)
        if answer.status == 200:
            return answer.body
        if answer.status != _PENDING:
            raise NoReceiptThere(_reason(answer))
        if clock() + POLL_SECONDS > deadline:
            raise NotYetFinal(f"the anchor of {record} is not final yet")
        sleep(POLL_SECONDS)


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
