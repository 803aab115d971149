"""`fhir-anchor fetch`: read what one may read, as NDJSON."""

import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import click
from rich.console import Console
from rich.progress import Progress, TextColumn, TimeElapsedColumn

from gateway.commands.context import FINDINGS, CouldNot, json_option, leave, tell
from gateway.wording import counted

if TYPE_CHECKING:
    from gateway.client.fetch import FetchedPage


@click.command(
    epilog="Example: fhir-anchor fetch --as insurer.json --purpose HPAYMT 'Observation?patient=ID&_count=100' --out observations.ndjson"
)
@click.option("--as", "credentials_path", required=True, metavar="CRED.json", type=click.Path(path_type=Path), help="Who reads.")
@click.option("--url", help="Address of the gateway, instead of the one in CRED.json.")
@click.option("--purpose", metavar="CODE", help="What for, such as TREAT or HPAYMT; needed for what others consented to.")
@click.option("--out", metavar="F.ndjson", type=click.Path(path_type=Path, dir_okay=False), help="Write there, whole or not at all.")
@json_option
@click.argument("query", metavar="QUERY")
def fetch(*, credentials_path: Path, url: str | None, purpose: str | None, out: Path | None, as_json: bool, query: str) -> None:
    """Follow QUERY (a search such as 'Observation?patient=ID', 'Patient/ID/$everything', or Type/ID) to its end.

    One resource a line, as the bytes that were served, to --out or to stdout. With --json, stdout has the counts alone, and the
    numbers under which reading by a consent was logged: `receipt access` gets their receipts.
    Exit code 1 if the gateway refuses it, 2 if it cannot be reached.
    """
    from gateway.client.connection import Connection, SignInRefused, Unreachable
    from gateway.client.credentials import BadCredentials, read
    from gateway.client.fetch import FetchRefused, fetch_pages

    started = time.monotonic()
    try:
        connection = Connection(read(credentials_path).at(url))
        pages = fetch_pages(connection, query, purpose=purpose)
        with _written_to(out, as_json=as_json) as write:
            resources, count, accesses = _copied(_with_progress(pages), write)
    except FetchRefused as refused:
        click.echo(f"fhir-anchor: {refused}", err=True)
        leave(FINDINGS)
    except (BadCredentials, SignInRefused, Unreachable, ValueError) as error:
        raise CouldNot(str(error)) from error
    except OSError as error:
        raise CouldNot(f"{out or 'stdout'}: {error.strerror or 'cannot be written'}") from error
    seconds = round(time.monotonic() - started, 3)
    told = {"resources": resources, "pages": count, "seconds": seconds, "accesses": accesses}
    logged = f"; logged as access {', '.join(map(str, accesses))}" if accesses else ""
    if as_json or out is not None:
        tell(told, as_json=as_json, text=lambda: f"{counted(resources, 'resources')} in {counted(count, 'pages')}, {seconds} s{logged}")


def _copied(pages: "Iterable[FetchedPage]", write: Callable[[bytes], object]) -> tuple[int, int, list[int]]:
    """How many resources, how many pages, under which numbers they were logged."""
    resources, count, accesses = 0, 0, list[int]()
    for page in pages:
        for resource in page.resources:
            write(resource + b"\n")
        resources, count = resources + len(page.resources), count + 1
        accesses += page.accesses
    return resources, count, accesses


@contextmanager
def _written_to(out: Path | None, *, as_json: bool) -> Iterator[Callable[[bytes], object]]:
    """Where lines go. A file appears under its name once it is whole and on disk; until then it is a hidden one beside it."""
    if out is None:
        yield (lambda _: None) if as_json else sys.stdout.buffer.write
        sys.stdout.flush()
        return
    part = out.with_name(f".{out.name}.{os.getpid()}.part")
    try:
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            yield file.write
            _to_disk(file)
        part.replace(out)
    finally:
        part.unlink(missing_ok=True)


def _to_disk(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())


def _with_progress(pages: "Iterable[FetchedPage]") -> "Iterator[FetchedPage]":
    """Each page, with a count on stderr where that is a terminal."""
    columns = (TextColumn("{task.completed} resources"), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()) as progress:
        task = progress.add_task("", total=None)
        for page in pages:
            yield page
            progress.advance(task, len(page.resources))
