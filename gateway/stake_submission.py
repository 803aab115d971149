"""Transactions that holders of stake and delegates have signed themselves: looked at once, then put in line for the ledger.

Anyone may send one. Only what the ledger's state would admit now gets in line, which takes a signature by a key that the state knows, and
of one key and in all only so many wait: so nobody without stake can fill a table, and nobody with it more than a little. Who has more
weight, or stands as a delegate, finds a place although others with many keys have taken what is there for all.
"""

from chain.ledger import Ledger
from chain.stake_entries import Standing
from chain.transactions import MAX_TRANSACTION_BYTES, StakeBody, Transaction, TransactionInvalid, parse_transaction
from gateway.errors import Refused, Unavailable
from gateway.index import outbox
from gateway.index.database import Index

MAX_BYTES = MAX_TRANSACTION_BYTES
MAX_WAITING = 256  # in all, besides those in places that are somebody's own
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
        own_places = _own_places(ledger, transaction.signer)
        with index.atomic() as connection:
            waiting = outbox.signed(connection)
            if raw not in waiting:
                _check_room([parse_transaction(other).signer for other in waiting], transaction.signer, own_places)
                outbox.add_signed(connection, raw, now)
    return transaction


def _own_places(ledger: Ledger, signer: bytes) -> int:
    """Places that nobody else can take: as many of `MAX_WAITING` as its share of the weight is, and one for a delegate that stands."""
    stake, delegate = ledger.delegates.stake(signer), ledger.delegates.delegate(signer)
    by_weight = MAX_WAITING * (stake.weight if stake else 0) // ledger.genesis.total_stake
    stands = delegate is not None and delegate.standing is Standing.STANDS
    return min(max(by_weight, int(stands)), MAX_WAITING_OF_ONE)


def _check_room(waiting: list[bytes], signer: bytes, own_places: int) -> None:
    of_signer = waiting.count(signer)
    if of_signer >= own_places and (len(waiting) >= MAX_WAITING or of_signer >= MAX_WAITING_OF_ONE):
        raise Unavailable("too many transactions wait for the ledger; send this one again in a few slots")
