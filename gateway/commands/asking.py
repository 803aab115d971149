"""Asking for proofs about the ledger: of whom, and by what they are checked. What several commands may be told, as one value."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from gateway.commands.context import FINDINGS, CouldNot, json_option, leave, opened_ledger, read_file, settings_of, tell, with_options
from gateway.commands.receipt import pinned_height

Asked = dict[str, str | int | None]
_OPTIONS: dict[str, Callable[[Any], Any]] = {
    "url": click.option("--url", help="A gateway elsewhere to ask; needs --genesis. Without it: the ledger of --home."),
    "genesis_path": click.option(
        "--genesis", "genesis_path", metavar="GENESIS.json", type=click.Path(path_type=Path), help="The chain's genesis file."
    ),
    "pin_path": click.option(
        "--pin", "pin_path", metavar="PIN.json", type=click.Path(path_type=Path), help="Begin at this pin, not at the genesis."
    ),
    "independent": click.option("--independent", is_flag=True, help="Check with the second implementation."),
    "as_json": json_option,
}


@dataclass(frozen=True, slots=True)
class Asking:
    """What the options of `asking` say."""

    context: click.Context
    url: str | None
    genesis_path: Path | None
    pin_path: Path | None
    independent: bool
    as_json: bool

    @property
    def genesis_bytes(self) -> bytes:
        """Of the genesis file; that there is none becomes exit code 2."""
        if self.genesis_path is None and self.url is not None:
            raise CouldNot("--url needs --genesis: what a gateway says is checked against the chain's own file")
        return read_file(self.genesis_path or settings_of(self.context).genesis_path)

    @property
    def pin_bytes(self) -> bytes | None:
        """Of the pin, if one was given; that it cannot be read becomes exit code 2."""
        return None if self.pin_path is None else read_file(self.pin_path)

    def checked(self, kind: str, asked: Asked, expected: dict[str, Any]) -> tuple[bytes, dict[str, Any]]:
        """The proof and the outcome, once it holds and is about what was asked; else this ends the program."""
        from gateway.commands.outcomes import words
        from gateway.verifiers import INVALID, NOT_CHECKED, VALID, checker

        genesis_bytes = self.genesis_bytes
        check = checker(genesis_bytes, self.pin_bytes, of="independent" if self.independent else "first")
        asked = {**asked, "from": pinned_height(self.pin_path) or None}
        proof = _at_home(self.context, kind, asked) if self.url is None else _from_afar(self.url, genesis_bytes, kind, asked)
        outcome = check(proof, None)
        said = {**outcome, **outcome.get("says", {})}
        if outcome["result"] == VALID and any(said.get(name) != value for name, value in expected.items()):
            outcome = {"result": INVALID, "detail": "it proves something else than what was asked"}
        if outcome["result"] == NOT_CHECKED:
            raise CouldNot(outcome["detail"])
        if outcome["result"] != VALID:
            told = {"file": f"{kind} proof", **outcome}
            tell(told, as_json=self.as_json, text=lambda: words(told))
            leave(FINDINGS)
        return proof, outcome


# The command with --url, --genesis, --pin, --independent and --json, which it gets as one `Asking` before its own.
asking = with_options(_OPTIONS, Asking)


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
