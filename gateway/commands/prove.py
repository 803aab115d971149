"""`fhir-anchor ledger prove` and `ledger pin`: proofs about the ledger, got from a gateway, checked here, and kept as files."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from gateway.commands.context import FINDINGS, CouldNot, json_option, leave, opened_ledger, read_file, settings_of, tell
from gateway.commands.receipt import pinned_height, pinned_number

Asked = dict[str, str | int | None]
ASKING: tuple[Callable[[Any], Any], ...] = (
    click.option("--url", help="A gateway elsewhere to ask; needs --genesis. Without it: the ledger of --home."),
    click.option("--genesis", "genesis_path", metavar="GENESIS.json", type=click.Path(path_type=Path), help="The chain's genesis file."),
    click.option("--pin", "pin_path", metavar="PIN.json", type=click.Path(path_type=Path), help="Begin at this pin, not at the genesis."),
    click.option("--independent", is_flag=True, help="Check with the second implementation."),
)


def _options(command: Any) -> Any:
    for option in reversed((*ASKING, _out, json_option)):
        command = option(command)
    return click.pass_context(command)


_out = click.option("--out", metavar="PROOF.json", type=click.Path(path_type=Path, dir_okay=False), help="Where the proof goes.")


@click.group(
    epilog="Examples: fhir-anchor ledger prove finality --url https://fhir.example.org --genesis genesis.json --out final.json   "
    "fhir-anchor --home ./gw ledger prove state party general-hospital-0a1b2c3d"
)
def prove() -> None:
    """Get a proof about the ledger, check it, and keep it. `receipt verify` checks it again, anywhere."""


@prove.command(epilog="Example: fhir-anchor ledger prove finality 120 --url https://fhir.example.org --genesis genesis.json")
@click.argument("height", type=click.IntRange(1), required=False)
@_options
def finality(context: click.Context, height: int | None, **how: Any) -> None:
    """That the block of HEIGHT is final; by default the last one."""
    _prove(context, "finality", {"height": height}, {} if height is None else {"height": height}, **how)


@prove.command(epilog="Example: fhir-anchor --home ./gw ledger prove inclusion --index 42 --out entry.json")
@click.option("--transaction", metavar="ID", help="The transaction's identity, 64 hex digits.")
@click.option("--index", type=click.IntRange(0), metavar="NUMBER", help="Or its number in the log.")
@click.option("--size", type=click.IntRange(1), metavar="SIZE", help="Of the log to prove against: a block's log_size.")
@_options
def inclusion(context: click.Context, transaction: str | None, index: int | None, size: int | None, **how: Any) -> None:
    """That the log holds a transaction."""
    if (transaction is None) == (index is None):
        raise CouldNot("name the transaction by --transaction ID or by --index NUMBER")
    expected = {name: value for name, value in (("transaction", transaction), ("index", index), ("log_size", size)) if value is not None}
    _prove(context, "inclusion", {"transaction": transaction, "index": index, "size": size}, expected, **how)


@prove.command(epilog="Example: fhir-anchor ledger prove consistency --pin pin.json --url https://fhir.example.org --genesis genesis.json")
@click.argument("first", type=click.IntRange(1), required=False)
@click.argument("second", type=click.IntRange(1), required=False)
@_options
def consistency(context: click.Context, first: int | None, second: int | None, **how: Any) -> None:
    """That the log of size FIRST is how the log of size SECOND begins: FIRST is by default the pin's, SECOND the last block's."""
    if first is None:
        if how["pin_path"] is None:
            raise CouldNot("give the size FIRST of the log that you know, or --pin")
        first = pinned_number(how["pin_path"], "log_size")
    expected = {"first_size": first, **({} if second is None else {"log_size": second})}
    _prove(context, "consistency", {"first": first, "second": second}, expected, **how)


@prove.command(epilog="Example: fhir-anchor --home ./gw ledger prove state party general-hospital-0a1b2c3d --out party.json")
@click.argument("kind")
@click.argument("name", default="")
@_options
def state(context: click.Context, kind: str, name: str, **how: Any) -> None:
    """What the state holds under NAME after the last block, or that it holds nothing there.

    KIND is party (NAME: client id), anchor (container digest), grant, delegate, cosigner, stake, signing-key, transaction, audit-report,
    delegate-set (64 hex digits), access-batch (client-id/place), sequence (client id), roll or elected (no NAME). What is there is shown in
    words; with --json as its bytes in hex (docs/design/ledger.md).
    """
    from fhir_adapters.issue import InvalidInput
    from gateway.proving import entry_named

    try:
        number, natural_key = entry_named(kind, name)
    except InvalidInput as error:
        raise CouldNot(error.issues[0].diagnostics) from error
    _prove(context, "state", {"kind": kind, "name": name}, {"kind": int(number), "name": natural_key.hex()}, **how)


@click.command(epilog="Example: fhir-anchor ledger pin --url https://fhir.example.org --genesis genesis.json --out pin.json")
@click.option("--height", type=click.IntRange(1), help="Of the block to pin; by default the last one.")
@_options
def pin(context: click.Context, height: int | None, **how: Any) -> None:
    """Verify a block and keep it as a pin: where `receipt verify --pin` begins in place of the genesis.

    Keys of delegates of long ago may be stolen one day, and sign another history from there. A pin is safe from that: keep it like the
    genesis file, and move it on now and then, with --pin OLD.json --out NEW.json.
    """
    from gateway.proof_verification import pin_from

    out, how["out"] = how["out"], None
    if out is None:
        raise CouldNot("give --out: where the pin goes")
    proof, genesis_bytes, outcome = checked(context, "finality", {"height": height}, {} if height is None else {"height": height}, **how)
    _write(out, pin_from(proof, genesis_bytes, None if how["pin_path"] is None else read_file(how["pin_path"])))
    told = {"height": outcome["height"], "hash": outcome["block"], "log_size": outcome["log_size"], "pin": str(out)}
    tell(told, as_json=how["as_json"], text=lambda: f"Block {told['height']}, {told['hash']}, is pinned in {out}")


def _prove(
    context: click.Context, kind: str, asked: Asked, expected: dict[str, Any], *, out: Path | None, as_json: bool, **how: Any
) -> None:
    from gateway.commands.outcomes import words

    proof, _, outcome = checked(context, kind, asked, expected, as_json=as_json, **how)
    if out is not None:
        _write(out, proof)
    outcome["file"] = str(out or f"{kind} proof")
    tell(outcome, as_json=as_json, text=lambda: words(outcome))


def checked(
    context: click.Context, kind: str, asked: Asked, expected: dict[str, Any], *, url: str | None, genesis_path: Path | None,
    pin_path: Path | None, independent: bool, as_json: bool, **_: Any,
) -> tuple[bytes, bytes, dict[str, Any]]:  # fmt: skip
    """The proof, the genesis file and the outcome, once it holds and is about what was asked; else this ends the program."""
    from gateway.commands.outcomes import words
    from gateway.verifiers import INVALID, NOT_CHECKED, VALID, checker

    pin_bytes = None if pin_path is None else read_file(pin_path)
    asked = {**asked, "from": pinned_height(pin_path) or None}
    if url is not None:
        if genesis_path is None:
            raise CouldNot("--url needs --genesis: what a gateway says is checked against the chain's own file")
        genesis_bytes = read_file(genesis_path)
        proof = _from_afar(url, genesis_bytes, kind, asked)
    else:
        genesis_bytes = read_file(genesis_path or settings_of(context).genesis_path)
        proof = _at_home(context, kind, asked)
    outcome = checker(genesis_bytes, pin_bytes, of="independent" if independent else "first")(proof, None)
    said = {**outcome, **outcome.get("says", {})}
    if outcome["result"] == VALID and any(said.get(name) != value for name, value in expected.items()):
        outcome = {"result": INVALID, "detail": "it proves something else than what was asked"}
    if outcome["result"] == NOT_CHECKED:
        raise CouldNot(outcome["detail"])
    if outcome["result"] != VALID:
        told = {"file": f"{kind} proof", **outcome}
        tell(told, as_json=as_json, text=lambda: words(told))
        leave(FINDINGS)
    return proof, genesis_bytes, outcome


def _from_afar(url: str, genesis_bytes: bytes, kind: str, asked: Asked) -> bytes:
    from gateway.client.ledger import LedgerUnreachable, NotTaken, RemoteLedger
    from gateway.errors import CouldNotCheck
    from gateway.recorded import genesis_of

    try:
        return RemoteLedger(url, genesis_of(genesis_bytes)).proof(kind, asked)
    except (CouldNotCheck, LedgerUnreachable, NotTaken) as error:
        raise CouldNot(str(error)) from error


def _at_home(context: click.Context, kind: str, asked: Asked) -> bytes:
    from chain.errors import LedgerError
    from chain.ledger import Ledger
    from fhir_adapters.issue import InvalidInput
    from gateway.proving import proven
    from gateway.receipt_json import to_json

    with opened_ledger(settings_of(context)) as (store, genesis):
        try:
            return to_json(proven(Ledger(store, genesis), kind, {name: str(value) for name, value in asked.items() if value is not None}))
        except InvalidInput as error:
            raise CouldNot(error.issues[0].diagnostics) from error
        except LedgerError as error:
            raise CouldNot(str(error)) from error


def _write(out: Path, content: bytes) -> None:
    """Whole or not at all, also over what is there."""
    beside = out.with_name(f".{out.name}.new")
    try:
        beside.write_bytes(content)
        beside.replace(out)
    except OSError as error:
        raise CouldNot(f"{out}: {error.strerror or 'cannot be written'}") from error
