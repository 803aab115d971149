"""`fhir-anchor bench`: measure this machine and this gateway, beside the machine's own limits."""

import sys
import time
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from gateway.commands.context import CouldNot, json_option, tell

_NAMES = ("ingest", "fetch", "ledger", "audit", "receipts")


@click.command(epilog="Example: fhir-anchor bench ingest receipts --quick")
@click.argument("names", nargs=-1, type=click.Choice(_NAMES))
@click.option("--data", type=click.Path(path_type=Path, exists=True, file_okay=False), help="Folder of FHIR bundles to push.")
@click.option("--quick", is_flag=True, help="Less of everything: half a minute instead of minutes, rougher figures.")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False, writable=True), help="Write the JSON document there, too.")
@json_option
def bench(*, names: tuple[str, ...], data: Path | None, quick: bool, out: Path | None, as_json: bool) -> None:
    """Measure NAMES (all by default) on gateways of its own in temporary folders. Leaves nothing behind.

    "A core" is a second of CPU of all the gateway's processes together. A target that is missed is shown as missed; that is no error.
    """
    if not Path("/proc/self/smaps_rollup").exists():
        raise CouldNot("bench reads the processes' CPU time and memory from /proc, which only Linux has")
    result = _measured(names or _NAMES, data, quick=quick)
    if out is not None:
        _write(out, result)
    tell(result, as_json=as_json, text=lambda: _words(result))


def _measured(names: tuple[str, ...], data: Path | None, *, quick: bool) -> dict[str, Any]:
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
            return run(names, load(data), QUICK if quick else Extent(), say)
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
        for name in ("limits", *_NAMES):
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
