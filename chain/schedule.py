"""Who produces in which slot: every round of N slots each delegate once, in an order that nobody could choose.

The order is a Fisher-Yates shuffle driven by SHA-256 in counter mode, seeded by a block that was final before the epoch began (the chain id
in the first epoch) and the round's number. Draws that would favour low numbers are thrown away.
"""

from collections.abc import Iterator
from hashlib import sha256

from chain.keys import SCHEDULE, ChainId, labelled_hash

_WORD = 1 << 64


def epoch_seed_height(height: int, epoch_blocks: int) -> int:
    """The height of the block whose hash seeds the epoch that `height` lies in: the last of the epoch before, 0 for the genesis."""
    return (height - 1) // epoch_blocks * epoch_blocks


def is_last_of_epoch(height: int, epoch_blocks: int) -> bool:
    """Whether the next height begins another epoch."""
    return height % epoch_blocks == 0


def producer_index(chain_id: ChainId, count: int, seed: bytes, slot: int) -> int:
    """The index of the delegate that may produce in `slot`, of a set of `count`; `seed` is the block hash (or chain id) of the epoch."""
    turn, place = divmod(slot, count)
    return shuffled(count, labelled_hash(SCHEDULE, chain_id, seed + turn.to_bytes(8, "big")))[place]


def shuffled(count: int, seed: bytes) -> list[int]:
    """The numbers below `count` in an order that `seed` alone decides, all orders being equally likely."""
    order = list(range(count))
    words = _words(seed)
    for last in range(count - 1, 0, -1):
        chosen = _below(last + 1, words)
        order[last], order[chosen] = order[chosen], order[last]
    return order


def _below(bound: int, words: Iterator[int]) -> int:
    limit = _WORD - _WORD % bound
    return next(word for word in words if word < limit) % bound


def _words(seed: bytes) -> Iterator[int]:
    counter = 0
    while True:
        block = sha256(seed + counter.to_bytes(8, "big")).digest()
        for at in range(0, 32, 8):
            yield int.from_bytes(block[at : at + 8], "big")
        counter += 1
