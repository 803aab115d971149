"""The outbox's way to the ledger: bodies out of gateway.db, signed with the gateway's ledger key, into the ledger's pool. What holders of
stake and delegates have signed themselves goes as it is.

Taken at least once: a crash after the ledger took a row and before the outbox forgot it makes the next run offer the same row again, and
the ledger counts a row (its source) once. Signing happens here, so that nothing expires while it waits in the outbox.

A row whose bytes make no transaction holds up no other: it is set aside for the operator (`jobs dead-letters`).
"""

from hashlib import sha256

import structlog

from chain.encoding import decode
from chain.errors import LedgerError
from chain.keys import ChainId, SigningKey
from chain.ports import Engine as LedgerEngine
from chain.transactions import BODIES, parse_transaction, sign_transaction
from gateway.index import outbox
from gateway.index.database import Index

BATCH = 1000  # rows in one transaction of either database
VALID_FOR = 10_000  # heights from the present one


def submit_transactions(index: Index, ledger: LedgerEngine, key: SigningKey, chain_id: ChainId, height: int) -> int:
    """Offer every row of the outbox, in its order, to the ledger; `height` is the last final one. Returns how many were taken."""
    taken = 0
    while rows := _pending(index):
        signed: list[tuple[bytes, int]] = []
        damaged: dict[int, str] = {}  # why, by row
        for row in rows:
            try:
                signed.append((_signed(row, key, chain_id, height), _source(row)))
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
            outbox.done(connection, [row.id for row in rows if row.id not in damaged])
        taken += len(signed)
        for id_, reason in damaged.items():
            structlog.get_logger().error("a row of the outbox was set aside; see `jobs dead-letters`", row=id_, reason=reason)
    return taken


def _pending(index: Index) -> list[outbox.OutboxRow]:
    with index.reading() as connection:
        return outbox.pending(connection, limit=BATCH)


def _source(row: outbox.OutboxRow) -> int:
    """What the ledger knows the row by, 63 bits: its number and content. A database restored from an older copy gives numbers out again,
    and what then has a number of old must not be taken for what the ledger already has.
    """
    content = row.id.to_bytes(8, "big") + row.kind.to_bytes(2, "big") + row.body
    return int.from_bytes(sha256(content).digest()[:8], "big") >> 1


def _signed(row: outbox.OutboxRow, key: SigningKey, chain_id: ChainId, height: int) -> bytes:
    if row.kind == outbox.SIGNED:
        return parse_transaction(row.body).raw
    body = BODIES[row.kind].from_map(decode(row.body))
    return sign_transaction(body, height + VALID_FOR, key, chain_id).raw
