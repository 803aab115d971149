"""Sending one file and reading what became of each of its resources (http://hl7.org/fhir/R4/http.html#transaction-response)."""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fhir_adapters.issue import InvalidInput, Issue
from gateway.client.connection import Answer, Connection
from gateway.client.receipt import receipt_link
from gateway.client.submission import Submission, parse_submission, signed_headers
from gateway.submission import OUTCOME_SYSTEM

UNREAD = "no-store"  # of the issue that says that a file could not be read
_LOCATION = re.compile(r"(?:.*/)?([A-Z][A-Za-z]*/[A-Za-z0-9.-]{1,64})/_history/[A-Za-z0-9.-]{1,64}")


@dataclass(slots=True)
class Pushed:
    """What became of one file: `resources` is the sum of the four after it. `errors` are OperationOutcome issues, with the file's name."""

    file: str
    resources: int = 0
    created: int = 0
    updated: int = 0
    unchanged: int = 0
    failed: int = 0
    receipts: list[dict[str, str]] = field(default_factory=list)
    errors: list[dict[str, Any]] = field(default_factory=list)

    def refuse(self, count: int, status: int | None, issues: list[dict[str, Any]]) -> None:
        """Count `count` resources as refused and keep the reasons. `status` is None for what was not sent at all."""
        self.failed += count
        self.errors += [{"file": self.file, "status": status, **issue} for issue in issues]


def push_file(connection: Connection, path: Path, *, now: Callable[[], float]) -> Pushed:
    """Send one file, signed. What the gateway refuses is in the result; raises Unreachable and SignInRefused only."""
    pushed = Pushed(str(path))
    try:
        sent = parse_submission(path.read_bytes())
    except OSError as error:
        pushed.resources = 1
        pushed.refuse(1, None, [_issue(Issue(UNREAD, error.strerror or "the file cannot be read"))])
        return pushed
    except InvalidInput as error:
        pushed.resources = 1
        pushed.refuse(1, None, [_issue(issue) for issue in error.issues])
        return pushed
    pushed.resources = len(sent.entries)
    headers = signed_headers(sent, connection.credentials, int(now())) | {"Prefer": "return=OperationOutcome"}
    _read_answer(pushed, sent, connection.ask("POST", sent.path, sent.body, headers))
    return pushed


def _read_answer(pushed: Pushed, sent: Submission, answer: Answer) -> None:
    told = _json(answer.body)
    if not 200 <= answer.status < 300:
        pushed.refuse(len(sent.entries), answer.status, _issues(told) or [_issue(Issue("exception", f"HTTP status {answer.status}"))])
        return
    # A replay means that nothing was written now, unless it was our own broken try that wrote it.
    replayed = answer.headers.get("Idempotent-Replay") == "true" and not answer.retried
    if sent.kind != "Bundle":
        receipt = receipt_link(answer.headers.get("Link"))
        is_equal = replayed or _is_unchanged(told)
        _count(pushed, str(answer.status), answer.headers.get("Location"), receipt, is_equal=is_equal)
        return
    entries = told.get("entry", []) if isinstance(told, dict) else []
    for entry in entries:
        _read_entry(pushed, entry if isinstance(entry, dict) else {}, replayed=replayed)
    if len(entries) != len(sent.entries):
        missing = Issue("exception", f"the answer has {len(entries)} entries for {len(sent.entries)} that were sent")
        pushed.refuse(max(0, len(sent.entries) - len(entries)), answer.status, [_issue(missing)])


def _read_entry(pushed: Pushed, entry: dict[str, Any], *, replayed: bool) -> None:
    response = entry.get("response") or {}
    status = str(response.get("status", ""))
    if not status.startswith("2"):
        code = int(status[:3]) if status[:3].isdecimal() else None
        pushed.refuse(1, code, _issues(response.get("outcome")) or [_issue(Issue("exception", f"status {status}"))])
        return
    receipts = [link.get("url") for link in entry.get("link", []) if link.get("relation") == "receipt"]
    is_equal = replayed or _is_unchanged(response.get("outcome"))
    _count(pushed, status, response.get("location"), receipts[0] if receipts else None, is_equal=is_equal)


def _count(pushed: Pushed, status: str, location: object, receipt: object, *, is_equal: bool) -> None:
    """A deletion is an update; of what was not there it has no location, and changes nothing."""
    if is_equal or not isinstance(location, str):
        pushed.unchanged += 1
    elif status.startswith("201"):
        pushed.created += 1
    else:
        pushed.updated += 1
    place = _LOCATION.fullmatch(location) if isinstance(location, str) else None
    if place:
        pushed.receipts.append({"record": place[1], "url": receipt if isinstance(receipt, str) else ""})


def _is_unchanged(outcome: object) -> bool:
    """Whether an OperationOutcome says that equal content was there."""
    issues = outcome.get("issue") if isinstance(outcome, dict) else None
    codings = [coding for issue in issues or [] for coding in issue.get("details", {}).get("coding", [])]
    return {"system": OUTCOME_SYSTEM, "code": "unchanged"} in codings


def _issues(told: object) -> list[dict[str, Any]]:
    """The issues of an OperationOutcome, in the four fields that are shown."""
    found = told.get("issue") if isinstance(told, dict) and told.get("resourceType") == "OperationOutcome" else None
    kept = ("severity", "code", "diagnostics", "expression")
    return [{name: issue[name] for name in kept if name in issue} for issue in found or [] if isinstance(issue, dict)]


def _issue(issue: Issue) -> dict[str, Any]:
    shown = {"severity": issue.severity, "code": issue.code, "diagnostics": issue.diagnostics}
    return {**shown, "expression": [issue.expression]} if issue.expression else shown


def _json(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        return None
