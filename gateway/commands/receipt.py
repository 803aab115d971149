"""`fhir-anchor receipt`: get the receipt of a record or of an access, and verify receipts and proofs offline."""

import errno
import json
import stat
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from gateway.commands.context import COULD_NOT, DONE, FINDINGS, CouldNot, bar, json_option, leave, printable, read_file
from gateway.commands.tlog import tlog_proof, verify_tlog_proof
from gateway.wording import counted

if TYPE_CHECKING:
    from gateway.verifiers import Check, Outcome

_LINES = (".ndjson", ".jsonl")
_FILES = (".json", *_LINES)
Show = Callable[[str, int, int], None]


@click.group(
    epilog="Examples: fhir-anchor receipt get --as hospital.json Observation/0123 --wait --out receipt.json   "
    "fhir-anchor receipt verify receipt.json --record record.json --genesis genesis.json"
)
def receipt() -> None:
    """Get receipts, and verify them offline."""


receipt.add_command(tlog_proof)
receipt.add_command(verify_tlog_proof)


_as = click.option("--as", "credentials_path", required=True, metavar="CRED.json", type=click.Path(path_type=Path), help="Who asks.")
_url = click.option("--url", help="Address of the gateway, instead of the one in CRED.json.")
_wait = click.option("--wait", is_flag=True, help="Wait until the ledger has accepted it.")
_timeout = click.option(
    "--timeout", default=120, show_default=True, type=click.IntRange(1), metavar="SECONDS", help="How long to wait at most."
)
_pin = click.option(
    "--pin", "pin_path", metavar="PIN.json", type=click.Path(path_type=Path), help="A block that was verified before (`ledger pin`)."
)
_out = click.option("--out", required=True, type=click.Path(path_type=Path, dir_okay=False), help="Where the receipt goes.")


@receipt.command(epilog="Example: fhir-anchor receipt get --as hospital.json Observation/0123 --wait --out receipt.json")
@_as
@_url
@click.argument("record", metavar="TYPE/ID")
@_wait
@_timeout
@_pin
@_out
def get(*, credentials_path: Path, url: str | None, record: str, wait: bool, timeout: int, pin_path: Path | None, out: Path) -> None:
    """Get the receipt of a record. Exit code 1 if there is none to give, 2 if it is not final yet or the gateway cannot be reached."""
    from gateway.client.receipt import fetch_receipt

    _get(fetch_receipt, record, credentials_path, url, timeout if wait else 0, pin_path, out)
    click.echo(f"The receipt of {record} is in {out}", err=True)


@receipt.command(epilog="Example: fhir-anchor receipt access --as insurer.json 42 --wait --out access-42.json")
@_as
@_url
@click.argument("sequence", type=click.IntRange(1, (1 << 63) - 1), metavar="NUMBER")
@_wait
@_timeout
@_pin
@_out
def access(*, credentials_path: Path, url: str | None, sequence: int, wait: bool, timeout: int, pin_path: Path | None, out: Path) -> None:
    """Get the receipt of an access: for who read by a consent, and for the patient who gave it.

    NUMBER is in the header X-Access-Sequence, in what `fetch --json` tells, and in `consent accesses`.
    Exit code 1 if there is none to give, 2 if it is not final yet or the gateway cannot be reached.
    """
    from gateway.client.receipt import fetch_access_receipt

    _get(fetch_access_receipt, sequence, credentials_path, url, timeout if wait else 0, pin_path, out)
    click.echo(f"The receipt of access {sequence} is in {out}", err=True)


def _get(
    fetch: Callable[..., bytes], named: Any, credentials_path: Path, url: str | None, wait_seconds: int, pin_path: Path | None, out: Path
) -> None:
    from gateway.client.connection import Connection, SignInRefused, Unreachable
    from gateway.client.credentials import BadCredentials, read
    from gateway.client.receipt import NoReceiptThere, NotYetFinal, Patience

    start = pinned_height(pin_path)
    try:
        connection = Connection(read(credentials_path).at(url))
        out.write_bytes(fetch(connection, named, Patience(wait_seconds, time.monotonic, time.sleep), start))
    except NoReceiptThere as error:
        click.echo(f"fhir-anchor: {printable(str(error))}", err=True)
        leave(FINDINGS)
    except NotYetFinal as error:
        raise CouldNot(f"{error}" if wait_seconds else f"{error}; --wait waits for it") from error
    except OSError as error:
        raise CouldNot(f"{out}: {error.strerror or 'cannot be written'}") from error
    except (ValueError, BadCredentials, Unreachable, SignInRefused) as error:
        raise CouldNot(str(error)) from error


def pinned_height(pin_path: Path | None) -> int:
    """Where the receipts and proofs are to begin that a pin's owner asks for; 0 is the genesis."""
    return 0 if pin_path is None else pinned_number(pin_path, "height")


def pinned_number(pin_path: Path, name: Literal["height", "log_size"]) -> int:
    """What a pin says before any of it is believed; that it is none becomes exit code 2."""
    try:
        found = json.loads(read_file(pin_path))[name]
        if type(found) is not int or found < 0:
            raise ValueError(name)
        return found
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise CouldNot(f"{pin_path} is no pin; `fhir-anchor ledger pin` makes one") from error


@receipt.command(
    epilog="Examples: fhir-anchor receipt verify receipt.json --record record.json --genesis genesis.json; "
    "fhir-anchor receipt verify receipts/ more.ndjson --genesis genesis.json --pin pin.json"
)
@click.argument("receipts", nargs=-1, required=True, metavar="R.json...", type=click.Path(path_type=Path, allow_dash=True))
@click.option(
    "--record",
    "records",
    multiple=True,
    metavar="RECORD.json",
    type=click.Path(path_type=Path),
    help="The record as served: what `fetch` or GET /fhir/Type/ID gives. Once for each receipt, in the same order, or not at all.",
)
@click.option("--genesis", required=True, metavar="GENESIS.json", type=click.Path(path_type=Path), help="The chain's genesis file.")
@_pin
@click.option("--independent", is_flag=True, help="Verify with the second implementation, which shares no code with the gateway.")
@json_option
def verify(
    *, receipts: tuple[Path, ...], records: tuple[Path, ...], genesis: Path, pin_path: Path | None, independent: bool, as_json: bool
) -> None:
    """Verify receipts of records and of accesses, and proofs of `ledger prove`, without asking anyone.

    R.json is a file, a folder with all its .json, .ndjson and .jsonl, a file of one receipt a line (.ndjson, .jsonl), or - for such
    lines on stdin. A line may be {"receipt": {...}, "record": "..."}, the record as served, as text.

    Exit codes: 0 all valid; 1 any invalid: damaged, no receipt or proof at all, or of another chain; 2 something could not be checked, as a
    file is not there, the genesis or the pin is none, or there is nothing to check.
    """
    from gateway.line_verification import Counts
    from gateway.verifiers import checker

    if records and (len(records) != len(receipts) or any(_is_batch(one) for one in receipts)):
        raise CouldNot(
            f"{counted(len(receipts), 'receipts')} and {counted(len(records), 'records')}:"
            " give one --record for each receipt, in the same order, or none"
        )
    genesis_bytes, pin_bytes = read_file(genesis), None if pin_path is None else read_file(pin_path)
    check = checker(genesis_bytes, pin_bytes, of="independent" if independent else "first")
    counts = Counts()
    with nullcontext(_show_nothing) if sys.stdout.isatty() else bar() as show:
        _tell(counts.each(_outcomes(receipts, records, check, show)), counts.told, as_json=as_json)
    told = counts.told()
    if not any(told.values()):
        raise CouldNot(f"there is nothing to check in {', '.join(map(str, receipts))}")
    leave(FINDINGS if told["invalid"] else COULD_NOT if told["could_not_check"] else DONE)


def _show_nothing(_what: str, _reached: int, _total: int) -> None:
    """What is printed shows how far it is."""


def _tell(outcomes: "Iterable[Outcome]", counts: Callable[[], dict[str, int]], *, as_json: bool) -> None:
    """Each as it is found, so that a batch needs no memory: lines, or the items of one JSON document."""
    from gateway.commands.outcomes import one_line, words

    separator = '{"receipts":['
    for outcome in outcomes:
        is_named = outcome.pop("is_named")
        if as_json:
            click.echo(separator + json.dumps(outcome, separators=(",", ":")), nl=False)
            separator = ","
        else:
            click.echo(words(outcome) if is_named else one_line(outcome))
    if as_json:
        begun = "" if separator == "," else separator
        click.echo(begun + "]," + json.dumps(counts(), separators=(",", ":"))[1:])


def _is_batch(path: Path) -> bool:
    return str(path) == "-" or path.suffix in _LINES or path.is_dir()


def _outcomes(receipts: tuple[Path, ...], records: tuple[Path, ...], check: "Check", show: Show) -> "Iterator[Outcome]":
    for place, path in enumerate(receipts):
        if path.is_dir():
            yield from _in_folder(path, check, show)
        elif _is_batch(path):
            yield from _in_lines(path, check, show)
        else:
            yield {"is_named": True, **_in_file(path, records[place] if records else None, check)}


def _in_folder(folder: Path, check: "Check", show: Show) -> "Iterator[Outcome]":
    total = sum(1 for _ in _files_in(folder))
    for number, (path, fault) in enumerate(_files_in(folder), 1):
        if fault is not None:
            yield {"is_named": False, **_not_read(path, path, fault)}
        elif path.suffix in _LINES:
            yield from _in_lines(path, check, show)
        else:
            yield {"is_named": False, **_in_file(path, None, check)}
        show(f"{folder}", number, total)


def _files_in(folder: Path) -> Iterator[tuple[Path, OSError | None]]:
    """In the order of names, a folder at a time, however deep, with why one cannot be read; links to folders are not followed.

    A stranger may have filled the folder: what is no plain file would be waited for, or never end.
    """
    waiting = [folder]
    while waiting:
        path = waiting.pop()
        try:
            kind = (path.stat() if path is folder else path.lstat()).st_mode
            if stat.S_ISDIR(kind):
                waiting += sorted(path.iterdir(), reverse=True)
            elif path.suffix in _FILES and not path.is_dir():
                is_plain = stat.S_ISREG(path.stat().st_mode)
                yield path, None if is_plain else OSError(errno.EINVAL, "it is no plain file")
        except OSError as error:
            yield path, error


def _in_lines(path: Path, check: "Check", show: Show) -> "Iterator[Outcome]":
    from gateway.line_verification import lines_of, pieces_of, verify_lines

    name, reached, total = str(path), 0, 0
    try:
        with nullcontext(sys.stdin.buffer) if name == "-" else path.open("rb") as file:
            total = 0 if name == "-" else path.stat().st_size
            for outcome in verify_lines(lines_of(pieces_of(file)), check, with_records=True):
                yield {"is_named": False, "file": name, **outcome}
                reached += 1
                if total and reached % 1000 == 0:
                    show(name, file.tell(), total)
    except OSError as error:
        yield {"is_named": False, **_not_read(path, path, error)}


def _in_file(receipt: Path, record: Path | None, check: "Check") -> "Outcome":
    from gateway.receipt_json import MAX_BYTES

    try:
        with receipt.open("rb") as file:
            body = file.read(MAX_BYTES + 1)  # one more than a receipt may have, so that it is refused as too large
        return {"file": str(receipt), **check(body, _as_served(record.read_bytes()) if record else None)}
    except OSError as error:
        return _not_read(receipt, error.filename, error)


def _not_read(receipt: Path, path: Any, error: OSError) -> "Outcome":
    from gateway.verifiers import NOT_CHECKED

    return {"file": str(receipt), "result": NOT_CHECKED, "detail": f"{path}: {error.strerror or 'cannot be read'}"}


def _as_served(record: bytes) -> bytes:
    """Without the line's end that `fetch` and editors put after it: no record is served with one, so nothing else is meant."""
    return record.removesuffix(b"\n").removesuffix(b"\r")
