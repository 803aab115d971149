"""Transactions that holders of stake and delegates have signed themselves: looked at once, then put in line for the ledger.

Anyone may send one. Only what the ledger's state would admit now gets in line, which takes a signature by a key that the state knows, and
of one key and in all only so many wait: so nobody without stake can fill a table, and nobody with it more than a little.
"""

from chain.ledger import Ledger
from chain.transactions import MAX_TRANSACTION_BYTES, StakeBody, Transaction, TransactionInvalid, parse_transaction
from gateway.errors import Refused, Unavailable
from gateway.index import outbox
from gateway.index.database import Index

MAX_BYTES = MAX_TRANSACTION_BYTES
MAX_WAITING = 256  # in all
MAX_WAITING_OF_ONE = 16  # signer


class NotAdmitted(Refused):
    """The ledger would not record it as things are; the message has the ledger's reason."""

    status = 422
    code = "business-rule"


def submit_signed(index: Index, ledger: Ledger, raw: bytes, now: int) -> Transaction:
    """Put a transaction in line; one that waits already is not put there again. Raises NotAdmitted, and Unavailable where too many wait."""
    try:
        transaction = parse_transaction(raw)
    except TransactionInvalid as error:
        raise NotAdmitted(f"malformed: {error}") from error
    if not isinstance(transaction.body, StakeBody):
        raise NotAdmitted(f"a transaction of kind {transaction.kind.name} comes from the gateway's own work, not from outside")
    with index.reading() as connection:  # without the write lock first: whoever sees a transaction can send it again and again
        if raw in outbox.signed(connection):
            return transaction
    reason = ledger.refusal(raw)
    if reason is not None:
        raise NotAdmitted(f"the ledger would refuse it: {reason.value}")
    if not ledger.is_pooled(transaction.tx_id(ledger.genesis.chain_id)):
        with index.atomic() as connection:
            waiting = outbox.signed(connection)
            if raw not in waiting:
                _check_room([parse_transaction(other).signer for other in waiting], transaction.signer)
                outbox.add_signed(connection, raw, now)
    return transaction


def _check_room(waiting: list[bytes], signer: bytes) -> None:
    if len(waiting) >= MAX_WAITING or waiting.count(signer) >= MAX_WAITING_OF_ONE:
        raise Unavailable("too many transactions wait for the ledger; send this one again in a few slots")
