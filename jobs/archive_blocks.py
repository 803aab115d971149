"""Moving the transactions of old epochs out of the ledger's database into packs in the bucket (chain/archive.py).

In commit order; what a crash leaves after each step stands beside it. The log's tiles say what each transaction must be, and the object is
read back: nothing altered is archived, and nothing is deleted that the bucket does not have.
"""

from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256

from chain import archive, queries
from chain.archive import Packs, pack_name, read_transactions, span, to_pack
from chain.database import LedgerDamaged
from chain.genesis import Genesis
from chain.log import TILE_WIDTH
from chain.merkle import HASH_SIZE, leaf_hash
from chain.store import LedgerStore
from gateway.storage.port import ObjectExists, ObjectStore


@dataclass(frozen=True, slots=True)
class Archived:
    packs: int
    transactions: int


def archive_blocks(store: LedgerStore, genesis: Genesis, objects: ObjectStore, keep_epochs: int) -> Archived:
    """Moves every pack that ends before the last `keep_epochs` whole epochs. Raises LedgerDamaged, LedgerUnreachable, Unavailable; what was
    moved until then is moved.
    """
    with store.engine.connect() as connection:
        height = (queries.height_of(connection) // genesis.epoch_blocks - keep_epochs) * genesis.epoch_blocks
        stored = queries.header_and_votes(connection, height)
        first = queries.pack_count(connection)
        size = queries.log_size_at(connection, height) if stored else 0
    numbers = range(first, size // archive.PACK)
    for number in numbers:
        _move(store, objects, number)
    return Archived(len(numbers), len(numbers) * archive.PACK)


def _move(store: LedgerStore, objects: ObjectStore, number: int) -> None:
    wanted = span(number)
    with store.engine.connect() as connection:
        recorded = read_transactions(connection, Packs(), wanted, [])
        read = queries.tile_reader(connection)
        for index in wanted:
            at = index % TILE_WIDTH * HASH_SIZE
            if leaf_hash(recorded.get(index, b"")) != read(0, index // TILE_WIDTH)[at : at + HASH_SIZE]:
                raise LedgerDamaged(f"transaction {index} is not the one that the log holds")
    body = to_pack([recorded[index] for index in wanted])
    digest = sha256(body).digest()
    name = pack_name(number, digest)
    with suppress(ObjectExists):  # of a run that was cut short
        objects.put_if_absent(name, body)  # an object that no row names; the next run finds it there
    if objects.get(name) != body:
        raise LedgerDamaged(f"the object {name} holds something else than was written")
    store.put_pack(number, digest, wanted)  # the row and, in the same transaction, the transactions gone
