"""What every receipt rests on: a quorum of the delegates accepted a log that holds a gateway's transaction.

Steps 1, 3 to 6 of docs/design/receipt.md.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple, TypeVar

from chain import proof
from chain.block import Header
from chain.delegate_set import DelegateSet
from chain.errors import LedgerError
from chain.genesis import Genesis, GenesisInvalid
from chain.keys import ChainId
from chain.proof import Known, OlderThanPin
from chain.transactions import Role, Transaction, parse_transaction
from gateway.errors import CouldNotCheck
from gateway.finality_format import Evidence, Handover, LoggedTransaction, Votes, handovers_in, votes_in
from gateway.pins import Pinned, pin_of
from gateway.receipt_json import NoReceipt

Form = TypeVar("Form", bound=Evidence)


class ReceiptInvalid(Exception):
    """The receipt, or the record beside it, is not what it claims to be; the message says which value."""


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

    def check(self) -> None:
        """Raises CouldNotCheck unless both can be used."""
        genesis = self.genesis
        if self.pin_bytes is not None:
            pin_of(self.pin_bytes, genesis)


# Pure, and receipts of one batch share the inputs: those of a container have header, votes and ANCHOR in common.


@lru_cache(maxsize=8)
def genesis_of(genesis_bytes: bytes) -> Genesis:
    """Raises CouldNotCheck."""
    try:
        return Genesis.parse(genesis_bytes)
    except GenesisInvalid as error:
        raise CouldNotCheck(f"the genesis file is none: {error}") from error


def read_file(body: bytes, from_json: Callable[[bytes], Form], begin: Begin, what: str) -> tuple[Form, Accepted]:
    """The file and its header, which is final. Raises CouldNotCheck, first of what it is checked against, and ReceiptInvalid."""
    begin.check()
    try:
        file = from_json(body)
    except NoReceipt as error:
        raise ReceiptInvalid(f"no {what}: {error}") from error
    return file, _verify_final(file, begin)


def _verify_final(receipt: Evidence, begin: Begin) -> Accepted:
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
    return proof.acting_after(handovers_in(handovers), begin.genesis, None if begin.pinned is None else begin.pinned.pin)


@lru_cache(maxsize=1024)
def _final(header: bytes, votes: Votes, known: Known, genesis_bytes: bytes) -> Header:
    """Raises LedgerError."""
    return proof.verify_finality(header, votes_in(votes), genesis_of(genesis_bytes), known)


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
