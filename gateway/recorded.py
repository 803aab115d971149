"""What every receipt rests on: a quorum of the delegates accepted a log that holds a gateway's transaction.

Steps 1, 3 to 6 of docs/design/receipt.md.
"""

from functools import lru_cache
from typing import NamedTuple, Protocol

from chain import proof
from chain.block import Header, Vote
from chain.errors import LedgerError
from chain.genesis import Genesis, GenesisInvalid
from chain.keys import ChainId
from chain.proof import Known
from chain.transactions import Role, Transaction, parse_transaction
from gateway.errors import CouldNotCheck
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
    """A final header, and of how many delegates a quorum accepted it."""

    header: Header
    delegates: int


# Pure, and receipts of one batch share the inputs: those of a container have header, votes and ANCHOR in common.


@lru_cache(maxsize=8)
def genesis_of(genesis_bytes: bytes) -> Genesis:
    """Raises CouldNotCheck."""
    try:
        return Genesis.parse(genesis_bytes)
    except GenesisInvalid as error:
        raise CouldNotCheck(f"the genesis file is none: {error}") from error


def verify_final(receipt: Evidence, genesis_bytes: bytes) -> Accepted:
    """The header that a quorum of this chain's delegates accepted. Raises ReceiptInvalid and CouldNotCheck."""
    if receipt.chain_id != bytes(genesis_of(genesis_bytes).chain_id):
        raise ReceiptInvalid("chain_id: the receipt is of another chain than the genesis file")
    try:
        known = _handed_over(receipt.handovers, genesis_bytes)
    except LedgerError as error:
        raise ReceiptInvalid(f"handovers: {error}") from error
    try:
        return Accepted(_final(receipt.header, receipt.votes, known, genesis_bytes), len(known.acting.keys))
    except LedgerError as error:
        raise ReceiptInvalid(f"header and votes: {error}") from error


def verify_logged(logged: LoggedTransaction, header: Header, genesis: Genesis, what: str) -> Transaction:
    """The transaction: a gateway of genesis signed it for this chain, and the header's log holds it. Raises ReceiptInvalid with `what`."""
    gateways = {party.signing_key for party in genesis.parties if party.role is Role.GATEWAY}
    try:
        proof.verify_recorded(logged.transaction, logged.index, logged.path, header)
        transaction = _signed_transaction(logged.transaction, genesis.chain_id)
    except LedgerError as error:
        raise ReceiptInvalid(f"{what}: {error}") from error
    if transaction.signer not in gateways:
        raise ReceiptInvalid(f"{what}.transaction is not signed by a gateway of genesis")
    return transaction


@lru_cache(maxsize=64)
def _handed_over(handovers: tuple[Handover, ...], genesis_bytes: bytes) -> Known:
    """Raises LedgerError."""
    genesis = genesis_of(genesis_bytes)
    told = [proof.Handover(one.header, _votes(one.votes), tuple(map(bytes, one.delegates))) for one in handovers]
    return proof.verify_handovers(told, genesis, Known.at_genesis(genesis))


@lru_cache(maxsize=1024)
def _final(header: bytes, votes: Votes, known: Known, genesis_bytes: bytes) -> Header:
    """Raises LedgerError."""
    return proof.verify_finality(header, _votes(votes), genesis_of(genesis_bytes), known)


def _votes(votes: Votes) -> tuple[Vote, ...]:
    return tuple(Vote(delegate, signature) for delegate, signature in votes)


@lru_cache(maxsize=1024)
def _signed_transaction(raw: bytes, chain_id: ChainId) -> Transaction:
    """Raises LedgerError."""
    transaction = parse_transaction(raw)
    transaction.verify_signature(chain_id)
    return transaction
