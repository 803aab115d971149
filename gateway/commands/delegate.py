"""`fhir-anchor delegate`: vote on a gateway's blocks from another institution, with an own key and an own copy of the chain."""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import click
import msgspec

from gateway.commands.context import FINDINGS, CouldNot, check_out, json_option, leave, printable, tell
from gateway.wording import counted

DEFAULT_HOME = Path("fhir-anchor-delegate")
_PATH = click.Path(path_type=Path)


@click.group(
    invoke_without_command=True,
    epilog="Examples: fhir-anchor delegate --key nordvik.json --gateway https://fhir.example.org --genesis genesis.json   "
    "fhir-anchor delegate key --out nordvik.json",
)
@click.option("--key", "key_path", metavar="KEY.json", type=_PATH, help="The delegate's key file; its watermark lies beside it.")
@click.option("--gateway", metavar="URL", help="The gateway whose chain it is.")
@click.option("--home", type=_PATH, default=DEFAULT_HOME, show_default=True, help="Folder of the delegate's own copy of the chain.")
@click.option("--genesis", metavar="GENESIS.json", type=_PATH, help="At the first start: the chain's genesis, from whoever founded it.")
@click.option("--snapshot", metavar="FILE", type=_PATH, help="At the first start: begin with this (`ledger snapshot`), not at genesis.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document a line on stdout.")
@click.pass_context
def delegate(
    context: click.Context,
    key_path: Path | None,
    gateway: str | None,
    home: Path,
    genesis: Path | None,
    snapshot: Path | None,
    *,
    as_json: bool,
) -> None:
    """Follow the chain of a gateway elsewhere, check every block of it, and vote, until Ctrl-C or SIGTERM.

    It connects outwards only. What does not hold is refused and kept in HOME/refused. Exit code 1, at once, if the gateway shows another
    chain than the one that was final here; 2 if the key, its watermark or the own copy cannot be used, or if the chain has gone on to a
    version of its format that this program does not know.
    """
    if context.invoked_subcommand is not None:
        return
    if key_path is None or gateway is None:
        raise click.UsageError("--key and --gateway are needed; `fhir-anchor delegate key --out KEY.json` makes a key")
    from chain.block import FormatUnknown
    from gateway.client.blocks import RemoteChain
    from gateway.client.delegate import ChainContradicted, Delegation
    from gateway.client.delegate_home import found_home, replica_of

    say = _sayer(as_json=as_json)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    chain = RemoteChain(gateway)
    with _own_faults():
        key, watermark = _key(key_path), key_path.with_suffix(".watermark")
        if genesis is not None and not (home / "genesis.json").exists():
            found_home(home, genesis, key, watermark, snapshot)
        _check_genesis(home, genesis)
        try:
            with replica_of(home, key, watermark) as (replica, found):
                told = {"delegate": key.public.hex(), "chain_id": found.chain_id.hex(), "begins_after": replica.beginning or None}
                say("started", **told, height=replica.height, acting=replica.is_acting)
                Delegation(replica, found, chain, home / "refused", say).run()
        except ChainContradicted as error:
            say("stopped", reason=f"the gateway's chain is not the one that was final here: {error}")
            leave(FINDINGS)
        except FormatUnknown as error:
            say("stopped", reason=str(error))
            raise
        except KeyboardInterrupt:
            say("stopped", reason="asked to")
        finally:
            chain.close()


@delegate.command("key", epilog="Example: fhir-anchor delegate key --out nordvik.json --name Nordvik")
@click.option("--out", required=True, metavar="KEY.json", type=_PATH, help="Where the new key goes (0600). Keep one copy, and no backup.")
@click.option("--name", default="delegate", show_default=True, help="What the file says whose it is.")
@json_option
def make_key(out: Path, name: str, *, as_json: bool) -> None:
    """Make a delegate's key, and print its public key: what a genesis (`init --delegate NAME=KEY`) or a registration needs."""
    from gateway.key_files import write_key

    check_out(out)
    key = write_key(out, name, os.urandom(32))
    tell({"key": str(out), "public": key.public.hex()}, as_json=as_json, text=key.public.hex)


@delegate.command(
    epilog="Examples: fhir-anchor delegate verify --home ./nordvik --key nordvik.json --gateway https://fhir.example.org   "
    "fhir-anchor delegate verify --home ./nordvik --checkpoint from-a-friend.txt"
)
@click.option("--home", type=_PATH, default=DEFAULT_HOME, show_default=True, help="Folder of the delegate's own copy of the chain.")
@click.option("--key", "key_path", metavar="KEY.json", type=_PATH, help="Its watermark knows whether the copy was cut short.")
@click.option("--gateway", metavar="URL", help="Compare every block with this gateway's, too, and the checkpoint that it shows.")
@click.option("--checkpoint", "note", metavar="FILE", type=_PATH, help="Compare a checkpoint of the log that somebody else was shown.")
@json_option
def verify(home: Path, key_path: Path | None, gateway: str | None, note: Path | None, *, as_json: bool) -> None:
    """Verify the own copy, offline, also while the delegate runs: from genesis, or from the snapshot that it began with, whose state is
    proven and whose earlier blocks are not here. Exit code 1 if anything does not hold.

    A checkpoint (GET /ledger/checkpoint) that an outsider keeps shows whether the gateway shows outsiders the log that is final here.
    """
    from chain.ledger import Ledger
    from gateway.client.blocks import ChainUnreachable
    from gateway.client.delegate_home import opened, verify_copy

    with _own_faults(), opened(home, read_only=True) as (store, genesis):
        reader = Ledger(store, genesis)
        height, (first, beginning) = reader.height(), reader.bounds()
        known = [] if key_path is None else _marks(key_path, genesis.chain_id, height)
        findings = [("own copy", finding) for finding in verify_copy(home, store, genesis, known)]
        if gateway is not None and not findings:
            try:
                findings += [("gateway", finding) for finding in _compared(reader, range(first, height + 1), gateway)]
            except ChainUnreachable as error:
                raise CouldNot(str(error)) from error
        if note is not None and not findings:
            findings += [("checkpoint", finding) for finding in _checked(reader, note)]
    found = [{"where": where, "code": one.code.value, "subject": one.subject, "detail": one.detail} for where, one in findings]
    told = {"home": str(home), "height": height, "verified_after": beginning, "compared_with": gateway, "findings": found}
    tell(told, as_json=as_json, text=lambda: _words(height, beginning, gateway, found))
    if found:
        leave(FINDINGS)


def _checked(reader: Any, note: Path) -> Iterator[Any]:
    """What does not hold of a checkpoint in a file."""
    from chain.note import MAX_NOTE_BYTES
    from chain.shown_checkpoint import CheckpointAhead, checkpoint_fault

    with note.open("rb") as file:
        shown = file.read(MAX_NOTE_BYTES + 1)
    try:
        found = checkpoint_fault(reader, shown)
    except CheckpointAhead as error:
        raise CouldNot(f"{error}; let the delegate follow the chain, and compare again") from error
    if found is not None:
        yield found


def _compared(reader: Any, heights: range, gateway: str) -> Iterator[Any]:
    """Every block that is not the gateway's, as far as its own last one, and its checkpoint; a gateway may be ahead."""
    from chain.block import BlockInvalid
    from chain.findings import Finding
    from chain.replica import difference
    from chain.shown_checkpoint import CheckpointAhead, checkpoint_fault
    from gateway.client.blocks import RemoteChain

    with closing(RemoteChain(gateway)) as chain:
        for at in heights:
            try:
                found = difference(reader, at, chain.block(at))
            except BlockInvalid as error:
                found = Finding(error.code, f"height {at}", str(error))
            if found is not None:
                yield found
        shown = chain.checkpoint()
        with suppress(CheckpointAhead):
            found = None if shown is None else checkpoint_fault(reader, shown)
            if found is not None:
                yield found


def _marks(key_path: Path, chain_id: Any, height: int) -> list[tuple[int, bytes]]:
    """What the key voted for. The block of its last vote may be one that is final elsewhere and has not come here yet."""
    from chain.watermark import Duty, read_marks

    marks = read_marks(key_path.with_suffix(".watermark"), chain_id, _key(key_path).public)
    voted = marks.get(Duty.VOTE)
    return [] if voted is None or voted[0] == height + 1 else [voted]


def _words(height: int, beginning: int, gateway: str | None, found: list[dict[str, str]]) -> str:
    compared = f", compared with {gateway}" if gateway else ""
    if not found and beginning:
        return (
            f"The state after height {beginning} is proven, and what comes after it holds:"
            f" {counted(height - beginning, 'blocks')}{compared}. The transactions before it are not here."
        )
    if not found:
        return f"The copy holds: {counted(height, 'blocks')}{compared}."
    return "\n".join(f"{one['code']:<20} {one['where']}: {one['subject']}: {one['detail']}" for one in found)


def _sayer(*, as_json: bool) -> Callable[..., None]:
    def say(event: str, **facts: object) -> None:
        if as_json:
            click.echo(msgspec.json.encode({"event": event, **facts}).decode())
        else:
            click.echo(
                f"{event:<12}"
                + "  ".join(printable(f"{name.replace('_', ' ')} {value}") for name, value in facts.items() if value is not None)
            )

    return say


@contextmanager
def _own_faults() -> Iterator[None]:
    """Whatever is wrong with the key, the copy or this machine: exit code 2."""
    from sqlalchemy.exc import DatabaseError

    from chain.errors import LedgerError
    from gateway.client.delegate_home import NoDelegateHome

    try:
        yield
    except (LedgerError, NoDelegateHome) as error:
        raise CouldNot(str(error)) from error
    except DatabaseError as error:
        raise CouldNot(f"the own copy cannot be used: {error.orig}; `fhir-anchor delegate verify` says more") from error
    except OSError as error:
        raise CouldNot(f"{error.filename or 'a file'}: {error.strerror or error}") from error


def _key(path: Path) -> Any:
    from gateway.key_files import KeyFileUnusable, read_key

    try:
        return read_key(path)
    except KeyFileUnusable as error:
        raise CouldNot(str(error)) from error


def _check_genesis(home: Path, given: Path | None) -> None:
    if given is not None and given.read_bytes() != (home / "genesis.json").read_bytes():
        raise CouldNot(f"{given} is another chain's genesis than the one in {home}")
