"""Signing a transaction of stake with a key file, and handing it in: at home or to a gateway elsewhere. What several commands share."""

import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import click

from chain.errors import LedgerError
from chain.genesis import Genesis
from chain.keys import SigningKey
from chain.ledger import Ledger
from chain.transactions import StakeBody, sign_transaction
from gateway.commands.context import FINDINGS, CouldNot, json_option, leave, opened_ledger, read_file, settings_of, tell, with_options
from gateway.errors import GatewayError
from gateway.key_files import KeyFileUnusable, read_key
from gateway.settings import Settings

VALID_FOR = 1000  # heights from the present one
_OPTIONS: dict[str, Callable[[Any], Any]] = {
    "key_path": click.option("--key", "key_path", required=True, metavar="KEY.json", type=click.Path(path_type=Path), help="Who signs."),
    "url": click.option("--url", help="A gateway elsewhere, to send it to; needs --genesis."),
    "genesis_path": click.option(
        "--genesis", "genesis_path", metavar="GENESIS.json", type=click.Path(path_type=Path), help="The chain's, for --url."
    ),
    "as_json": json_option,
}


class Place(Protocol):
    """Where a command is carried out: the gateway's own folder, or one that is reached over HTTP."""

    @property
    def genesis(self) -> Genesis: ...
    def height(self) -> int: ...
    def standing(self) -> list[tuple[bytes, str]]:
        """Keys and names of those who stand for election."""

    def submit(self, transaction: bytes) -> None: ...


class _AtHome:
    """The gateway's own folder: the outbox takes it, whether or not the gateway runs."""

    def __init__(self, settings: Settings, reader: Ledger) -> None:
        self._settings, self._reader = settings, reader

    @property
    def genesis(self) -> Genesis:
        return self._reader.genesis

    def height(self) -> int:
        return self._reader.height()

    def standing(self) -> list[tuple[bytes, str]]:
        return [(key, entry.name) for key, entry in self._reader.delegates.standing()]

    def submit(self, transaction: bytes) -> None:
        from gateway.index.database import open_index
        from gateway.stake_submission import submit_signed

        index = open_index(self._settings.effective_database_url)
        try:
            submit_signed(index, self._reader, transaction, int(time.time()))
        finally:
            index.close()


@dataclass(frozen=True, slots=True)
class Sending:
    """What the options of `sending` say."""

    context: click.Context
    key_path: Path
    url: str | None
    genesis_path: Path | None
    as_json: bool

    def send(self, make: Callable[[Place, SigningKey], StakeBody]) -> None:
        """Sign what `make` makes and hand it in. Exit code 1 if it is refused, 2 if it could not be handed in."""
        from gateway.client.ledger import LedgerUnreachable, NotTaken
        from gateway.stake_submission import NotAdmitted

        signer = key_in(self.key_path)
        try:
            with self._place() as place:
                transaction = sign_transaction(make(place, signer), place.height() + VALID_FOR, signer, place.genesis.chain_id)
                place.submit(transaction.raw)
                tx_id = transaction.tx_id(place.genesis.chain_id).hex()
        except (NotAdmitted, NotTaken) as error:
            click.echo(f"fhir-anchor: {error}", err=True)
            leave(FINDINGS)
        except (LedgerUnreachable, LedgerError, GatewayError) as error:
            raise CouldNot(str(error)) from error
        told = {"id": tx_id, "kind": transaction.kind.name, "valid_until": transaction.valid_until}
        words = f"{told['kind']} {tx_id} waits for the ledger; a block records it within a few slots."
        tell(told, as_json=self.as_json, text=lambda: words)

    @contextmanager
    def _place(self) -> Iterator[Place]:
        if self.url is None:
            with opened_ledger(settings_of(self.context)) as (store, genesis):
                yield _AtHome(settings_of(self.context), Ledger(store, genesis))
            return
        from gateway.client.ledger import RemoteLedger
        from gateway.errors import CouldNotCheck
        from gateway.recorded import genesis_of

        if self.genesis_path is None:
            raise CouldNot("--url needs --genesis: what is signed names its chain, and a gateway's word is not enough for that")
        try:
            yield RemoteLedger(self.url, genesis_of(read_file(self.genesis_path)))
        except CouldNotCheck as error:
            raise CouldNot(str(error)) from error


# The command with --key, --url, --genesis and --json, which it gets as one `Sending` before its own.
sending = with_options(_OPTIONS, Sending)


def public_key(text: str) -> bytes:
    """A key given in hex or by its key file; what cannot be used becomes exit code 2."""
    return hex_key(text) or key_in(Path(text)).public


def hex_key(text: str) -> bytes | None:
    """A key given in hex, None for any other text."""
    return bytes.fromhex(text) if re.fullmatch(r"[0-9a-f]{64}", text) else None


def key_in(path: Path) -> SigningKey:
    """Of a key file; what cannot be used becomes exit code 2."""
    try:
        return read_key(path)
    except KeyFileUnusable as error:
        raise CouldNot(str(error)) from error
