"""`fhir-anchor receipt`: get the receipt of a record or of an access, and verify receipts offline."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from gateway.commands.context import COULD_NOT, DONE, FINDINGS, CouldNot, json_option, leave, tell

VALID, INVALID, NOT_CHECKED = "valid", "invalid", "could not check"
Outcome = dict[str, Any]
Verify = Callable[[bytes, bytes, bytes | None], Any]  # receipt, genesis, record -> a Verdict
Kinds = tuple[type[Exception], ...]


@click.group()
def receipt() -> None:
    """Get receipts, and verify them offline."""


_as = click.option("--as", "credentials_path", required=True, metavar="CRED.json", type=click.Path(path_type=Path), help="Who asks.")
_url = click.option("--url", help="Address of the gateway, instead of the one in CRED.json.")
_wait = click.option("--wait", is_flag=True, help="Wait until the ledger has accepted it.")
_timeout = click.option(
    "--timeout", default=120, show_default=True, type=click.IntRange(1), metavar="SECONDS", help="How long to wait at most."
)
_out = click.option("--out", required=True, type=click.Path(path_type=Path, dir_okay=False), help="Where the receipt goes.")


@receipt.command(epilog="Example: fhir-anchor receipt get --as hospital.json Observation/0123 --wait --out receipt.json")
@_as
@_url
@click.argument("record", metavar="TYPE/ID")
@_wait
@_timeout
@_out
def get(*, credentials_path: Path, url: str | None, record: str, wait: bool, timeout: int, out: Path) -> None:
    """Get the receipt of a record. Exit code 1 if there is none to give, 2 if it is not final yet or the gateway cannot be reached."""
    from gateway.client.receipt import fetch_receipt

    _get(fetch_receipt, record, credentials_path, url, timeout if wait else 0, out)
    click.echo(f"The receipt of {record} is in {out}", err=True)


@receipt.command(epilog="Example: fhir-anchor receipt access --as insurer.json 42 --wait --out access-42.json")
@_as
@_url
@click.argument("sequence", type=click.IntRange(1, (1 << 63) - 1), metavar="NUMBER")
@_wait
@_timeout
@_out
def access(*, credentials_path: Path, url: str | None, sequence: int, wait: bool, timeout: int, out: Path) -> None:
    """Get the receipt of an access: for who read by a consent, and for the patient who gave it.

    NUMBER is in the header X-Access-Sequence, in what `fetch --json` tells, and in `consent accesses`.
    Exit code 1 if there is none to give, 2 if it is not final yet or the gateway cannot be reached.
    """
    from gateway.client.receipt import fetch_access_receipt

    _get(fetch_access_receipt, sequence, credentials_path, url, timeout if wait else 0, out)
    click.echo(f"The receipt of access {sequence} is in {out}", err=True)


def _get(fetch: Callable[..., bytes], named: Any, credentials_path: Path, url: str | None, wait_seconds: int, out: Path) -> None:
    from gateway.client.connection import Connection, SignInRefused, Unreachable
    from gateway.client.credentials import BadCredentials, read
    from gateway.client.receipt import NoReceiptThere, NotYetFinal

    try:
        connection = Connection(read(credentials_path).at(url))
        out.write_bytes(fetch(connection, named, wait_seconds=wait_seconds, clock=time.monotonic, sleep=time.sleep))
    except NoReceiptThere as error:
        click.echo(f"fhir-anchor: {_printable(str(error))}", err=True)
        leave(FINDINGS)
    except NotYetFinal as error:
        raise CouldNot(f"{error}" if wait_seconds else f"{error}; --wait waits for it") from error
    except OSError as error:
        raise CouldNot(f"{out}: {error.strerror or 'cannot be written'}") from error
    except (ValueError, BadCredentials, Unreachable, SignInRefused) as error:
        raise CouldNot(str(error)) from error


@receipt.command(epilog="Example: fhir-anchor receipt verify receipt.json --record record.json --genesis genesis.json")
@click.argument("receipts", nargs=-1, required=True, metavar="R.json...", type=click.Path(path_type=Path))
@click.option(
    "--record",
    "records",
    multiple=True,
    metavar="RECORD.json",
    type=click.Path(path_type=Path),
    help="The record as served: what `fetch` or GET /fhir/Type/ID gives. Once for each receipt, in the same order, or not at all.",
)
@click.option("--genesis", required=True, metavar="GENESIS.json", type=click.Path(path_type=Path), help="The chain's genesis file.")
@click.option("--independent", is_flag=True, help="Verify with the second implementation, which shares no code with the gateway.")
@json_option
def verify(*, receipts: tuple[Path, ...], records: tuple[Path, ...], genesis: Path, independent: bool, as_json: bool) -> None:
    """Verify receipts, of records and of accesses, without asking anyone.

    Exit code 0 all valid, 1 any invalid, 2 something could not be checked.
    """
    if records and len(records) != len(receipts):
        raise CouldNot(
            f"{len(receipts)} receipts and {len(records)} records: give one --record for each receipt, in the same order, or none"
        )
    try:
        genesis_bytes = genesis.read_bytes()
    except OSError as error:
        raise CouldNot(f"{genesis}: {error.strerror or 'cannot be read'}") from error
    check = _verifier(independent=independent)
    pairs = zip(receipts, records or [None] * len(receipts), strict=True)
    outcomes = [_outcome(check, receipt, record, genesis_bytes) for receipt, record in pairs]
    counts = {name.replace(" ", "_"): sum(o["result"] == name for o in outcomes) for name in (VALID, INVALID, NOT_CHECKED)}
    tell({**counts, "receipts": outcomes}, as_json=as_json, text=lambda: "\n".join(map(_words, outcomes)))
    leave(FINDINGS if counts["invalid"] else COULD_NOT if counts["could_not_check"] else DONE)


class _Invalid(Exception):
    """Either verifier's."""


class _NotChecked(Exception):
    """Either verifier's."""


def _verifier(*, independent: bool) -> Verify:
    """One of the two, with the errors of both made one."""
    from gateway import access_verification, recorded
    from gateway import independent as second
    from gateway import verification as first
    from gateway.errors import CouldNotCheck

    of_access = second.verify_access_receipt if independent else access_verification.verify_access_receipt

    def verify_access(receipt_bytes: bytes, genesis_bytes: bytes, record: bytes | None) -> Any:
        if record is not None:
            raise CouldNotCheck("the receipt of an access names records, it commits to the bytes of none: leave --record out")
        return of_access(receipt_bytes, genesis_bytes)

    def verify_any(receipt_bytes: bytes, genesis_bytes: bytes, record: bytes | None) -> Any:
        of_record = second.verify_receipt if independent else first.verify_receipt
        return (verify_access if _is_of_access(receipt_bytes) else of_record)(receipt_bytes, genesis_bytes, record)

    return _with_errors(verify_any, (recorded.ReceiptInvalid, second.Invalid), (CouldNotCheck, second.Unreadable))


def _is_of_access(receipt_bytes: bytes) -> bool:
    from gateway.access_receipt_format import FORMAT

    try:
        found = json.loads(receipt_bytes)
    except (ValueError, RecursionError):
        return False
    return isinstance(found, dict) and found.get("format") == FORMAT


def _with_errors(verify_receipt: Verify, invalid: Kinds, not_checked: Kinds) -> Verify:
    def check(receipt_bytes: bytes, genesis_bytes: bytes, record: bytes | None) -> Any:
        try:
            return verify_receipt(receipt_bytes, genesis_bytes, record)
        except invalid as error:
            raise _Invalid(str(error)) from error
        except not_checked as error:
            raise _NotChecked(str(error)) from error

    return check


def _as_served(record: bytes) -> bytes:
    """Without the line's end that `fetch` and editors put after it: no record is served with one, so nothing else is meant."""
    return record.removesuffix(b"\n").removesuffix(b"\r")


def _outcome(check: Verify, receipt: Path, record: Path | None, genesis_bytes: bytes) -> Outcome:
    try:
        verdict = check(receipt.read_bytes(), genesis_bytes, _as_served(record.read_bytes()) if record else None)
    except OSError as error:
        return {"file": str(receipt), "result": NOT_CHECKED, "detail": f"{error.filename}: {error.strerror or 'cannot be read'}"}
    except _Invalid as error:
        return {"file": str(receipt), "result": INVALID, "detail": str(error)}
    except _NotChecked as error:
        return {"file": str(receipt), "result": NOT_CHECKED, "detail": str(error)}
    return {"file": str(receipt), "result": VALID, **verdict._asdict(), "record_checked": record is not None}


def _words(outcome: Outcome) -> str:
    lines = [(f"{outcome['result'].upper()}  {outcome['file']}")]
    if outcome["result"] != VALID:
        lines.append(f"  {outcome['detail']}")
    else:
        at = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(outcome["accepted_at"]))
        lines += [f"  {name:<12}{told}" for name, told in _told(outcome, at)]
    return "\n".join(map(_printable, lines))


def _told(outcome: Outcome, at: str) -> list[tuple[str, str]]:
    """What a valid receipt says, line by line, and how far the check went."""
    accepted = ("accepted", f"{at}, block {outcome['height']}, by {outcome['votes']} of {outcome['delegates']} delegates")
    checked = ["chain", f"header and {outcome['votes']} votes"]
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


def _of_access(outcome: Outcome) -> list[tuple[str, str]]:
    read_at = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(outcome["accessed_ms"] // 1000))
    return [
        ("access", f"{outcome['sequence']}, {read_at} by the gateway's clock"),
        ("reader", f"{outcome['client_id']} for {outcome['purpose']}, by grant {outcome['grant']}"),
        *[("got", record) for record in outcome["records"]],
    ]


def _printable(text: str) -> str:
    """A receipt may hold anything: nothing of it reaches the terminal as a control character."""
    return "".join(character if character.isprintable() else "?" for character in text)
