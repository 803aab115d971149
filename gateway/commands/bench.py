"""`fhir-anchor bench`: measure this machine and this gateway, beside the machine's own limits."""

import sys
import time
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.table import Table

from gateway.commands.context import CouldNot, json_option, tell
from gateway.commands.gcs_emulator import NoEmulator, emulated_bucket

if TYPE_CHECKING:
    from benchmarks.places import Places

_NAMES = ("ingest", "fetch", "ledger", "audit", "receipts")


@click.command(epilog="Examples: fhir-anchor bench ingest receipts --quick   fhir-anchor bench ingest --gcs")
@click.argument("names", nargs=-1, type=click.Choice(_NAMES))
@click.option("--data", type=click.Path(path_type=Path, exists=True, file_okay=False), help="Folder of FHIR bundles to push.")
@click.option("--quick", is_flag=True, help="Less of everything: half a minute instead of minutes, rougher figures.")
@click.option("--bucket", "bucket_url", help="With this empty bucket, file:///FOLDER or gs://BUCKET/PREFIX.")
@click.option("--gcs", "on_gcs", is_flag=True, help="With a bucket of Google Cloud Storage, of which an emulator is started.")
@click.option("--database-url", help="With this empty database, postgresql+psycopg://..., for the index.")
@click.option("--ledger-url", help="With this empty database, postgresql+psycopg://..., for the chain.")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False, writable=True), help="Write the JSON document there, too.")
@json_option
def bench(
    *,
    names: tuple[str, ...],
    data: Path | None,
    quick: bool,
    bucket_url: str | None,
    on_gcs: bool,
    database_url: str | None,
    ledger_url: str | None,
    out: Path | None,
    as_json: bool,
) -> None:
    """Measure NAMES (all by default) on gateways of its own in temporary folders. Leaves nothing behind.

    Other places than those folders, which must be empty and are afterwards, count for ingest, fetch and receipts over HTTP; ingest's
    stages and its million rows are then left out, and targets are for folders.

    "A core" is a second of CPU of all the gateway's processes together. A target that is missed is shown as missed; that is no error.
    """
    if not Path("/proc/self/smaps_rollup").exists():
        raise CouldNot("bench reads the processes' CPU time and memory from /proc, which only Linux has")
    if on_gcs and bucket_url:
        raise CouldNot("--gcs starts an emulator and --bucket names a bucket: one of them")
    try:
        with emulated_bucket("bench-bucket") if on_gcs else nullcontext(bucket_url) as bucket:
            result = _measured(names or _NAMES, data, _places(bucket, database_url, ledger_url), quick=quick)
    except NoEmulator as error:
        raise CouldNot(str(error)) from error
    if out is not None:
        _write(out, result)
    tell(result, as_json=as_json, text=lambda: _words(result))


def _places(bucket_url: str | None, database_url: str | None, ledger_url: str | None) -> "Places":
    from benchmarks.places import Places
    from chain.postgresql import is_postgresql
    from gateway.settings import BadSetting, check_settings

    try:
        check_settings({"bucket_url": bucket_url, "database_url": database_url, "ledger_url": ledger_url})
    except BadSetting as error:
        raise CouldNot(str(error)) from error
    for flag, url in (("--database-url", database_url), ("--ledger-url", ledger_url)):
        if url and not is_postgresql(url):
            raise CouldNot(f"{flag}: without it the database is a file in a temporary folder; it is for PostgreSQL")
    return Places(bucket_url, database_url, ledger_url)


def _measured(names: tuple[str, ...], data: Path | None, places: "Places", *, quick: bool) -> dict[str, Any]:
    from benchmarks.served import DidNotRun
    from benchmarks.suite import QUICK, Extent, run
    from benchmarks.workload import NoWorkload, load
    from gateway.client.connection import SignInRefused, Unreachable

    console, started = Console(stderr=True), time.monotonic()
    with console.status("") as status:

        def say(what: str) -> None:
            status.update(what)
            if not sys.stderr.isatty():
                click.echo(f"{time.monotonic() - started:6.1f} s  {what}", err=True)

        try:
            return run(names, load(data), QUICK if quick else Extent(), say, places)
        except (NoWorkload, DidNotRun, Unreachable, SignInRefused) as error:
            raise CouldNot(str(error)) from error


def _write(out: Path, result: dict[str, Any]) -> None:
    import msgspec

    try:
        out.write_bytes(msgspec.json.format(msgspec.json.encode(result), indent=2) + b"\n")
    except OSError as error:
        raise CouldNot(f"{out}: {error.strerror or 'cannot be written'}") from error


def _words(result: dict[str, Any]) -> str:
    """The targets, then every figure."""
    console = Console(width=120, color_system=None)
    with console.capture() as text:
        console.print(f"{result['machine']}, {result['cores']} cores, Python {result['python']}\n")
        console.print(_targets(result))
        for name in ("places", "limits", *_NAMES):
            if name in result:
                console.print(f"\n{name}")
                console.print(_figures(result[name]))
    return text.get().rstrip()


def _targets(result: dict[str, Any]) -> Table:
    from benchmarks.targets import rows

    table = Table("", "what", "target", "measured", "of the limit", box=None, pad_edge=False)
    for row in rows(result):
        bound = "<=" if row.target.at_most else ">="
        share = "" if row.share is None else f"{row.share:.0%}" if row.share < 2 else f"{row.share:.1f} x"
        told = (f"{bound} {row.target.goal:,.0f} {row.target.unit}", f"{row.measured:,.4g} {row.target.unit}")
        table.add_row("ok" if row.is_met else "MISSED", row.target.what, *told, share)
    return table


def _figures(figures: dict[str, Any], prefix: str = "  ") -> Table:
    table = Table(show_header=False, box=None, pad_edge=False)
    for name, value in figures.items():
        if isinstance(value, dict):
            for inner, part in value.items():
                table.add_row(f"{prefix}{name}.{inner}", _shown(part))
        else:
            table.add_row(prefix + name, _shown(value))
    return table


def _shown(value: object) -> str:
    return f"{value:,}" if isinstance(value, int | float) else str(value)
