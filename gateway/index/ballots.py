"""Ballots of delegates elsewhere, on their way from the workers that take them to the jobs process that counts them.

Of each delegate and duty only the last is kept, so the table never holds more rows than there were delegates, whatever is sent. The
signatures below the log's checkpoint are rows of the duty COSIGN: the log's own, of the delegates here, and of those elsewhere.
"""

from collections.abc import Collection

from sqlalchemy import Connection, and_, insert, select, update

from chain.ballot import Ballot
from chain.watermark import Duty
from gateway.index.schema import ballot


def put(connection: Connection, given: Ballot) -> None:
    """Keep a ballot that was verified, in the place of the delegate's last of this duty."""
    is_it = and_(ballot.c.delegate == given.delegate, ballot.c.duty == given.duty.value)
    values = {"height": given.height, "block_hash": given.block_hash, "signature": given.signature}
    if connection.execute(update(ballot).where(is_it).values(**values)).rowcount == 0:
        connection.execute(insert(ballot).values(delegate=given.delegate, duty=given.duty.value, **values))


def has(connection: Connection, given: Ballot) -> bool:
    """Whether this very ballot is there."""
    return given.signature == signatures(connection, given.duty, given.height, given.block_hash, [given.delegate]).get(given.delegate)


def kept(connection: Connection, duty: Duty, height: int, delegate: bytes) -> tuple[bytes, bytes] | None:
    """The block hash and the signature of a delegate's last ballot, if that was for this height."""
    is_it = and_(ballot.c.delegate == delegate, ballot.c.duty == duty.value, ballot.c.height == height)
    row = connection.execute(select(ballot.c.block_hash, ballot.c.signature).where(is_it)).first()
    return None if row is None else (row.block_hash, row.signature)


def signatures(connection: Connection, duty: Duty, height: int, block_hash: bytes, delegates: Collection[bytes]) -> dict[bytes, bytes]:
    """What these delegates signed of a block, by their public keys."""
    is_it = and_(ballot.c.duty == duty.value, ballot.c.height == height, ballot.c.block_hash == block_hash)
    rows = connection.execute(select(ballot.c.delegate, ballot.c.signature).where(is_it, ballot.c.delegate.in_(list(delegates))))
    return {row.delegate: row.signature for row in rows}


def cosignatures(connection: Connection) -> list[Ballot]:
    """The last signature below a checkpoint of everyone who made one; the log's own stands under its public key."""
    rows = connection.execute(select(ballot).where(ballot.c.duty == Duty.COSIGN.value).order_by(ballot.c.delegate))
    return [Ballot(Duty.COSIGN, row.height, row.block_hash, row.delegate, row.signature) for row in rows]
