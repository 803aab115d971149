"""The rules of each kind of transaction against the state: may it be recorded, and what does it change. Pure, on an `Overlay`."""

from enum import StrEnum

from chain.encoding import encode
from chain.entries import (
    SEEN,
    AnchorEntry,
    PartyEntry,
    anchor_key,
    party_key,
    signing_key_key,
    transaction_key,
)
from chain.errors import LedgerError
from chain.state import Overlay
from chain.transactions import AnchorBody, Body, PartyAction, PartyBody


class Reason(StrEnum):
    """Why a transaction was not recorded; a closed list, shown to the operator."""

    MALFORMED = "malformed"
    SIGNATURE_INVALID = "signature-invalid"
    EXPIRED = "expired"
    SIGNER_NOT_A_GATEWAY = "signer-not-a-gateway"
    DUPLICATE = "duplicate"
    PARTY_UNKNOWN = "party-unknown"
    PARTY_SUSPENDED = "party-suspended"
    PARTY_CHANGED = "party-changed"
    KEY_TAKEN = "key-taken"


class TransactionRefused(LedgerError):
    """The state does not admit the transaction; `reason` says why."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason.value)
        self.reason = reason


def check_body(overlay: Overlay, body: Body, tx_id: bytes) -> None:
    """Raises `TransactionRefused` unless the state admits the body."""
    if isinstance(body, AnchorBody):
        _check_anchor(overlay, body)
    else:
        _check_party(overlay, body, tx_id)


def apply_body(overlay: Overlay, body: Body, tx_id: bytes, log_index: int) -> None:
    """What a checked body changes."""
    if isinstance(body, AnchorBody):
        overlay.set(anchor_key(body.digest), AnchorEntry(log_index, body.root).to_value())
    else:
        _apply_party(overlay, body, tx_id, log_index)


def touched_keys(body: Body) -> list[bytes]:
    """The entries worth reading ahead, for many transactions at once."""
    return [anchor_key(body.digest)] if isinstance(body, AnchorBody) else [party_key(body.client_id)]


def party_at(overlay: Overlay, client_id: str) -> PartyEntry | None:
    """The party as the state has it."""
    value = overlay.get(party_key(client_id))
    return None if value is None else PartyEntry.from_value(value)


def _check_anchor(overlay: Overlay, body: AnchorBody) -> None:
    if overlay.get(anchor_key(body.digest)) is not None:
        raise TransactionRefused(Reason.DUPLICATE)


def _check_party(overlay: Overlay, body: PartyBody, tx_id: bytes) -> None:
    if overlay.get(transaction_key(tx_id)) is not None:
        raise TransactionRefused(Reason.DUPLICATE)
    party = party_at(overlay, body.client_id)
    if body.action is PartyAction.REGISTER:
        if party is not None:
            raise TransactionRefused(Reason.DUPLICATE)
    elif party is None:
        raise TransactionRefused(Reason.PARTY_UNKNOWN)
    elif party.suspended:
        raise TransactionRefused(Reason.PARTY_SUSPENDED)
    elif (party.name, party.role) != (body.name, body.role):
        raise TransactionRefused(Reason.PARTY_CHANGED)
    _check_signing_key(overlay, body)


def _check_signing_key(overlay: Overlay, body: PartyBody) -> None:
    """A signing key belongs to one party for ever, so that an old signature never changes hands."""
    if body.signing_key is not None:
        owner = overlay.get(signing_key_key(body.signing_key))
        if owner not in {None, encode(body.client_id)}:
            raise TransactionRefused(Reason.KEY_TAKEN)


def _apply_party(overlay: Overlay, body: PartyBody, tx_id: bytes, log_index: int) -> None:
    """Rotations may go back to an earlier key, so no natural key stops a second recording: the identity is left behind."""
    overlay.set(transaction_key(tx_id), SEEN)
    if body.action is PartyAction.SUSPEND:
        party = party_at(overlay, body.client_id)
        assert party is not None
        entry = party._replace(suspended=True)
    else:
        entry = PartyEntry.of(body, log_index)
    write_party(overlay, body.client_id, entry)


def write_party(overlay: Overlay, client_id: str, entry: PartyEntry) -> None:
    """Sets a party's entry and, if it has a signing key, whose key that is."""
    overlay.set(party_key(client_id), entry.to_value())
    if entry.signing_key is not None:
        overlay.set(signing_key_key(entry.signing_key), encode(client_id))
