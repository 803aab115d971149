"""Executing transactions one after the other on an overlay: the pass that building, voting and auditing a block share."""

from collections.abc import Sequence
from functools import lru_cache

from msgspec import Struct

from chain.delegate_set import DelegateSet
from chain.encoding import decode
from chain.entries import party_key, signing_key_key
from chain.format import MOST
from chain.keys import ChainId, SignatureInvalid
from chain.log import LogHead
from chain.merkle import leaf_hash
from chain.refusal import Envelope, Reason, TransactionRefused
from chain.rules import apply_body, check_body, party_at, touched_keys
from chain.state import Overlay, State
from chain.transactions import PartyBody, Role, StakeBody, Transaction, TransactionInvalid, parse_transaction

_REMEMBERED = 2 * MOST.transactions  # the largest block, and as many candidates that were refused


class Recorded(Struct, frozen=True, gc=False):
    """A transaction in its place."""

    tx_id: bytes
    leaf_hash: bytes
    party: bytes | None  # the entry key of the party it is about, so that a party's history can be found


class Identified(Struct, frozen=True, gc=False):
    """A parsed transaction, and what else follows from its bytes."""

    transaction: Transaction
    tx_id: bytes
    leaf_hash: bytes


class Execution:
    """The transactions of the block of `height`, from log index `log.size` on."""

    def __init__(self, chain_id: ChainId, height: int, log: LogHead, state: State) -> None:
        self._chain_id, self._height, self._state = chain_id, height, state
        self._start = log
        self._gateways: dict[bytes, str] = {}  # signer -> client id, of those found to be gateways since a PARTY was last applied
        self.signed: frozenset[int] = frozenset()  # log indices whose transactions are known to be signed
        self.overlay = Overlay(state)
        self.recorded: list[Recorded] = []
        self.elected: DelegateSet | None = None  # by the last block of an epoch, where delegates are elected

    def read(self, transactions: Sequence[bytes]) -> list[Identified | Reason]:
        """Parses, and reads ahead the state that they touch in one go."""
        parsed = [_parse(raw, self._chain_id) for raw in transactions]
        self._state.load(key for item in parsed if isinstance(item, Identified) for key in touched_keys(item.transaction))
        return parsed

    def record(self, parsed: Identified | Reason) -> None:
        """Checks and applies one transaction. Raises `TransactionRefused` and changes nothing if it may not stand here."""
        if isinstance(parsed, Reason):
            raise TransactionRefused(parsed)
        transaction = parsed.transaction
        if transaction.valid_until < self._height:
            raise TransactionRefused(Reason.EXPIRED)
        if self._start.size + len(self.recorded) not in self.signed and not is_signed(transaction.raw, self._chain_id):
            raise TransactionRefused(Reason.SIGNATURE_INVALID)
        body, signer = transaction.body, transaction.signer
        gateway = "" if isinstance(body, StakeBody) else self._gateway_of(signer)
        envelope = Envelope(self._chain_id, parsed.tx_id, signer, gateway)
        check_body(self.overlay, body, envelope)
        apply_body(self.overlay, body, envelope, self._start.size + len(self.recorded))
        party = None
        if isinstance(body, PartyBody):
            self._gateways.clear()
            party = party_key(body.client_id)
        self.recorded.append(Recorded(parsed.tx_id, parsed.leaf_hash, party))

    def keep_place(self, raw: bytes) -> None:
        """Records a refused transaction as what it is, bytes in the log and nothing more: an audit goes on behind it."""
        self.recorded.append(Recorded(b"", leaf_hash(raw), None))

    def log(self) -> LogHead:
        """The log with what was recorded."""
        return self._start.extended([item.leaf_hash for item in self.recorded])

    def _gateway_of(self, signer: bytes) -> str:
        """The client id of the gateway that signs with this key now: all transactions of today are signed by one."""
        known = self._gateways.get(signer)
        if known is not None:
            return known
        owner = self.overlay.get(signing_key_key(signer))
        if owner is not None:
            client_id: str = decode(owner)
            party = party_at(self.overlay, client_id)
            if party is not None and party.role is Role.GATEWAY and party.signing_key == signer and not party.suspended:
                self._gateways[signer] = client_id
                return client_id
        raise TransactionRefused(Reason.SIGNER_NOT_A_GATEWAY)


# All are functions of the bytes alone, and delegates in one process trust it anyway: what one has found out the others need not find out
# again. A voter in a process of its own has a memory of its own, so it reads and verifies for itself.


@lru_cache(maxsize=_REMEMBERED)
def _parse(raw: bytes, chain_id: ChainId) -> Identified | Reason:
    try:
        transaction = parse_transaction(raw)
    except TransactionInvalid:
        return Reason.MALFORMED
    return Identified(transaction, transaction.tx_id(chain_id), leaf_hash(raw))


def transaction_id(raw: bytes, chain_id: ChainId) -> bytes | None:
    """The identity of a transaction; None for bytes that are none."""
    parsed = _parse(raw, chain_id)
    return parsed.tx_id if isinstance(parsed, Identified) else None


@lru_cache(maxsize=_REMEMBERED)
def is_signed(raw: bytes, chain_id: ChainId) -> bool:
    """Whether these bytes are a transaction that its signer signed for this chain."""
    parsed = _parse(raw, chain_id)
    if isinstance(parsed, Reason):
        return False
    try:
        parsed.transaction.verify_signature(chain_id)
    except SignatureInvalid:
        return False
    return True
