"""`fhir-anchor ledger`: look at the chain, and verify it from genesis."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import click

from chain.errors import LedgerError
from chain.genesis import Genesis
from chain.store import LedgerStore
from gateway.commands.context import CouldNot, bar, json_option, leave, opened_ledger, settings_of, tell
from gateway.commands.delegates import delegates, schedule, stake
from gateway.commands.stake import delegate, evidence, transfer, vote
from gateway.errors import GatewayError
from gateway.settings import Settings, change_setting


@click.group()
def ledger() -> None:
    """The chain of blocks that anchors every container, and who produces it. All commands work whether or not the gateway runs."""


for command in (delegates, schedule, stake, vote, transfer, delegate, evidence):
    ledger.add_command(command)


@ledger.command(epilog="Example: fhir-anchor --home ./gw ledger status --json")
@json_option
@click.pass_context
def status(context: click.Context, as_json: bool) -> None:
    """How high the chain is, what waits for it, and what it refused."""
    settings = settings_of(context)
    with opened_ledger(settings) as (store, genesis):
        try:
            told = _status(settings, store, genesis, time.time())
        except (LedgerError, GatewayError) as error:
            raise CouldNot(f"{error}; `ledger verify` says where") from error
    tell(told, as_json=as_json, text=lambda: "\n".join(f"{name.replace('_', ' '):<22}{_shown(value)}" for name, value in told.items()))


def _status(settings: Settings, store: LedgerStore, genesis: Genesis, now: float) -> dict[str, Any]:
    from chain.ledger import Ledger
    from gateway.index import outbox
    from gateway.index.database import open_index

    reader = Ledger(store, genesis)
    head, acting = reader.head(), reader.delegates.acting()
    index = open_index(settings.effective_database_url)
    with index.reading() as connection:
        waiting = outbox.size(connection)
    index.close()
    return {
        "chain_id": genesis.chain_id.hex(),
        "height": head.height if head else 0,
        "format": head.version if head else None,
        "head": head.hash().hex() if head else genesis.chain_id.hex(),
        "last_block_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(head.time)) if head else None,
        "slot": genesis.slot_at(now),
        "slot_seconds": genesis.slot_seconds,
        "transactions": head.log_size if head else 0,
        "delegates": len(acting.keys),
        "quorum": acting.quorum,
        "in_outbox": waiting,
        "in_pool": reader.pending(),
        "rejected": [{"source": r.source, "reason": r.reason.value, "height": r.height} for r in reader.rejected()],
    }


def _shown(value: object) -> str:
    return str(len(value)) if isinstance(value, list) else "-" if value is None else str(value)


@ledger.command(epilog="Example: fhir-anchor --home ./gw ledger snapshot --out chain.snapshot")
@click.option("--out", required=True, metavar="FILE", type=click.Path(path_type=Path), help="Where the new file goes.")
@json_option
@click.pass_context
def snapshot(context: click.Context, out: Path, *, as_json: bool) -> None:
    """Write the chain's state with its proof: what a new delegate begins with (`delegate --snapshot`) in place of all blocks.

    It proves itself to whoever has the genesis, and names no patient, so it may go by any way.
    """
    from chain.snapshot import write_snapshot

    with opened_ledger(settings_of(context)) as (store, genesis), bar() as progress, _new_file(out) as file:
        header = write_snapshot(store, genesis, file, lambda done, total: progress("writing state entries", done, total))
    told = {"file": str(out), "size": out.stat().st_size, "height": header.height, "hash": header.hash().hex()}
    tell(told, as_json=as_json, text=lambda: f"{out}: the state after height {header.height}, {told['size']:,} bytes")


@contextmanager
def _new_file(out: Path) -> Iterator[IO[bytes]]:
    """A file that has its name once it is whole and durable; what hinders that, and a ledger that does not hold, become exit code 2."""
    from gateway.backup.archive import new_file

    if out.exists():
        raise CouldNot(f"{out} is there already, and is not written over")
    try:
        with new_file(out) as file:
            yield file
    except LedgerError as error:
        raise CouldNot(f"{error}; `ledger verify` says where") from error
    except OSError as error:
        raise CouldNot(f"{error.filename or out}: {error.strerror or error}") from error


@ledger.command(epilog="Example: fhir-anchor --home ./gw ledger switch --to 2 --from 12001")
@click.option("--to", "version", type=int, required=True, help="The version of the chain's format to go on to.")
@click.option("--from", "height", type=int, required=True, help="The height of the first block that has it.")
@json_option
@click.pass_context
def switch(context: click.Context, version: int, height: int, *, as_json: bool) -> None:
    """Plan when the chain goes on to a later version of its format. Takes effect when `serve` starts again; nothing goes back.

    A block of the new version needs a quorum like every other, so first see that delegates elsewhere run a program that knows it: one that
    does not stops at that height, and goes on from there once it is replaced.
    """
    from chain.format import LATEST
    from chain.ledger import Ledger

    settings = settings_of(context)
    with opened_ledger(settings) as (store, genesis):
        try:
            head = Ledger(store, genesis).head()
        except LedgerError as error:
            raise CouldNot(str(error)) from error
    present, last = (head.version, head.height) if head else (LATEST, 0)
    if not present < version <= LATEST:
        raise CouldNot(f"the chain has version {present} of its format, and this program knows versions 1 to {LATEST}")
    if height <= last:
        raise CouldNot(f"the chain has {last} blocks; the switch must come after them")
    change_setting(settings.home, "ledger_switch", f"{version} from {height}")
    told = {"version": version, "from_height": height, "present_version": present, "present_height": last}
    words = (
        f"Blocks have version {version} from height {height} on (now: version {present}, height {last}), once `serve` has started again."
    )
    tell(told, as_json=as_json, text=lambda: words)


@ledger.command(epilog="Example: fhir-anchor --home ./gw ledger verify")
@json_option
@click.pass_context
def verify(context: click.Context, as_json: bool) -> None:
    """Verify every block from genesis, and every derived row. Exit code 1 if anything does not hold."""
    from gateway.commands.audit import report_text
    from jobs.audit import Audit, run_audit
    from jobs.audit_report import to_json

    with bar() as progress:
        report = run_audit(Audit(settings_of(context), int(time.time()), progress=progress), ("ledger",))
    tell(to_json(report), as_json=as_json, text=lambda: report_text(report))
    leave(report.exit_code)
