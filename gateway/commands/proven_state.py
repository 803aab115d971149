"""What the state of a chain holds, asked of a gateway that is not believed: each entry comes with its proof, which is checked here.

All that one answer rests on is of one block: a gateway cannot mix what was with what is.
"""

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from chain.checkpoint import cosigner_verifier, log_verifier
from chain.entries import EntryKind, PartyEntry, natural_key_named
from chain.genesis import Genesis
from chain.note import VerifierKey
from chain.stake_entries import CosignerEntry, DelegateEntry, RollEntry
from chain.transactions import Role
from gateway.commands.asking import Asking
from gateway.commands.context import CouldNot, instant
from gateway.proving import spelled
from gateway.recorded import genesis_of
from gateway.verifiers import Outcome

Found = TypeVar("Found")
TRIES = 5  # at a block each; one takes some requests of milliseconds


class _WentOn(Exception):
    """There is another block since the first entry was asked for."""


class ProvenState:
    """The state after the block that the first entry was proven against; `at` is what was found of that, `genesis` the chain's."""

    def __init__(self, asking: Asking) -> None:
        self._asking = asking
        self.at: Outcome = {}

    @property
    def genesis(self) -> Genesis:
        """Once an entry was asked for."""
        return genesis_of(self._asking.genesis_bytes)

    def entry(self, kind: EntryKind, name: str = "") -> bytes | None:
        """The value, None where the state has no such entry. What does not hold or cannot be had ends the program."""
        expected = {"kind": int(kind), "name": natural_key_named(kind, name).hex()}
        _, outcome = self._asking.checked("state", {"kind": spelled(kind), "name": name}, expected)
        if self.at and self.at["block"] != outcome["block"]:
            raise _WentOn
        self.at = outcome
        value = outcome["says"]["value"]
        return None if value is None else bytes.fromhex(value)


def of_one_block(asking: Asking, ask: Callable[[ProvenState], Found]) -> tuple[Found, Outcome]:
    """What `ask` makes of the state, and against which block all of it was proven."""
    for _ in range(TRIES):
        state = ProvenState(asking)
        try:
            return ask(state), state.at
        except _WentOn:
            continue
    raise CouldNot("the chain went on each time while it was asked; try again")


def is_afar(asking: Asking) -> bool:
    """Whether a gateway elsewhere is to be asked; what is given without its address would go unheeded."""
    given = {"--genesis": asking.genesis_path, "--pin": asking.pin_path, "--independent": asking.independent}
    unheeded = [name for name, value in given.items() if value]
    if asking.url is None and unheeded:
        raise CouldNot(f"{unheeded[0]} goes with --url: at home the gateway's own ledger is read, and nothing is proven")
    return asking.url is not None


def checkpoint_keys(state: ProvenState) -> tuple[list[VerifierKey], list[tuple[str, VerifierKey]]]:
    """The keys of the log, and of the cosigners with their delegates' names, the most approved first: as `gateway.checkpoints` has them."""
    roll = state.entry(EntryKind.ROLL)
    chain_id, parties = state.genesis.chain_id, state.genesis.parties
    values = [state.entry(EntryKind.PARTY, party.client_id) for party in parties if party.role is Role.GATEWAY]
    gateways = [PartyEntry.from_value(value) for value in values if value is not None]
    logs = [log_verifier(chain_id, one.attestation_key) for one in gateways if one.attestation_key is not None and not one.suspended]
    standing = [] if roll is None else [_delegate(state, key) for key in RollEntry.from_value(roll).delegates]
    cosigners = []
    for key, delegate in sorted(standing, key=lambda one: (-one[1].approval, one[0])):
        value = state.entry(EntryKind.COSIGNER, key.hex())
        if value is not None:
            cosigners.append((delegate.name, cosigner_verifier(chain_id, key, CosignerEntry.from_value(value).key)))
    return logs, cosigners


def _delegate(state: ProvenState, key: bytes) -> tuple[bytes, DelegateEntry]:
    value = state.entry(EntryKind.DELEGATE, key.hex())
    if value is None:
        raise CouldNot(f"the state names a delegate {key.hex()} of which it has no entry")
    return key, DelegateEntry.from_value(value)


def proven_by(at: Outcome, genesis_path: Path | None) -> str:
    """In a sentence, what an answer from afar rests on."""
    votes = f"by {at['votes']} of {at['delegates']} delegates"
    return f"after block {at['height']} ({instant(at['accepted_at'])}, {votes}), proven against {genesis_path}"
