"""`fhir-anchor ledger vote | transfer | delegate | evidence`: choosing who produces blocks and votes on them.

Each transaction is signed with the key file given and nothing else; at home it goes into the outbox, from afar through the gateway.
"""

import json
import os
from pathlib import Path

import click

from chain.evidence import Offence, evidence_of
from chain.genesis import Genesis
from chain.keys import SigningKey
from chain.stake import DelegateAction, DelegateBody, TransferBody, UnjailBody, VoteBody, cosigner, register
from chain.transactions import StakeBody
from chain.watermark import create_watermark
from gateway.commands.context import CouldNot, settings_of
from gateway.commands.sending import Place, Sending, hex_key, key_in, public_key, sending
from gateway.key_files import delegate_key_paths, write_key


@click.command(epilog="Example: fhir-anchor --home ./gw ledger vote --key ./gw/keys/stake.json delegate-1 delegate-2 delegate-3 delegate-4")
@click.argument("names", nargs=-1, metavar="[NAME|HEX]...")
@sending
def vote(how: Sending, names: tuple[str, ...]) -> None:
    """Approve of these delegates and no others, with all the weight of the key; of none, if none is named."""

    def body(place: Place, _key: SigningKey) -> StakeBody:
        return VoteBody(tuple(sorted({_delegate(place, name) for name in names})))

    how.send(body)


@click.command(epilog="Example: fhir-anchor --home ./gw ledger transfer --key ./gw/keys/stake.json HEX 250000")
@click.argument("to", metavar="KEY.json|HEX")
@click.argument("weight", type=click.IntRange(1))
@sending
def transfer(how: Sending, to: str, weight: int) -> None:
    """Give voting weight to another key. What it then votes for is for that key to say."""
    receiver = public_key(to)
    how.send(lambda _place, _signer: TransferBody(receiver, weight))


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
@sending
def register_(how: Sending, name: str, delegate_path: Path | None) -> None:
    """Let NAME stand for election. --key is a holder's: 1/256 of all weight stays behind each delegate that it registers.

    Without --delegate-key a new key with its watermark is made in the gateway's own folder; `serve` uses it from its next start on.
    """
    if delegate_path is None and how.url:
        raise CouldNot("--url needs --delegate-key: a new key is made in the gateway's own folder only")

    def body(place: Place, signer: SigningKey) -> StakeBody:
        member = _new_delegate(how.context, place.genesis) if delegate_path is None else key_in(delegate_path)
        return register(member, place.genesis.chain_id, signer.public, name)

    how.send(body)


@delegate.command(epilog="Example: fhir-anchor --home ./gw ledger delegate resign --key ./gw/keys/delegate-5.json")
@sending
def resign(how: Sending) -> None:
    """The delegate of --key stands for no election any more, for good. It acts until a set without it does."""
    how.send(lambda _place, _key: DelegateBody(DelegateAction.RESIGN))


@delegate.command(
    epilog="Example: fhir-anchor ledger delegate cosign --key nordvik.json --url https://fhir.example.org --genesis genesis.json"
)
@sending
def cosign(how: Sending) -> None:
    """The delegate of --key cosigns the log's checkpoints from now on, with a key that is derived from its own.

    `init` and `upgrade` do this for the delegates of their home; a delegate elsewhere or one that is registered later says it itself.
    """
    how.send(lambda place, key: cosigner(key, place.genesis.chain_id))


@delegate.command(epilog="Example: fhir-anchor --home ./gw ledger delegate unjail --key ./gw/keys/delegate-2.json")
@sending
def unjail(how: Sending) -> None:
    """The delegate of --key, jailed for its absence, can be elected again."""
    how.send(lambda _place, _key: UnjailBody())


@click.command(epilog="Example: fhir-anchor --home ./gw ledger evidence --key ./gw/keys/stake.json evidence.json")
@click.argument("file", metavar="EVIDENCE.json", type=click.Path(path_type=Path))
@sending
def evidence(how: Sending, file: Path) -> None:
    """Hand in a delegate's two signatures for two blocks of one height; it is removed for good.

    The file is {"offence": "produced"|"voted", "delegate", "height", "signed": [[what, signature], [what, signature]]}, bytes in hex:
    what was signed is a header or, for a vote, a block's hash.
    """
    told = _evidence(file)
    how.send(lambda _place, _key: told)


def _evidence(file: Path) -> StakeBody:
    try:
        found = json.loads(file.read_bytes())
        one, other = ((bytes.fromhex(what), bytes.fromhex(signature)) for what, signature in found["signed"])
        return evidence_of(Offence[found["offence"].upper()], bytes.fromhex(found["delegate"]), found["height"], one, other)
    except OSError as error:
        raise CouldNot(f"{file}: {error.strerror or 'cannot be read'}") from error
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise CouldNot(f"{file} is no evidence; --help says what it looks like") from error


def _delegate(place: Place, name: str) -> bytes:
    """The key of a delegate that is named by its name or its key."""
    key = hex_key(name)
    found = [key] if key else [other for other, its_name in place.standing() if its_name == name]
    if len(found) != 1:
        raise CouldNot(
            f"{'no delegate' if not found else 'more than one delegate'} stands under the name {name!r}; `ledger delegates` lists keys"
        )
    return found[0]


def _new_delegate(context: click.Context, genesis: Genesis) -> SigningKey:
    """A key file of the next number with its watermark, beside those of the delegates that are there."""
    keys = settings_of(context).keys_path
    numbers = [int(path.stem.partition("-")[2]) for path in delegate_key_paths(keys)]
    name = f"delegate-{max(numbers, default=0) + 1}"
    key = write_key(keys / f"{name}.json", name, os.urandom(32))
    create_watermark(keys / f"{name}.watermark", genesis.chain_id, key.public)
    click.echo(f"A new key is in {keys / f'{name}.json'}; start `serve` again so that it signs with it.", err=True)
    return key
