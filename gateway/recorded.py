"""What every receipt rests on: a quorum of the delegates accepted a log that holds a gateway's transaction.

Steps 1, 3 to 6 of docs/design/receipt.md.
"""

from functools import lru_cache
from typing import NamedTuple, Protocol

from chain import proof
from chain.block import Header, Vote
from chain.delegate_set import DelegateSet
from chain.errors import LedgerError
from chain.genesis import Genesis, GenesisInvalid
from chain.keys import ChainId
from chain.proof import Known, OlderThanPin
from chain.transactions import Role, Transaction, parse_transaction
from gateway.errors import CouldNotCheck
from gateway.pins import Pinned, pin_of
from gateway.receipt_format import Handover, Hash, LoggedTransaction, Raw, Votes


class ReceiptInvalid(Exception):
    """The receipt, or the record beside it, is not what it claims to be; the message says which value."""


class Evidence(Protocol):
    """What receipts of every form have."""

    @property
    def chain_id(self) -> Hash: ...
    @property
    def header(self) -> Raw: ...
    @property
    def votes(self) -> Votes: ...
    @property
    def handovers(self) -> tuple[Handover, ...]: ...


class Accepted(NamedTuple):
    """A final header, and of which delegates a quorum accepted it."""

    header: Header
    acting: DelegateSet


class Begin(NamedTuple):
    """Where the checker begins: the bytes of the genesis file, and of a pin if it has one."""

    genesis_bytes: bytes
    pin_bytes: bytes | None = None

    @property
    def genesis(self) -> Genesis:
        """Raises CouldNotCheck."""
        return genesis_of(self.genesis_bytes)

    @property
    def pinned(self) -> Pinned | None:
        """Raises CouldNotCheck."""
        return None if self.pin_bytes is None else pin_of(self.pin_bytes, self.genesis)


# Pure, and receipts of one batch share the inputs: those of a container have header, votes and ANCHOR in common.


@lru_cache(maxsize=8)
def genesis_of(genesis_bytes: bytes) -> Genesis:
    """Raises CouldNotCheck."""
    try:
        return Genesis.parse(genesis_bytes)
    except GenesisInvalid as error:
        raise CouldNotCheck(f"the genesis file is none: {error}") from error


def verify_final(receipt: Evidence, begin: Begin) -> Accepted:
    """The header that a quorum of this chain's delegates accepted. Raises ReceiptInvalid and CouldNotCheck."""
    if receipt.chain_id != bytes(begin.genesis.chain_id):
        raise ReceiptInvalid("chain_id: it is of another chain than the genesis file")
    try:
        if begin.pinned is not None:
            proof.check_age(receipt.header, begin.pinned.pin)
        known = _handed_over(receipt.handovers, begin)
    except OlderThanPin as error:
        raise CouldNotCheck(f"header: {error}; ask for it with --pin, so that it is proven against a later block") from error
    except LedgerError as error:
        raise ReceiptInvalid(f"handovers: {error}") from error
    try:
        return Accepted(_final(receipt.header, receipt.votes, known, begin.genesis_bytes), known.acting)
    except LedgerError as error:
        raise ReceiptInvalid(f"header and votes: {error}") from error


def verify_logged(logged: LoggedTransaction, header: Header, begin: Begin, what: str) -> Transaction:
    """The transaction: a gateway of genesis signed it for this chain, and the header's log holds it. Raises ReceiptInvalid with `what`."""
    try:
        transaction = _logged(logged, header, begin.genesis.chain_id)
    except LedgerError as error:
        raise ReceiptInvalid(f"{what}: {error}") from error
    if not is_by_gateway(transaction, begin.genesis):
        raise ReceiptInvalid(f"{what}.transaction is not signed by a gateway of genesis")
    return transaction


def is_by_gateway(transaction: Transaction, genesis: Genesis) -> bool:
    """Whether its signer is a gateway of genesis."""
    return transaction.signer in {party.signing_key for party in genesis.parties if party.role is Role.GATEWAY}


@lru_cache(maxsize=64)
def _handed_over(handovers: tuple[Handover, ...], begin: Begin) -> Known:
    """Raises LedgerError."""
    told = [proof.Handover(one.header, _votes(one.votes), tuple(map(bytes, one.delegates))) for one in handovers]
    return proof.acting_after(told, begin.genesis, None if begin.pinned is None else begin.pinned.pin)


@lru_cache(maxsize=1024)
def _final(header: bytes, votes: Votes, known: Known, genesis_bytes: bytes) -> Header:
    """Raises LedgerError."""
    return proof.verify_finality(header, _votes(votes), genesis_of(genesis_bytes), known)


def _votes(votes: Votes) -> tuple[Vote, ...]:
    return tuple(Vote(delegate, signature) for delegate, signature in votes)


@lru_cache(maxsize=1024)
def _logged(logged: LoggedTransaction, header: Header, chain_id: ChainId) -> Transaction:
    """Raises LedgerError."""
    proof.verify_recorded(logged.transaction, logged.index, logged.path, header)
    return signed_transaction(logged.transaction, chain_id)


@lru_cache(maxsize=1024)
def signed_transaction(raw: bytes, chain_id: ChainId) -> Transaction:
    """The transaction, signed by its signer for this chain. Raises LedgerError."""
    transaction = parse_transaction(raw)
    transaction.verify_signature(chain_id)
    return transaction
