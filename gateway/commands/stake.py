"""`fhir-anchor ledger vote | transfer | delegate | evidence`: choosing who produces blocks and votes on them.

Each transaction is signed with the key file given and nothing else; at home it goes into the outbox, from afar through the gateway.
"""

import json
import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import click

from chain.errors import LedgerError
from chain.evidence import Offence, evidence_of
from chain.genesis import Genesis
from chain.keys import SigningKey
from chain.ledger import Ledger
from chain.stake import DelegateAction, DelegateBody, TransferBody, UnjailBody, VoteBody, cosigner, register
from chain.transactions import StakeBody, sign_transaction
from chain.watermark import create_watermark
from gateway.commands.context import FINDINGS, CouldNot, json_option, leave, opened_ledger, read_file, settings_of, tell
from gateway.errors import GatewayError
from gateway.key_files import KeyFileUnusable, delegate_key_paths, read_key, write_key
from gateway.settings import Settings

VALID_FOR = 1000  # heights from the present one
_Command = Callable[..., Any]


class Place(Protocol):
    """Where a command is carried out: the gateway's own folder, or one that is reached over HTTP."""

    @property
    def genesis(self) -> Genesis: ...
    def height(self) -> int: ...
    def standing(self) -> list[tuple[bytes, str]]:
        """Keys and names of those who stand for election."""

    def submit(self, transaction: bytes) -> None: ...


def _sending(command: _Command) -> _Command:
    """The options of every command that signs something."""
    for option in reversed(
        (
            click.option("--key", "key_path", required=True, metavar="KEY.json", type=click.Path(path_type=Path), help="Who signs."),
            click.option("--url", help="A gateway elsewhere, to send it to; needs --genesis."),
            click.option(
                "--genesis", "genesis_path", metavar="GENESIS.json", type=click.Path(path_type=Path), help="The chain's, for --url."
            ),
            json_option,
            click.pass_context,
        )
    ):
        command = option(command)
    return command


@click.command(epilog="Example: fhir-anchor --home ./gw ledger vote --key ./gw/keys/stake.json delegate-1 delegate-2 delegate-3 delegate-4")
@click.argument("names", nargs=-1, metavar="[NAME|HEX]...")
@_sending
def vote(context: click.Context, names: tuple[str, ...], key_path: Path, url: str | None, genesis_path: Path | None, as_json: bool) -> None:
    """Approve of these delegates and no others, with all the weight of the key; of none, if none is named."""

    def body(place: Place, _key: SigningKey) -> StakeBody:
        return VoteBody(tuple(sorted({_delegate(place, name) for name in names})))

    _send(context, key_path, url, genesis_path, body, as_json=as_json)


@click.command(epilog="Example: fhir-anchor --home ./gw ledger transfer --key ./gw/keys/stake.json HEX 250000")
@click.argument("to", metavar="KEY.json|HEX")
@click.argument("weight", type=click.IntRange(1))
@_sending
def transfer(
    context: click.Context, to: str, weight: int, key_path: Path, url: str | None, genesis_path: Path | None, as_json: bool
) -> None:
    """Give voting weight to another key. What it then votes for is for that key to say."""
    receiver = public_key(to)
    _send(context, key_path, url, genesis_path, lambda _place, _signer: TransferBody(receiver, weight), as_json=as_json)


@click.group(
    epilog="Examples: fhir-anchor --home ./gw ledger delegate register --key ./gw/keys/stake.json Nordvik   "
    "fhir-anchor --home ./gw ledger delegate unjail --key ./gw/keys/delegate-2.json"
)
def delegate() -> None:
    """Register delegates, let them resign, or bring them back after an absence."""


@delegate.command(
    "register",
    epilog="Example: fhir-anchor --home ./gw ledger delegate register --key ./gw/keys/stake.json 'Nordvik' --delegate-key nordvik.json",
)
@click.argument("name")
@click.option(
    "--delegate-key", "delegate_path", metavar="KEY.json", type=click.Path(path_type=Path), help="The delegate's key file [a new one]."
)
@_sending
def register_(
    context: click.Context,
    name: str,
    delegate_path: Path | None,
    key_path: Path,
    url: str | None,
    genesis_path: Path | None,
    as_json: bool,
) -> None:
    """Let NAME stand for election. --key is a holder's: 1/256 of all weight stays behind each delegate that it registers.

    Without --delegate-key a new key with its watermark is made in the gateway's own folder; `serve` uses it from its next start on.
    """
    if delegate_path is None and url:
        raise CouldNot("--url needs --delegate-key: a new key is made in the gateway's own folder only")

    def body(place: Place, signer: SigningKey) -> StakeBody:
        member = _new_delegate(context, place.genesis) if delegate_path is None else _key(delegate_path)
        return register(member, place.genesis.chain_id, signer.public, name)

    _send(context, key_path, url, genesis_path, body, as_json=as_json)


@delegate.command(epilog="Example: fhir-anchor --home ./gw ledger delegate resign --key ./gw/keys/delegate-5.json")
@_sending
def resign(context: click.Context, key_path: Path, url: str | None, genesis_path: Path | None, as_json: bool) -> None:
    """The delegate of --key stands for no election any more, for good. It acts until a set without it does."""
    _send(context, key_path, url, genesis_path, lambda _place, _key: DelegateBody(DelegateAction.RESIGN), as_json=as_json)


@delegate.command(
    epilog="Example: fhir-anchor ledger delegate cosign --key nordvik.json --url https://fhir.example.org --genesis genesis.json"
)
@_sending
def cosign(context: click.Context, key_path: Path, url: str | None, genesis_path: Path | None, as_json: bool) -> None:
    """The delegate of --key cosigns the log's checkpoints from now on, with a key that is derived from its own.

    `init` and `upgrade` do this for the delegates of their home; a delegate elsewhere or one that is registered later says it itself.
    """
    _send(context, key_path, url, genesis_path, lambda place, key: cosigner(key, place.genesis.chain_id), as_json=as_json)


@delegate.command(epilog="Example: fhir-anchor --home ./gw ledger delegate unjail --key ./gw/keys/delegate-2.json")
@_sending
def unjail(context: click.Context, key_path: Path, url: str | None, genesis_path: Path | None, as_json: bool) -> None:
    """The delegate of --key, jailed for its absence, can be elected again."""
    _send(context, key_path, url, genesis_path, lambda _place, _key: UnjailBody(), as_json=as_json)


@click.command(epilog="Example: fhir-anchor --home ./gw ledger evidence --key ./gw/keys/stake.json evidence.json")
@click.argument("file", metavar="EVIDENCE.json", type=click.Path(path_type=Path))
@_sending
def evidence(context: click.Context, file: Path, key_path: Path, url: str | None, genesis_path: Path | None, as_json: bool) -> None:
    """Hand in a delegate's two signatures for two blocks of one height; it is removed for good.

    The file is {"offence": "produced"|"voted", "delegate", "height", "signed": [[what, signature], [what, signature]]}, bytes in hex:
    what was signed is a header or, for a vote, a block's hash.
    """
    told = _evidence(file)
    _send(context, key_path, url, genesis_path, lambda _place, _key: told, as_json=as_json)


def _evidence(file: Path) -> StakeBody:
    try:
        found = json.loads(file.read_bytes())
        one, other = ((bytes.fromhex(what), bytes.fromhex(signature)) for what, signature in found["signed"])
        return evidence_of(Offence[found["offence"].upper()], bytes.fromhex(found["delegate"]), found["height"], one, other)
    except OSError as error:
        raise CouldNot(f"{file}: {error.strerror or 'cannot be read'}") from error
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise CouldNot(f"{file} is no evidence; --help says what it looks like") from error


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


@contextmanager
def _place(context: click.Context, url: str | None, genesis_path: Path | None) -> Iterator[Place]:
    if url is None:
        with opened_ledger(settings_of(context)) as (store, genesis):
            yield _AtHome(settings_of(context), Ledger(store, genesis))
        return
    from gateway.client.ledger import RemoteLedger
    from gateway.errors import CouldNotCheck
    from gateway.recorded import genesis_of

    if genesis_path is None:
        raise CouldNot("--url needs --genesis: what is signed names its chain, and a gateway's word is not enough for that")
    try:
        yield RemoteLedger(url, genesis_of(read_file(genesis_path)))
    except CouldNotCheck as error:
        raise CouldNot(str(error)) from error


def _send(
    context: click.Context,
    key_path: Path,
    url: str | None,
    genesis_path: Path | None,
    make: Callable[[Place, SigningKey], StakeBody],
    *,
    as_json: bool,
) -> None:
    """Sign what `make` makes and hand it in. Exit code 1 if it is refused, 2 if it could not be handed in."""
    from gateway.client.ledger import LedgerUnreachable, NotTaken
    from gateway.stake_submission import NotAdmitted

    signer = _key(key_path)
    try:
        with _place(context, url, genesis_path) as place:
            transaction = sign_transaction(make(place, signer), place.height() + VALID_FOR, signer, place.genesis.chain_id)
            place.submit(transaction.raw)
            tx_id = transaction.tx_id(place.genesis.chain_id).hex()
    except (NotAdmitted, NotTaken) as error:
        click.echo(f"fhir-anchor: {error}", err=True)
        leave(FINDINGS)
    except (LedgerUnreachable, LedgerError, GatewayError) as error:
        raise CouldNot(str(error)) from error
    told = {"id": tx_id, "kind": transaction.kind.name, "valid_until": transaction.valid_until}
    tell(told, as_json=as_json, text=lambda: f"{told['kind']} {tx_id} waits for the ledger; a block records it within a few slots.")


def _delegate(place: Place, name: str) -> bytes:
    """The key of a delegate that is named by its name or its key."""
    key = _hex_key(name)
    found = [key] if key else [other for other, its_name in place.standing() if its_name == name]
    if len(found) != 1:
        raise CouldNot(
            f"{'no delegate' if not found else 'more than one delegate'} stands under the name {name!r}; `ledger delegates` lists keys"
        )
    return found[0]


def public_key(text: str) -> bytes:
    """A key given in hex or by its key file; what cannot be used becomes exit code 2."""
    return _hex_key(text) or _key(Path(text)).public


def _hex_key(text: str) -> bytes | None:
    return bytes.fromhex(text) if re.fullmatch(r"[0-9a-f]{64}", text) else None


def _key(path: Path) -> SigningKey:
    try:
        return read_key(path)
    except KeyFileUnusable as error:
        raise CouldNot(str(error)) from error


def _new_delegate(context: click.Context, genesis: Genesis) -> SigningKey:
    """A key file of the next number with its watermark, beside those of the delegates that are there."""
    keys = settings_of(context).keys_path
    numbers = [int(path.stem.partition("-")[2]) for path in delegate_key_paths(keys)]
    name = f"delegate-{max(numbers, default=0) + 1}"
    key = write_key(keys / f"{name}.json", name, os.urandom(32))
    create_watermark(keys / f"{name}.watermark", genesis.chain_id, key.public)
    click.echo(f"A new key is in {keys / f'{name}.json'}; start `serve` again so that it signs with it.", err=True)
    return key
