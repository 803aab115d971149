"""The rules of each kind of transaction against the state: may it be recorded, and what does it change. Pure, on an `Overlay`."""

from chain.access_batch import AccessBatchBody
from chain.audit_report import AuditReportBody
from chain.consent import ConsentGrantBody, ConsentRevokeBody
from chain.encoding import encode
from chain.entries import (
    SEEN,
    AccessBatchEntry,
    AnchorEntry,
    AuditReportEntry,
    GrantEntry,
    PartyEntry,
    Revocation,
    SequenceEntry,
    access_batch_key,
    anchor_key,
    audit_report_key,
    grant_key,
    party_key,
    sequence_key,
    signing_key_key,
    transaction_key,
)
from chain.keys import SignatureInvalid
from chain.refusal import Envelope, Reason, TransactionRefused
from chain.stake_rules import apply_stake_body, check_stake_body, stake_keys
from chain.state import Overlay
from chain.transactions import AnchorBody, Body, PartyAction, PartyBody, Transaction


def check_body(overlay: Overlay, body: Body, envelope: Envelope) -> None:
    """Raises `TransactionRefused` unless the state admits the body."""
    match body:
        case AnchorBody():
            _check_once(overlay, anchor_key(body.digest))
        case ConsentGrantBody():
            _check_grant(overlay, body, envelope)
        case ConsentRevokeBody():
            _check_revoke(overlay, body, envelope)
        case AccessBatchBody():
            _check_sequence(overlay, envelope.gateway, body.first)
        case AuditReportBody():
            _check_once(overlay, audit_report_key(body.digest))
        case PartyBody():
            _check_party(overlay, body, envelope.tx_id)
        case _:
            check_stake_body(overlay, body, envelope)


def apply_body(overlay: Overlay, body: Body, envelope: Envelope, log_index: int) -> None:
    """What a checked body changes."""
    match body:
        case AnchorBody():
            overlay.set(anchor_key(body.digest), AnchorEntry(log_index, body.root).to_value())
        case ConsentGrantBody():
            _apply_grant(overlay, body, envelope.gateway, log_index)
        case ConsentRevokeBody():
            _apply_revoke(overlay, body, log_index)
        case AccessBatchBody():
            _apply_access_batch(overlay, body, envelope.gateway, log_index)
        case AuditReportBody():
            overlay.set(audit_report_key(body.digest), AuditReportEntry(log_index, envelope.gateway, body.exit_code).to_value())
        case PartyBody():
            _apply_party(overlay, body, envelope.tx_id, log_index)
        case _:
            apply_stake_body(overlay, body, envelope, log_index)


def touched_keys(transaction: Transaction) -> list[bytes]:
    """The entries worth reading ahead, for many transactions at once."""
    body = transaction.body
    match body:
        case AnchorBody():
            return [anchor_key(body.digest)]
        case ConsentGrantBody() | ConsentRevokeBody():
            return [grant_key(body.grant_id)]
        case AccessBatchBody():
            return []  # where it goes, the state has to say first
        case AuditReportBody():
            return [audit_report_key(body.digest)]
        case PartyBody():
            return [party_key(body.client_id)]
        case _:
            return stake_keys(body, transaction.signer)


def party_at(overlay: Overlay, client_id: str) -> PartyEntry | None:
    """The party as the state has it."""
    value = overlay.get(party_key(client_id))
    return None if value is None else PartyEntry.from_value(value)


def sequence_at(overlay: Overlay, gateway: str) -> SequenceEntry:
    """How far the commit sequence of a gateway is recorded."""
    value = overlay.get(sequence_key(gateway))
    return SequenceEntry() if value is None else SequenceEntry.from_value(value)


def _check_once(overlay: Overlay, key: bytes) -> None:
    if overlay.get(key) is not None:
        raise TransactionRefused(Reason.DUPLICATE)


def _check_grant(overlay: Overlay, body: ConsentGrantBody, envelope: Envelope) -> None:
    _check_once(overlay, grant_key(body.grant_id))
    _check_sequence(overlay, envelope.gateway, body.sequence)
    _check_consent_signature(body, envelope)


def _check_revoke(overlay: Overlay, body: ConsentRevokeBody, envelope: Envelope) -> None:
    """Only the gateway of the grant can end it: numbers of two gateways do not compare."""
    value = overlay.get(grant_key(body.grant_id))
    if value is None:
        raise TransactionRefused(Reason.GRANT_UNKNOWN)
    grant = GrantEntry.from_value(value)
    if grant.revoked is not None:
        raise TransactionRefused(Reason.GRANT_REVOKED)
    if grant.gateway != envelope.gateway:
        raise TransactionRefused(Reason.GRANT_OF_ANOTHER_GATEWAY)
    _check_sequence(overlay, envelope.gateway, body.sequence)
    _check_consent_signature(body, envelope)


def _check_consent_signature(body: ConsentGrantBody | ConsentRevokeBody, envelope: Envelope) -> None:
    try:
        body.verify_signature(envelope.chain_id, envelope.gateway)
    except SignatureInvalid:
        raise TransactionRefused(Reason.CONSENT_SIGNATURE_INVALID) from None


def _check_sequence(overlay: Overlay, gateway: str, first: int) -> None:
    """A gateway's grants, revokes and accesses are recorded in the order it committed them: none is slipped in before what is here."""
    if first <= sequence_at(overlay, gateway).last:
        raise TransactionRefused(Reason.SEQUENCE_PASSED)


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


def _apply_grant(overlay: Overlay, body: ConsentGrantBody, gateway: str, log_index: int) -> None:
    overlay.set(grant_key(body.grant_id), GrantEntry(log_index, body.commitment, gateway, body.sequence, None).to_value())
    _advance_sequence(overlay, gateway, body.sequence)


def _apply_revoke(overlay: Overlay, body: ConsentRevokeBody, log_index: int) -> None:
    key = grant_key(body.grant_id)
    value = overlay.get(key)
    assert value is not None
    grant = GrantEntry.from_value(value)._replace(revoked=Revocation(log_index, body.sequence))
    overlay.set(key, grant.to_value())
    _advance_sequence(overlay, grant.gateway, body.sequence)


def _apply_access_batch(overlay: Overlay, body: AccessBatchBody, gateway: str, log_index: int) -> None:
    entry = AccessBatchEntry(log_index, body.first, body.last, body.leaves, body.root)
    overlay.set(access_batch_key(gateway, sequence_at(overlay, gateway).batches), entry.to_value())
    _advance_sequence(overlay, gateway, body.last, batches=1)


def _advance_sequence(overlay: Overlay, gateway: str, last: int, *, batches: int = 0) -> None:
    overlay.set(sequence_key(gateway), SequenceEntry(last, sequence_at(overlay, gateway).batches + batches).to_value())


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
