"""Why the state does not admit a transaction, and what the rules know of the one that they look at."""

from enum import StrEnum
from typing import NamedTuple

from chain.errors import LedgerError
from chain.keys import ChainId


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
    GRANT_UNKNOWN = "grant-unknown"
    GRANT_REVOKED = "grant-revoked"
    GRANT_OF_ANOTHER_GATEWAY = "grant-of-another-gateway"
    CONSENT_SIGNATURE_INVALID = "consent-signature-invalid"
    SEQUENCE_PASSED = "sequence-passed"
    DELEGATES_FIXED = "delegates-fixed"
    SIGNER_HOLDS_NO_STAKE = "signer-holds-no-stake"
    STAKE_TOO_SMALL = "stake-too-small"
    STAKE_BOUND = "stake-bound"
    TRANSFER_TO_SELF = "transfer-to-self"
    DELEGATE_UNKNOWN = "delegate-unknown"
    DELEGATE_GONE = "delegate-gone"
    DELEGATE_SIGNATURE_INVALID = "delegate-signature-invalid"
    COSIGNER_SIGNATURE_INVALID = "cosigner-signature-invalid"
    NOT_JAILED = "not-jailed"
    EVIDENCE_INVALID = "evidence-invalid"


class TransactionRefused(LedgerError):
    """The state does not admit the transaction; `reason` says why."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason.value)
        self.reason = reason


class Envelope(NamedTuple):
    """What the transaction around a body says."""

    chain_id: ChainId
    tx_id: bytes
    signer: bytes  # public key
    gateway: str  # client id of the party whose signing key the signer is; empty where holders and delegates sign
