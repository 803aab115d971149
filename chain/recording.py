"""What a final block writes into the database, in the transaction of a connection: the block itself, and all that follows from it."""

from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any

from sqlalchemy import Connection, Dialect, bindparam, delete, insert, select, update
from sqlalchemy.sql.expression import ClauseElement

from chain import queries
from chain.block import FinalBlock
from chain.execution import Execution
from chain.format import MOST
from chain.log import extended_tiles
from chain.state import bucket_of
from chain.state_tiles import TOP, changed_places, patched
from chain.tables import (
    block,
    log_entry,
    log_tile,
    party_history,
    pool,
    proposal,
    recorded_source,
    state_entry,
    state_tile,
    transaction_index,
)

# Made once: building a statement takes as long as running it.
_BLOCK, _ENTRY, _NEW_TILE, _NEW_STATE, _NEW_STATE_TILE = map(insert, (block, log_entry, log_tile, state_entry, state_tile))
_INDEX, _PARTY, _SOURCE = map(insert, (transaction_index, party_history, recorded_source))
_TILE = update(log_tile).where(log_tile.c.level == bindparam("l"), log_tile.c.number == bindparam("n")).values(hashes=bindparam("h"))
_STATE = (
    update(state_entry)
    .where(state_entry.c.bucket == bindparam("b"), state_entry.c.entry_key == bindparam("k"))
    .values(value=bindparam("v"))
)
_STATE_TILE = update(state_tile).where(state_tile.c.number == bindparam("n")).values(hashes=bindparam("h"))
_POOLED = select(pool.c.tx_id, pool.c.source).order_by(pool.c.number).limit(MOST.transactions)
_FORGET = delete(pool).where(pool.c.source == bindparam("s"))
_NO_STATE_TILES = delete(state_tile)
_NO_PROPOSAL = delete(proposal).where(proposal.c.height == bindparam("at"))


def record_block(connection: Connection, final: FinalBlock, execution: Execution) -> None:
    """The block with its votes, its transactions, log and state; pool and proposal let go of it."""
    row = {
        "height": final.header.height,
        "log_size": final.header.log_size,
        "header": final.header.to_bytes(),
        "signature": final.signature,
        "votes": queries.votes_to(final.votes),
    }
    connection.execute(_BLOCK, row)
    if final.transactions:
        first = final.first_log_index
        _write(connection, _ENTRY, [{"log_index": index, "raw": raw} for index, raw in enumerate(final.transactions, first)])
        _write_tiles(connection, first, [item.leaf_hash for item in execution.recorded])
        _index_and_forget(connection, first, execution)
    _write_state(connection, execution)
    _write_state_tiles(connection, execution)
    connection.execute(_NO_PROPOSAL, {"at": final.header.height})


def write_genesis(connection: Connection, entries: Iterable[tuple[bytes, bytes]]) -> None:
    """The state before the first block; its tiles come with that."""
    _write(connection, _NEW_STATE, _state_rows(entries))


def _write(connection: Connection, statement: ClauseElement, rows: Sequence[dict[str, Any]]) -> None:
    """Each row has every value of the statement, and the driver is given them as they are: to look at each takes as long as writing it."""
    if rows:
        text, names = _text(statement, connection.dialect)
        connection.exec_driver_sql(text, [tuple([row[name] for name in names]) for row in rows] if names else list(rows))


@cache
def _text(statement: ClauseElement, dialect: Dialect) -> tuple[str, Sequence[str]]:
    """The statement as the driver takes it, and the names of its values in order; none where the driver goes by names."""
    compiled: Any = statement.compile(dialect=dialect)
    return str(compiled), compiled.positiontup or ()


def _write_tiles(connection: Connection, size: int, leaf_hashes: list[bytes]) -> None:
    read = queries.tile_reader(connection)
    tiles = extended_tiles(read, size, leaf_hashes)
    _write(connection, _NEW_TILE, [{"level": at[0], "number": at[1], "hashes": hashes} for at, hashes in tiles.items() if not read(*at)])
    _write(connection, _TILE, [{"l": at[0], "n": at[1], "h": hashes} for at, hashes in tiles.items() if read(*at)])


def _index_and_forget(connection: Connection, first: int, execution: Execution) -> None:
    """Each recorded transaction goes into the index, and its source from the pool to those known. A second source of one transaction stays,
    to be refused.
    """
    recorded = list(enumerate(execution.recorded, first))
    _write(connection, _INDEX, [{"tx_prefix": queries.tx_prefix(item.tx_id), "log_index": index} for index, item in recorded])
    _write(connection, _PARTY, [{"party": item.party, "log_index": index} for index, item in recorded if item.party is not None])
    pooled = _pooled_sources(connection)
    sources = [pooled[item.tx_id] for item in execution.recorded if item.tx_id in pooled]
    _write(connection, _SOURCE, [{"source": source} for source in sources])
    _write(connection, _FORGET, [{"s": source} for source in sources])


def _pooled_sources(connection: Connection) -> dict[bytes, int]:
    """Transaction ids and sources at the head of the pool: the block was built from there, and what was refused has left."""
    return {row.tx_id: row.source for row in reversed(connection.execute(_POOLED).all())}


def _state_rows(entries: Iterable[tuple[bytes, bytes]]) -> list[dict[str, Any]]:
    return [{"bucket": bucket_of(key), "entry_key": key, "value": value} for key, value in entries]


def _write_state(connection: Connection, execution: Execution) -> None:
    """Inserts new entries and updates old ones, never "either": an entry that is there against expectation stops the block."""
    overlay = execution.overlay
    _write(connection, _NEW_STATE, _state_rows((key, value) for key, value in overlay.changes.items() if overlay.is_new(key)))
    old = [(key, value) for key, value in overlay.changes.items() if not overlay.is_new(key)]
    _write(connection, _STATE, [{"b": bucket_of(key), "k": key, "v": value} for key, value in old])


def _write_state_tiles(connection: Connection, execution: Execution) -> None:
    """What changes of the state's tree; all of it where none is stored yet: at the first block, or the first after a migration."""
    changes = changed_places(execution.overlay.nodes())
    stored = queries.some_state_tiles(connection, {TOP, *changes})
    if TOP not in stored:
        connection.execute(_NO_STATE_TILES)  # without the top the others were of no use
        changes, stored = changed_places(execution.overlay.all_nodes()), {}
    new = changes.keys() - stored.keys()
    _write(connection, _NEW_STATE_TILE, [{"number": number, "hashes": patched(b"", changes[number])} for number in new])
    old = [{"n": number, "h": patched(tile, changes[number])} for number, tile in stored.items() if number in changes]
    _write(connection, _STATE_TILE, old)
