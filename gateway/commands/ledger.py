"""`fhir-anchor ledger`: look at the chain, and verify it from genesis."""

import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import IO, Any

import click

from chain.errors import LedgerError
from chain.genesis import Genesis
from chain.ledger import Ledger
from chain.store import LedgerStore
from gateway.commands.context import (
    FINDINGS,
    CouldNot,
    bar,
    home_of,
    iso,
    json_option,
    leave,
    opened_chain,
    opened_index,
    opened_ledger,
    settings_of,
    tell,
)
from gateway.commands.delegates import delegates, schedule, stake
from gateway.commands.policy import policy
from gateway.commands.prove import pin, prove
from gateway.commands.stake import delegate, evidence, transfer, vote
from gateway.errors import GatewayError
from gateway.settings import change_setting
from gateway.wording import counted


@click.group(
    epilog="Examples: fhir-anchor --home ./gw ledger status   "
    "fhir-anchor --home ./gw ledger verify   "
    "fhir-anchor ledger prove finality --url https://fhir.example.org --genesis genesis.json"
)
def ledger() -> None:
    """The chain of blocks that anchors every container, and who produces it. All commands work whether or not the gateway runs."""


for command in (delegates, schedule, stake, policy, vote, transfer, delegate, evidence, prove, pin):
    ledger.add_command(command)


@ledger.command(epilog="Example: fhir-anchor --home ./gw ledger status --json")
@json_option
@click.pass_context
def status(context: click.Context, as_json: bool) -> None:
    """How high the chain is, what waits for it, and what it refused."""
    from gateway.index import outbox

    with opened_chain(context) as reader, opened_index(context) as index, index.reading() as connection:
        told = _status(reader, outbox.size(connection), time.time())
    tell(told, as_json=as_json, text=lambda: "\n".join(f"{name.replace('_', ' '):<22}{_shown(value)}" for name, value in told.items()))


def _status(reader: Ledger, waiting: int, now: float) -> dict[str, Any]:
    genesis, head, acting = reader.genesis, reader.head(), reader.delegates.acting()
    return {
        "chain_id": genesis.chain_id.hex(),
        "height": head.height if head else 0,
        "format": head.version if head else None,
        "head": head.hash().hex() if head else genesis.chain_id.hex(),
        "last_block_at": iso(head.time) if head else None,
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
    tell(told, as_json=as_json, text=lambda: f"{out}: the state after height {header.height}, {counted(out.stat().st_size, 'bytes')}")


@ledger.command(epilog="Example: fhir-anchor --home ./gw ledger export --out chain.export")
@click.option("--out", required=True, metavar="FILE", type=click.Path(path_type=Path), help="Where the new file goes.")
@json_option
@click.pass_context
def export(context: click.Context, out: Path, *, as_json: bool) -> None:
    """Write the whole chain into a file: genesis and every final block with its votes. It names no patient.

    Whoever has it verifies the chain without this gateway: `ledger import FILE --to DIR`.
    """
    from chain.chain_file import write_chain

    settings = settings_of(context)
    with opened_ledger(settings) as (store, genesis), bar() as progress, _new_file(out) as file:
        reader, genesis_bytes = Ledger(store, genesis), settings.genesis_path.read_bytes()
        height = write_chain(reader, genesis_bytes, file, lambda done, total: progress("writing blocks", done, total))
    told = {"file": str(out), "size": out.stat().st_size, "height": height, "chain_id": genesis.chain_id.hex()}
    tell(told, as_json=as_json, text=lambda: f"{out}: {counted(height, 'blocks')}, {counted(out.stat().st_size, 'bytes')}")


@ledger.command("import", epilog="Example: fhir-anchor ledger import chain.export --to ./copy --genesis genesis.json")
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--to", "folder", required=True, metavar="DIR", type=click.Path(path_type=Path), help="A new folder for the copy.")
@click.option("--genesis", metavar="GENESIS.json", type=click.Path(path_type=Path, exists=True), help="From whoever founded the chain.")
@json_option
def import_(file: Path, folder: Path, genesis: Path | None, *, as_json: bool) -> None:
    """Verify an exported chain, every block of it executed again, into a copy of its own. Needs no gateway, and no trust in who gave it.

    Without --genesis the chain is whose the file says: compare the chain id. `ledger verify --copy DIR` verifies it again at any time.

    Exit codes: 0 it holds; 1 it does not, and the first height that does not: damaged, no exported chain, or of another genesis; 2 it could
    not be checked, as a file is not there, GENESIS.json is none, or the chain has a version that this program does not know.
    """
    from chain.chain_file import ChainFile
    from chain.record_file import FileInvalid
    from gateway.client.delegate_home import NoDelegateHome, building
    from gateway.errors import CouldNotCheck
    from gateway.recorded import genesis_of

    try:
        wanted = None if genesis is None else genesis_of(genesis.read_bytes())
        with file.open("rb") as opened, bar() as progress:
            chain = ChainFile(opened)
            if wanted is not None and wanted.chain_id != chain.genesis.chain_id:
                raise FileInvalid("it is of another chain than the genesis file")
            with building(folder, chain.genesis_bytes) as (_, found, url), closing(LedgerStore.create(url, found)) as store:
                chain.into(store, lambda done, total: progress("verifying blocks", done, total))
    except FileInvalid as error:
        reason = str(error)
        tell({"holds": False, "reason": reason}, as_json=as_json, text=lambda: f"The chain does not hold: {reason}; nothing was kept.")
        leave(FINDINGS)
    except (LedgerError, NoDelegateHome, CouldNotCheck) as error:
        raise CouldNot(str(error)) from error
    except OSError as error:
        raise CouldNot(f"{error.filename or folder}: {error.strerror or error}") from error
    told = {"holds": True, "copy": str(folder), "chain_id": found.chain_id.hex(), "height": chain.height}
    tell(told, as_json=as_json, text=lambda: f"The chain holds: {counted(chain.height, 'blocks')}; chain id {found.chain_id.hex()}")


@contextmanager
def _new_file(out: Path) -> Iterator[IO[bytes]]:
    """A file that has its name once it is whole and durable; what hinders that, and a ledger that does not hold, become exit code 2."""
    from gateway.backup.archive import new_file

    if out.exists():
        raise CouldNot(f"{out} is there already, and is not written over")
    if not out.parent.is_dir():
        raise CouldNot(f"{out.parent} is no folder; make it first")
    try:
        with new_file(out) as file:
            yield file
    except LedgerError as error:
        raise CouldNot(f"{error}; `ledger verify` says where") from error
    except OSError as error:
        raise CouldNot(f"{error.filename or out}: {error.strerror or error}") from error


@ledger.command(epilog="Example: fhir-anchor --home ./gw ledger archive --keep-epochs 4")
@click.option("--keep-epochs", type=click.IntRange(1), required=True, help="Whole epochs whose transactions stay in the database.")
@json_option
@click.pass_context
def archive(context: click.Context, keep_epochs: int, *, as_json: bool) -> None:
    """Move the transactions of old epochs into the bucket, also while `serve` runs; headers, votes and proofs stay.

    They are moved 4,096 at a time, once written there and read back; all else goes on as before, and the audit reads them there. The
    setting ledger_keep_epochs does the same once a day.
    """
    from dataclasses import asdict

    from chain.archive import PACK
    from gateway.storage.opening import open_object_store
    from jobs.archive_blocks import archive_blocks

    settings = settings_of(context)
    try:
        genesis = Genesis.parse(settings.genesis_path.read_bytes())
        with closing(LedgerStore.open(settings.effective_ledger_url, genesis)) as store:
            moved = archive_blocks(store, genesis, open_object_store(settings.effective_bucket_url), keep_epochs)
    except (LedgerError, GatewayError, OSError, ValueError) as error:
        raise CouldNot(str(error)) from error
    words = f"Moved {counted(moved.transactions, 'transactions')} into {counted(moved.packs, 'objects')}"
    if not moved.packs:
        words = f"Nothing to move: an object takes {PACK:,} transactions, and fewer than that are older than the epochs that stay"
    tell(asdict(moved), as_json=as_json, text=lambda: words)


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

    with opened_chain(context) as reader:
        head = reader.head()
    present, last = (head.version, head.height) if head else (LATEST, 0)
    if not present < version <= LATEST:
        later = "there is none to go on to" if present == LATEST else f"it can go on to {LATEST}"
        raise CouldNot(f"the chain has version {present} of its format, and this program knows versions 1 to {LATEST}: {later}")
    if height <= last:
        raise CouldNot(f"the chain has {counted(last, 'blocks')}; the switch must come after them")
    change_setting(home_of(context), "ledger_switch", f"{version} from {height}")
    told = {"version": version, "from_height": height, "present_version": present, "present_height": last}
    words = (
        f"Blocks have version {version} from height {height} on (now: version {present}, height {last}), once `serve` has started again."
    )
    tell(told, as_json=as_json, text=lambda: words)


@ledger.command(epilog="Example: fhir-anchor --home ./gw ledger verify")
@click.option("--copy", metavar="DIR", type=click.Path(path_type=Path, file_okay=False), help="A copy (`ledger import`) instead.")
@json_option
@click.pass_context
def verify(context: click.Context, copy: Path | None, as_json: bool) -> None:
    """Verify every block from genesis, and every derived row. Exit code 1 if anything does not hold."""
    if copy is not None:
        from gateway.commands.delegate import verify as verify_copy

        context.invoke(verify_copy, home=copy, key_path=None, gateway=None, as_json=as_json)
        return
    from gateway.commands.audit import report_text
    from jobs.audit import Audit, run_audit
    from jobs.audit_report import to_json

    with bar() as progress:
        report = run_audit(Audit(settings_of(context), int(time.time()), progress=progress), ("ledger",))
    tell(to_json(report), as_json=as_json, text=lambda: report_text(report))
    leave(report.exit_code)
