"""The log: one RFC 6962 tree over all transactions ever, kept as tiles of 256 hashes so that a proof reads a few rows at any size.

A tile of level L holds the roots of up to 256 neighbouring subtrees of 256^L leaves each; only the last tile of a level is ever partial,
and tiles only grow. So the tree of every earlier size can still be proven from them.
"""

from collections.abc import Callable, Sequence

from msgspec import Struct

from chain import merkle

TILE_WIDTH = 256
TILE_BITS = 8
TileReader = Callable[[int, int], bytes]  # (level, number) -> the tile's hashes one after the other, b"" if there is none
Tiles = dict[tuple[int, int], bytes]


class LogHead(Struct, frozen=True):
    """The size of the log and its peaks, the roots of the perfect subtrees it splits into, largest first: enough to append to it."""

    size: int = 0
    peaks: tuple[bytes, ...] = ()

    def extended(self, leaf_hashes: Sequence[bytes]) -> "LogHead":
        """The head after appending; about one hash a leaf."""
        size, peaks = self.size, list(self.peaks)
        for leaf in leaf_hashes:
            node, carry = leaf, size
            while carry & 1:
                node, carry = merkle.node_hash(peaks.pop(), node), carry >> 1
            peaks.append(node)
            size += 1
        return LogHead(size, tuple(peaks))

    def root(self) -> bytes:
        """The tree head (RFC 6962, 2.1)."""
        if not self.peaks:
            return merkle.EMPTY_ROOT
        node = self.peaks[-1]
        for peak in reversed(self.peaks[:-1]):
            node = merkle.node_hash(peak, node)
        return node


def read_head(read: TileReader, size: int) -> LogHead:
    """The head of the log of `size` leaves, from tiles."""
    peaks, start = [], 0
    for bit in reversed(range(size.bit_length())):
        if size >> bit & 1:
            peaks.append(_perfect(read, bit, start >> bit))
            start += 1 << bit
    return LogHead(size, tuple(peaks))


def extended_tiles(read: TileReader, size: int, leaf_hashes: Sequence[bytes]) -> Tiles:
    """The tiles that change when `leaf_hashes` are appended to a log of `size`, whole."""
    changed: Tiles = {}
    level, start, hashes = 0, size, list(leaf_hashes)
    while hashes:
        end = start + len(hashes)
        completed = []
        for number in range(start // TILE_WIDTH, (end - 1) // TILE_WIDTH + 1):
            first, last = max(number * TILE_WIDTH, start), min((number + 1) * TILE_WIDTH, end)
            kept = first - number * TILE_WIDTH
            old = read(level, number)[: kept * merkle.HASH_SIZE] if kept else b""
            tile = changed[level, number] = old + b"".join(hashes[first - start : last - start])
            if len(tile) == TILE_WIDTH * merkle.HASH_SIZE:
                completed.append(merkle.root(split_tile(tile)))
        level, start, hashes = level + 1, start // TILE_WIDTH, completed
    return changed


def inclusion_path(read: TileReader, index: int, size: int) -> list[bytes]:
    """The path of leaf `index` in the log as it was at `size` (RFC 6962, 2.1.1). Raises `ProofError` if there is no such leaf."""
    if not 0 <= index < size:
        raise merkle.ProofError("the log index lies outside the log")
    path, start, end = [], 0, size
    while end - start > 1:
        middle = start + merkle.largest_power_below(end - start)
        if index < middle:
            path.append(_range_root(read, middle, end))
            end = middle
        else:
            path.append(_range_root(read, start, middle))
            start = middle
    return path[::-1]


def consistency_path(read: TileReader, old: int, size: int) -> list[bytes]:
    """The proof that the log of `old` leaves is how the log of `size` begins (RFC 6962, 2.1.2). Raises `ProofError` for no such sizes."""
    if not 0 < old <= size:
        raise merkle.ProofError("the old size lies outside the log")
    path, start, end = [], 0, size
    while old != end:
        middle = start + merkle.largest_power_below(end - start)
        if old <= middle:
            path.append(_range_root(read, middle, end))
            end = middle
        else:
            path.append(_range_root(read, start, middle))
            start = middle
    if start:  # otherwise the old root itself is where the checker begins
        path.append(_range_root(read, start, end))
    return path[::-1]


def split_tile(tile: bytes) -> list[bytes]:
    """A tile's hashes in order."""
    return [tile[at : at + merkle.HASH_SIZE] for at in range(0, len(tile), merkle.HASH_SIZE)]


def _range_root(read: TileReader, start: int, end: int) -> bytes:
    """The root over leaves `start` to `end`, where `start` is a multiple of every power of two up to the range's length."""
    size = end - start
    if size & (size - 1) == 0:
        bits = size.bit_length() - 1
        return _perfect(read, bits, start >> bits)
    middle = start + merkle.largest_power_below(size)
    return merkle.node_hash(_range_root(read, start, middle), _range_root(read, middle, end))


def _perfect(read: TileReader, bits: int, number: int) -> bytes:
    """The root of the `number`-th perfect subtree of 2^bits leaves: at most 128 hashes of one tile."""
    level, width = bits // TILE_BITS, 1 << bits % TILE_BITS
    first = number * width
    tile = read(level, first // TILE_WIDTH)
    at = first % TILE_WIDTH * merkle.HASH_SIZE
    hashes = split_tile(tile[at : at + width * merkle.HASH_SIZE])
    if len(hashes) != width or len(hashes[-1]) != merkle.HASH_SIZE:
        raise merkle.ProofError(f"log tile {level}/{first // TILE_WIDTH} is missing or too short")
    return merkle.root(hashes)
