"""`fhir-anchor ledger prove` and `ledger pin`: proofs about the ledger, got from a gateway, checked here, and kept as files."""

from pathlib import Path
from typing import Any

import click

from gateway.commands.asking import Asked, Asking, asking
from gateway.commands.context import CouldNot, tell
from gateway.commands.receipt import pinned_number

_out = click.option("--out", metavar="PROOF.json", type=click.Path(path_type=Path, dir_okay=False), help="Where the proof goes.")


@click.group(
    epilog="Examples: fhir-anchor ledger prove finality --url https://fhir.example.org --genesis genesis.json --out final.json   "
    "fhir-anchor --home ./gw ledger prove state party general-hospital-0a1b2c3d"
)
def prove() -> None:
    """Get a proof about the ledger, check it, and keep it. `receipt verify` checks it again, anywhere."""


@prove.command(epilog="Example: fhir-anchor ledger prove finality 120 --url https://fhir.example.org --genesis genesis.json")
@click.argument("height", type=click.IntRange(1), required=False)
@_out
@asking
def finality(way: Asking, height: int | None, out: Path | None) -> None:
    """That the block of HEIGHT is final; by default the last one."""
    _prove(way, out, "finality", {"height": height}, {} if height is None else {"height": height})


@prove.command(epilog="Example: fhir-anchor --home ./gw ledger prove inclusion --index 42 --out entry.json")
@click.option("--transaction", metavar="ID", help="The transaction's identity, 64 hex digits.")
@click.option("--index", type=click.IntRange(0), metavar="NUMBER", help="Or its number in the log.")
@click.option("--size", type=click.IntRange(1), metavar="SIZE", help="Of the log to prove against: a block's log_size.")
@_out
@asking
def inclusion(way: Asking, transaction: str | None, index: int | None, size: int | None, out: Path | None) -> None:
    """That the log holds a transaction."""
    if (transaction is None) == (index is None):
        raise CouldNot("name the transaction by --transaction ID or by --index NUMBER")
    expected = {name: value for name, value in (("transaction", transaction), ("index", index), ("log_size", size)) if value is not None}
    _prove(way, out, "inclusion", {"transaction": transaction, "index": index, "size": size}, expected)


@prove.command(epilog="Example: fhir-anchor ledger prove consistency --pin pin.json --url https://fhir.example.org --genesis genesis.json")
@click.argument("first", type=click.IntRange(1), required=False)
@click.argument("second", type=click.IntRange(1), required=False)
@_out
@asking
def consistency(way: Asking, first: int | None, second: int | None, out: Path | None) -> None:
    """That the log of size FIRST is how the log of size SECOND begins: FIRST is by default the pin's, SECOND the last block's."""
    if first is None:
        if way.pin_path is None:
            raise CouldNot("give the size FIRST of the log that you know, or --pin")
        first = pinned_number(way.pin_path, "log_size")
    expected = {"first_size": first, **({} if second is None else {"log_size": second})}
    _prove(way, out, "consistency", {"first": first, "second": second}, expected)


@prove.command(epilog="Example: fhir-anchor --home ./gw ledger prove state party general-hospital-0a1b2c3d --out party.json")
@click.argument("kind")
@click.argument("name", default="")
@_out
@asking
def state(way: Asking, kind: str, name: str, out: Path | None) -> None:
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
    _prove(way, out, "state", {"kind": kind, "name": name}, {"kind": int(number), "name": natural_key.hex()})


@click.command(epilog="Example: fhir-anchor ledger pin --url https://fhir.example.org --genesis genesis.json --out pin.json")
@click.option("--height", type=click.IntRange(1), help="Of the block to pin; by default the last one.")
@_out
@asking
def pin(way: Asking, height: int | None, out: Path | None) -> None:
    """Verify a block and keep it as a pin: where `receipt verify --pin` begins in place of the genesis.

    Keys of delegates of long ago may be stolen one day, and sign another history from there. A pin is safe from that: keep it like the
    genesis file, and move it on now and then, with --pin OLD.json --out NEW.json.
    """
    from gateway.proof_verification import pin_from

    if out is None:
        raise CouldNot("give --out: where the pin goes")
    proof, outcome = way.checked("finality", {"height": height}, {} if height is None else {"height": height})
    _write(out, pin_from(proof, way.genesis_bytes, way.pin_bytes))
    told = {"height": outcome["height"], "hash": outcome["block"], "log_size": outcome["log_size"], "pin": str(out)}
    tell(told, as_json=way.as_json, text=lambda: f"Block {told['height']}, {told['hash']}, is pinned in {out}")


def _prove(way: Asking, out: Path | None, kind: str, asked: Asked, expected: dict[str, Any]) -> None:
    from gateway.commands.outcomes import words

    proof, outcome = way.checked(kind, asked, expected)
    if out is not None:
        _write(out, proof)
    outcome["file"] = str(out or f"{kind} proof")
    tell(outcome, as_json=way.as_json, text=lambda: words(outcome))


def _write(out: Path, content: bytes) -> None:
    """Whole or not at all, also over what is there."""
    beside = out.with_name(f".{out.name}.new")
    try:
        beside.write_bytes(content)
        beside.replace(out)
    except OSError as error:
        raise CouldNot(f"{out}: {error.strerror or 'cannot be written'}") from error
