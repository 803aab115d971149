"""The rules of the transactions of holders and delegates: who may do what, and what it changes. Pure, on an `Overlay`.

Two sums hold after each: the weights are the total of the genesis, and a delegate's approval is the weight of those who approve of it.
"""

from chain.entries import SEEN, signing_key_key, transaction_key
from chain.evidence import EvidenceBody
from chain.keys import SignatureInvalid
from chain.refusal import Envelope, Reason, TransactionRefused
from chain.stake import DelegateAction, DelegateBody, TransferBody, UnjailBody, VoteBody
from chain.stake_entries import (
    ROLL_KEY,
    CosignerEntry,
    DelegateEntry,
    RollEntry,
    StakeEntry,
    Standing,
    cosigner_key,
    delegate_at,
    delegate_key,
    roll_at,
    stake_at,
    stake_key,
)
from chain.state import Overlay
from chain.transactions import StakeBody

MAX_SPONSORED = 256  # delegates that all stake together can have standing, those of the genesis aside


def check_stake_body(overlay: Overlay, body: StakeBody, envelope: Envelope) -> None:
    """Raises `TransactionRefused` unless the state admits the body."""
    roll = roll_at(overlay)
    if roll is None:
        raise TransactionRefused(Reason.DELEGATES_FIXED)
    if overlay.get(transaction_key(envelope.tx_id)) is not None:
        raise TransactionRefused(Reason.DUPLICATE)
    match body:
        case DelegateBody(action=DelegateAction.REGISTER):
            _check_registration(overlay, roll, body, envelope)
        case DelegateBody(action=DelegateAction.COSIGN):
            _check_cosigner(overlay, body, envelope)
        case DelegateBody():
            _standing(overlay, envelope.signer)
        case UnjailBody():
            if not _standing(overlay, envelope.signer).jailed:
                raise TransactionRefused(Reason.NOT_JAILED)
        case VoteBody():
            _holder(overlay, envelope.signer)
            for key in body.delegates:
                _standing(overlay, key)
        case TransferBody():
            _check_transfer(overlay, roll, body, envelope.signer)
        case EvidenceBody():
            _check_evidence(overlay, body, envelope)


def apply_stake_body(overlay: Overlay, body: StakeBody, envelope: Envelope, log_index: int) -> None:
    """What a checked body changes."""
    signer = envelope.signer
    match body:
        case DelegateBody(action=DelegateAction.REGISTER):
            _apply_registration(overlay, body, signer, log_index)
        case DelegateBody(action=DelegateAction.COSIGN):
            assert body.key is not None
            overlay.set(cosigner_key(signer), CosignerEntry(log_index, body.key).to_value())
            _leave_identity(overlay, envelope)
        case DelegateBody():
            _end(overlay, signer, Standing.RESIGNED)
        case EvidenceBody():
            _end(overlay, body.delegate, Standing.REMOVED)
        case UnjailBody():
            write_delegate(overlay, signer, _known(overlay, signer)._replace(jailed=False))
            _leave_identity(overlay, envelope)
        case VoteBody():
            _apply_votes(overlay, signer, body.delegates)
            _leave_identity(overlay, envelope)
        case TransferBody():
            _move(overlay, signer, -body.weight)
            _move(overlay, body.to, body.weight)
            _leave_identity(overlay, envelope)


def stake_keys(body: StakeBody, signer: bytes) -> list[bytes]:
    """The entries worth reading ahead."""
    keys = [stake_key(signer), delegate_key(signer)]
    match body:
        case VoteBody():
            return keys + [delegate_key(key) for key in body.delegates]
        case TransferBody():
            return [*keys, stake_key(body.to)]
        case _:
            return keys


def write_delegate(overlay: Overlay, key: bytes, entry: DelegateEntry) -> None:
    overlay.set(delegate_key(key), entry.to_value())


def write_stake(overlay: Overlay, holder: bytes, entry: StakeEntry) -> None:
    overlay.set(stake_key(holder), entry.to_value())


def _holder(overlay: Overlay, key: bytes) -> StakeEntry:
    stake = stake_at(overlay, key)
    if stake is None or not stake.weight:
        raise TransactionRefused(Reason.SIGNER_HOLDS_NO_STAKE)
    return stake


def _standing(overlay: Overlay, key: bytes) -> DelegateEntry:
    entry = delegate_at(overlay, key)
    if entry is None:
        raise TransactionRefused(Reason.DELEGATE_UNKNOWN)
    if entry.standing is not Standing.STANDS:
        raise TransactionRefused(Reason.DELEGATE_GONE)
    return entry


def _known(overlay: Overlay, key: bytes) -> DelegateEntry:
    entry = delegate_at(overlay, key)
    assert entry is not None
    return entry


def _is_bound(roll: RollEntry, weight: int, sponsored: int) -> bool:
    """Whether `weight` is less than what stands behind so many delegates: 1/256 of all stake each, or anyone could flood the roll."""
    return weight * MAX_SPONSORED < roll.total * sponsored


def _check_registration(overlay: Overlay, roll: RollEntry, body: DelegateBody, envelope: Envelope) -> None:
    holder = _holder(overlay, envelope.signer)
    assert body.key is not None
    if delegate_at(overlay, body.key) is not None:
        raise TransactionRefused(Reason.DUPLICATE)
    if _is_bound(roll, holder.weight, holder.sponsored + 1):
        raise TransactionRefused(Reason.STAKE_TOO_SMALL)
    try:
        body.verify_signature(envelope.chain_id, envelope.signer)
    except SignatureInvalid:
        raise TransactionRefused(Reason.DELEGATE_SIGNATURE_INVALID) from None


def _check_cosigner(overlay: Overlay, body: DelegateBody, envelope: Envelope) -> None:
    """No key signs for two protocols: one that produces and votes, or signs for a party, cosigns nothing."""
    _standing(overlay, envelope.signer)
    assert body.key is not None
    if any(overlay.get(key(body.key)) is not None for key in (delegate_key, stake_key, signing_key_key)):
        raise TransactionRefused(Reason.KEY_TAKEN)
    try:
        body.verify_signature(envelope.chain_id, envelope.signer)
    except SignatureInvalid:
        raise TransactionRefused(Reason.COSIGNER_SIGNATURE_INVALID) from None


def _check_transfer(overlay: Overlay, roll: RollEntry, body: TransferBody, signer: bytes) -> None:
    holder = _holder(overlay, signer)
    if body.weight > holder.weight or body.to == signer:
        raise TransactionRefused(Reason.STAKE_TOO_SMALL if body.to != signer else Reason.TRANSFER_TO_SELF)
    if _is_bound(roll, holder.weight - body.weight, holder.sponsored):
        raise TransactionRefused(Reason.STAKE_BOUND)


def _check_evidence(overlay: Overlay, body: EvidenceBody, envelope: Envelope) -> None:
    """From whoever has a stake in it: a holder or a delegate that stands."""
    stake = stake_at(overlay, envelope.signer)
    if stake is None or not stake.weight:
        _standing(overlay, envelope.signer)
    accused = delegate_at(overlay, body.delegate)
    if accused is None:
        raise TransactionRefused(Reason.DELEGATE_UNKNOWN)
    if accused.standing is Standing.REMOVED:
        raise TransactionRefused(Reason.DUPLICATE)
    try:
        body.verify(envelope.chain_id)
    except SignatureInvalid:
        raise TransactionRefused(Reason.EVIDENCE_INVALID) from None


def _apply_registration(overlay: Overlay, body: DelegateBody, holder: bytes, log_index: int) -> None:
    roll, stake = roll_at(overlay), stake_at(overlay, holder)
    assert roll is not None
    assert stake is not None
    assert body.key is not None
    assert body.name is not None
    write_delegate(overlay, body.key, DelegateEntry(log_index, body.name, holder, 0))
    write_stake(overlay, holder, stake._replace(sponsored=stake.sponsored + 1))
    overlay.set(ROLL_KEY, roll._replace(delegates=tuple(sorted({*roll.delegates, body.key}))).to_value())


def _end(overlay: Overlay, key: bytes, standing: Standing) -> None:
    """A delegate leaves the roll for good; what its sponsor put up for it is free."""
    entry, roll = _known(overlay, key), roll_at(overlay)
    assert roll is not None
    write_delegate(overlay, key, entry._replace(standing=standing))
    if entry.standing is not Standing.STANDS:
        return
    overlay.set(ROLL_KEY, roll._replace(delegates=tuple(other for other in roll.delegates if other != key)).to_value())
    if entry.sponsor is not None:
        stake = stake_at(overlay, entry.sponsor)
        assert stake is not None
        write_stake(overlay, entry.sponsor, stake._replace(sponsored=stake.sponsored - 1))


def _apply_votes(overlay: Overlay, signer: bytes, votes: tuple[bytes, ...]) -> None:
    stake = stake_at(overlay, signer)
    assert stake is not None
    _approve(overlay, stake.votes, -stake.weight)
    _approve(overlay, votes, stake.weight)
    write_stake(overlay, signer, stake._replace(votes=votes))


def _move(overlay: Overlay, holder: bytes, weight: int) -> None:
    stake = stake_at(overlay, holder) or StakeEntry(0)
    _approve(overlay, stake.votes, weight)
    write_stake(overlay, holder, stake._replace(weight=stake.weight + weight))


def _approve(overlay: Overlay, delegates: tuple[bytes, ...], weight: int) -> None:
    for key in delegates:
        entry = _known(overlay, key)
        write_delegate(overlay, key, entry._replace(approval=entry.approval + weight))


def _leave_identity(overlay: Overlay, envelope: Envelope) -> None:
    """No natural key stops a second recording of these: an old vote would come back, a transfer be made twice."""
    overlay.set(transaction_key(envelope.tx_id), SEEN)
