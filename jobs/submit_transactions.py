"""The outbox's way to the ledger: bodies out of gateway.db, signed with the gateway's ledger key, into the ledger's pool. What holders of
stake and delegates have signed themselves goes as it is.

Taken at least once: a crash after the ledger took a row and before the outbox forgot it makes the next run offer the same row again, and
the ledger counts a row (its source) once. Signing happens here, so that nothing expires while it waits in the outbox.

A row whose bytes make no transaction holds up no other: it is set aside for the operator (`jobs dead-letters`). So is one that the gateway
did not write: nothing of it is read but its tag. Nor does what comes from outside hold up the gateway's own work: that goes first, and of
the other only a share goes in each slot.
"""

from collections.abc import Callable, Sequence
from hashlib import sha256

from chain.encoding import decode, encode
from chain.errors import LedgerError
from chain.keys import ChainId, SigningKey
from chain.ports import Engine as LedgerEngine
from chain.transactions import BODIES, parse_transaction, sign_transaction
from gateway.index import outbox
from gateway.index.database import Index
from gateway.logs import logger

ALTERED = "the gateway did not write it: find out who can write to gateway.db, then `jobs dead-letters --drop` it"
BATCH = 1000  # rows in one transaction of either database
VALID_FOR = 10_000  # heights from the present one

KeyFor = Callable[[int], SigningKey]  # kind of transaction -> who signs it
Waiting = tuple[outbox.OutboxRow, bool]  # with whether the gateway did not write what it is to sign
OUTSIDE_IN_A_SLOT = 32  # rows; a vote for 100 delegates takes four local delegates 40 ms


def submit_transactions(index: Index, ledger: LedgerEngine, key_for: KeyFor, chain_id: ChainId, height: int) -> int:
    """Offer the rows of the outbox, in their order, to the ledger, once in each slot; `height` is the last final one. Returns how many were
    taken. `key_for` gives the key that signs rows of a kind; it raises `LedgerError` if none may.
    """
    taken = 0
    while rows := _pending(index, BATCH):
        taken += _offer(index, ledger, rows, key_for, chain_id, height)
    rows = _pending(index, OUTSIDE_IN_A_SLOT, from_outside=True)
    return taken + (_offer(index, ledger, rows, key_for, chain_id, height) if rows else 0)


def _offer(index: Index, ledger: LedgerEngine, rows: Sequence[Waiting], key_for: KeyFor, chain_id: ChainId, height: int) -> int:
    signed: list[tuple[bytes, int]] = []
    damaged: dict[int, str] = {}  # why, by row
    for row, is_altered in rows:
        if is_altered:
            damaged[row.id] = ALTERED
            continue
        try:
            signed.append((_signed(row, key_for, chain_id, height), _source(row)))
        except LedgerError as error:
            damaged[row.id] = str(error)
        except KeyError:
            damaged[row.id] = f"there is no transaction of kind {row.kind}"
        except TypeError:  # SQLite keeps in a column what is put there
            damaged[row.id] = "its columns hold values of another kind"
    ledger.submit_all(signed)
    with index.atomic() as connection:
        for id_, reason in damaged.items():
            outbox.set_aside(connection, id_, reason)
        outbox.done(connection, [row.id for row, _ in rows if row.id not in damaged])
    for id_, reason in damaged.items():
        logger().error("a row of the outbox was set aside; see `jobs dead-letters`", row=id_, reason=reason)
    return len(signed)


def _pending(index: Index, limit: int, *, from_outside: bool = False) -> list[Waiting]:
    """The first in line."""
    with index.reading() as connection:
        return [(row, row.is_altered(connection)) for row in outbox.pending(connection, limit=limit, from_outside=from_outside)]


def _source(row: outbox.OutboxRow) -> int:
    """What the ledger knows the row by, 63 bits: what is in its tag. Without its number: a copy that somebody puts in line again, under
    another number, is what the ledger already has; and a database restored from an older copy gives numbers out again.
    """
    return int.from_bytes(sha256(encode([row.kind, row.body, row.created_at])).digest()[:8], "big") >> 1


def _signed(row: outbox.OutboxRow, key_for: KeyFor, chain_id: ChainId, height: int) -> bytes:
    if row.kind == outbox.SIGNED:
        return parse_transaction(row.body).raw
    body = BODIES[row.kind].from_map(decode(row.body))
    return sign_transaction(body, height + VALID_FOR, key_for(row.kind), chain_id).raw
