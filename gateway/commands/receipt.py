"""`fhir-anchor receipt`: get the receipt of a record, and verify receipts offline."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from gateway.commands.context import COULD_NOT, DONE, FINDINGS, CouldNot, json_option, leave, tell

VALID, INVALID, NOT_CHECKED = "valid", "invalid", "could not check"
Outcome = dict[str, Any]
Verify = Callable[[bytes, bytes, bytes | None], Any]  # receipt, genesis, record -> a Verdict


@click.group()
def receipt() -> None:
    """Get receipts, and verify them offline."""


@receipt.command(epilog="Example: fhir-anchor receipt get --as hospital.json Observation/0123 --wait --out receipt.json")
@click.option("--as", "credentials_path", required=True, metavar="CRED.json", type=click.Path(path_type=Path), help="Who asks.")
@click.option("--url", help="Address of the gateway, instead of the one in CRED.json.")
@click.argument("record", metavar="TYPE/ID")
@click.option("--wait", is_flag=True, help="Wait until the ledger has accepted the record's anchor.")
@click.option("--timeout", default=120, show_default=True, type=click.IntRange(1), metavar="SECONDS", help="How long to wait at most.")
@click.option("--out", required=True, type=click.Path(path_type=Path, dir_okay=False), help="Where the receipt goes.")
def get(*, credentials_path: Path, url: str | None, record: str, wait: bool, timeout: int, out: Path) -> None:
    """Get the receipt of a record. Exit code 1 if there is none to give, 2 if it is not final yet or the gateway cannot be reached."""
    from gateway.client.connection import Connection, SignInRefused, Unreachable
    from gateway.client.credentials import BadCredentials, read
    from gateway.client.receipt import NoReceiptThere, NotYetFinal, fetch_receipt

    try:
        connection = Connection(read(credentials_path).at(url))
        body = fetch_receipt(connection, record, wait_seconds=timeout if wait else 0, clock=time.monotonic, sleep=time.sleep)
        out.write_bytes(body)
    except NoReceiptThere as error:
        click.echo(f"fhir-anchor: {_printable(str(error))}", err=True)
        leave(FINDINGS)
    except NotYetFinal as error:
        raise CouldNot(f"{error}" if wait else f"{error}; --wait waits for it") from error
    except OSError as error:
        raise CouldNot(f"{out}: {error.strerror or 'cannot be written'}") from error
    except (ValueError, BadCredentials, Unreachable, SignInRefused) as error:
        raise CouldNot(str(error)) from error
    click.echo(f"The receipt of {record} is in {out}", err=True)


@receipt.command(epilog="Example: fhir-anchor receipt verify receipt.json --record record.json --genesis genesis.json")
@click.argument("receipts", nargs=-1, required=True, metavar="R.json...", type=click.Path(path_type=Path))
@click.option(
    "--record",
    "records",
    multiple=True,
    metavar="RECORD.json",
    type=click.Path(path_type=Path),
    help="Body of GET /fhir/Type/ID as served. Once for each receipt, in the same order, or not at all.",
)
@click.option("--genesis", required=True, metavar="GENESIS.json", type=click.Path(path_type=Path), help="The chain's genesis file.")
@click.option("--independent", is_flag=True, help="Verify with the second implementation, which shares no code with the gateway.")
@json_option
def verify(*, receipts: tuple[Path, ...], records: tuple[Path, ...], genesis: Path, independent: bool, as_json: bool) -> None:
    """Verify receipts without asking anyone. Exit code 0 all valid, 1 any invalid, 2 something could not be checked."""
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
    if independent:
        from gateway import independent as second

        return _with_errors(second.verify_receipt, second.Invalid, second.Unreadable)
    from gateway import verification as first
    from gateway.errors import CouldNotCheck

    return _with_errors(first.verify_receipt, first.ReceiptInvalid, CouldNotCheck)


def _with_errors(verify_receipt: Verify, invalid: type[Exception], not_checked: type[Exception]) -> Verify:
    def check(receipt_bytes: bytes, genesis_bytes: bytes, record: bytes | None) -> Any:
        try:
            return verify_receipt(receipt_bytes, genesis_bytes, record)
        except invalid as error:
            raise _Invalid(str(error)) from error
        except not_checked as error:
            raise _NotChecked(str(error)) from error

    return check


def _outcome(check: Verify, receipt: Path, record: Path | None, genesis_bytes: bytes) -> Outcome:
    try:
        verdict = check(receipt.read_bytes(), genesis_bytes, record.read_bytes() if record else None)
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
    checked = ["chain", f"header and {outcome['votes']} votes", "anchor in the log", "record's commitment in the anchor"]
    checked += ["submission's signature and its signer"] if outcome["who"] else []
    checked += ["record's bytes, type, id and version"] if outcome["record_checked"] else []
    return [
        ("record", outcome["reference"]),
        *([("by", outcome["who"])] if outcome["who"] else []),
        ("accepted", f"{at}, block {outcome['height']}, by {outcome['votes']} of {outcome['delegates']} delegates"),
        ("checked", "; ".join(checked)),
        *[("not checked", what) for what in outcome["not_checked"]],
    ]


def _printable(text: str) -> str:
    """A receipt may hold anything: nothing of it reaches the terminal as a control character."""
    return "".join(character if character.isprintable() else "?" for character in text)
