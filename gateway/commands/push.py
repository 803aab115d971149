"""`fhir-anchor push`: send FHIR files, signed, in the order given."""

import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from gateway.commands.context import COULD_NOT, DONE, FINDINGS, CouldNot, json_option, leave, printable, tell
from gateway.wording import counted

SHOWN = 20  # errors, and records, in words


@click.command(epilog="Example: fhir-anchor push --as hospital.json patient-1.json patient-2.json")
@click.option("--as", "credentials_path", required=True, metavar="CRED.json", type=click.Path(path_type=Path), help="Who sends.")
@click.option("--url", help="Address of the gateway, instead of the one in CRED.json.")
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@json_option
def push(*, credentials_path: Path, url: str | None, files: tuple[Path, ...], as_json: bool) -> None:
    """Send FILEs (a FHIR R4 Bundle or a single resource each, JSON) and say what became of each resource.

    Created, updated (a new version, or a deletion), unchanged (equal content is stored already), or failed. Sending the same file again
    changes nothing.
    Exit code 1 if something was refused, 2 if the gateway could not be reached or a file could not be read.
    """
    from gateway.client.push import UNREAD

    for path in files:
        if path.suffix.lower() == ".ndjson":
            raise CouldNot(f"{path}: NDJSON files are not taken yet; send a Bundle or a single resource as .json")
    started = time.monotonic()
    result = _push_all(credentials_path, url, files)
    result["seconds"] = round(time.monotonic() - started, 3)
    tell(result, as_json=as_json, text=lambda: _words(result))
    unread = any(error["code"] == UNREAD for error in result["errors"])
    leave(COULD_NOT if unread else FINDINGS if result["failed"] else DONE)


def _push_all(credentials_path: Path, url: str | None, files: tuple[Path, ...]) -> dict[str, Any]:
    """The result of all files; CouldNot where there is nobody to send to."""
    from gateway.client.connection import Connection, SignInRefused, Unreachable
    from gateway.client.credentials import BadCredentials, read
    from gateway.client.push import push_file

    done = []
    try:
        connection = Connection(read(credentials_path).at(url))
        connection.sign_in()
        for path in _with_progress(files):
            done.append(push_file(connection, path, now=time.time))  # noqa: PERF401 - the error's sentence counts them
    except BadCredentials as error:
        raise CouldNot(str(error)) from error
    except (Unreachable, SignInRefused) as error:
        reached = f" ({len(done)} of {counted(len(files), 'files')} sent; send all again, nothing is stored twice)" if done else ""
        raise CouldNot(f"{error}{reached}") from error
    counts = {name: sum(getattr(pushed, name) for pushed in done) for name in ("resources", "created", "updated", "unchanged", "failed")}
    receipts = [receipt for pushed in done for receipt in pushed.receipts]
    return {"bundles": len(done), **counts, "receipts": receipts, "errors": [error for pushed in done for error in pushed.errors]}


def _with_progress(files: tuple[Path, ...]) -> Iterator[Path]:
    """Each file, with a bar on stderr where that is a terminal."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=not sys.stderr.isatty()) as progress:
        task = progress.add_task("", total=len(files))
        for path in files:
            progress.update(task, description=path.name)
            yield path
            progress.advance(task)


def _words(result: dict[str, Any]) -> str:
    table = Table(show_header=False, box=None)
    table.add_row("files", str(result["bundles"]))
    for name in ("resources", "created", "updated", "unchanged", "failed"):
        table.add_row(f"  {name}" if name != "resources" else name, str(result[name]))
    table.add_row("seconds", f"{result['seconds']:.1f}")
    console = Console(width=120, color_system=None)
    with console.capture() as text:
        console.print(table)
    errors = _first([_error(error) for error in result["errors"]])
    records = _first([f"  {receipt['record']}" for receipt in result["receipts"]])
    counts = [line.rstrip() for line in text.get().splitlines()]
    return "\n".join([*errors, *counts, *(["receipts to be had for"] if records else []), *records])


def _first(lines: list[str]) -> list[str]:
    return lines if len(lines) <= SHOWN else [*lines[:SHOWN], f"... and {len(lines) - SHOWN} more; --json lists all"]


def _error(error: dict[str, Any]) -> str:
    where = ", ".join(error.get("expression", []))
    return printable(f"refused  {error['file']}: {where + ': ' if where else ''}{error.get('diagnostics', error.get('code', ''))}")
