"""What a verifier found, as people read it: several lines for a file that was named, one for each of many."""

import time
from typing import Any

from gateway.commands.context import printable
from gateway.commands.entry_words import entry_words, transaction_kind
from gateway.verifiers import VALID, Outcome
from gateway.wording import counted


def words(outcome: Outcome) -> str:
    """A file's outcome, with what was checked and what not."""
    lines = [(f"{outcome['result'].upper()}  {outcome['file']}")]
    if outcome["result"] != VALID:
        lines.append(f"  {outcome['detail']}")
    else:
        lines += [f"  {name:<12}{told}" for name, told in _told(outcome)]
    return "\n".join(map(printable, lines))


def one_line(outcome: Outcome) -> str:
    """The outcome of one of many."""
    place = f"{outcome['file']}:{outcome['line']}" if "line" in outcome else outcome["file"]
    told = outcome["detail"] if outcome["result"] != VALID else f"{_subject(outcome)}, block {outcome['height']}"
    return printable(f"{outcome['result'].upper():<16} {place}  {told}")


def _subject(outcome: Outcome) -> str:
    if "proof" in outcome:
        return f"{outcome['proof']} proof"
    return str(outcome["reference"]) if "reference" in outcome else f"access {outcome['sequence']}"


def _told(outcome: Outcome) -> list[tuple[str, str]]:
    """What a valid receipt or proof says, line by line, and how far the check went."""
    at = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(outcome["accepted_at"]))
    accepted = ("accepted", f"{at}, block {outcome['height']}, by {outcome['votes']} of {outcome['delegates']} delegates")
    checked = ["chain", f"header and {outcome['votes']} votes"]
    if "proof" in outcome:
        return [*_of_ledger(outcome), accepted, ("checked", "; ".join([*checked, *_CHECKED[outcome["proof"]]]))]
    if "reference" not in outcome:
        return [*_of_access(outcome), accepted, ("checked", "; ".join([*checked, "batch in the log", "entry in the batch"]))]
    checked += ["anchor in the log", "record's commitment in the anchor"]
    checked += ["submission's signature and its signer"] if outcome["who"] else []
    checked += ["record's bytes, type, id and version"] if outcome["record_checked"] else []
    return [
        ("record", outcome["reference"]),
        *([("by", outcome["who"])] if outcome["who"] else []),
        accepted,
        ("checked", "; ".join(checked)),
        *[("not checked", what) for what in outcome["not_checked"]],
    ]


_CHECKED = {
    "finality": [],
    "inclusion": ["transaction in the log"],
    "consistency": ["the smaller log in the larger"],
    "state": ["entry, or the gap where it would be, in the state"],
}


def _of_ledger(outcome: Outcome) -> list[tuple[str, str]]:
    says: dict[str, Any] = outcome["says"]
    if outcome["proof"] == "inclusion":
        return [("transaction", f"{says['transaction']}, {transaction_kind(says['kind'])}, number {says['index']} of the log")]
    if outcome["proof"] == "consistency":
        return [
            (
                "log",
                f"the root of its first {counted(says['first_size'], 'transactions')}, of {outcome['log_size']}, is {says['first_root']}",
            )
        ]
    if outcome["proof"] == "state":
        value = None if says["value"] is None else bytes.fromhex(says["value"])
        return entry_words(says["kind"], bytes.fromhex(says["name"]), value)
    return [("block", f"{outcome['block']}, {counted(outcome['log_size'], 'transactions')} in its log")]


def _of_access(outcome: Outcome) -> list[tuple[str, str]]:
    read_at = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(outcome["accessed_ms"] // 1000))
    return [
        ("access", f"{outcome['sequence']}, {read_at} by the gateway's clock"),
        ("reader", f"{outcome['client_id']} for {outcome['purpose']}, by grant {outcome['grant']}"),
        *[("got", record) for record in outcome["records"]],
    ]
