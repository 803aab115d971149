"""The state's tree as it is stored for proofs: tiles of neighbouring hashes, so that a bucket's branch is read from three rows at any size.

The tree is cut at three depths: a tile has the 64 buckets, or the 32 nodes at depth 10 or 5, below one node, whose number (see
`chain.state.State`) is the tile's. What holds no entry is left out; every other hash stands behind its place in the tile (1 byte), in
ascending order. A tile is smaller than a page of the database, and a block changes few. Nothing is decided by tiles: the engine opens on
the entries themselves, and who proves from tiles compares with the header first.
"""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence

from chain.merkle import HASH_SIZE, inclusion_path, node_hash
from chain.state import BUCKET_BITS, BUCKETS, EMPTY_BY_DEPTH

TOP = 1  # the tile below the root
_BITS = {BUCKET_BITS: 6, 10: 5, 5: 5}  # depth of the hashes in a tile -> how far it lies below the tile's node
_STEP = 1 + HASH_SIZE
StateTileReader = Callable[[int], bytes]  # number -> the tile, b"" if it holds nothing


def changed_places(nodes: Mapping[int, bytes]) -> dict[int, dict[int, bytes]]:
    """Which tiles hold these nodes, those between the tiles left out: tile -> place in it -> hash."""
    changes: dict[int, dict[int, bytes]] = defaultdict(dict)
    for node, hash_ in nodes.items():
        bits = _BITS.get(node.bit_length() - 1)
        if bits is not None:
            changes[node >> bits][node & (1 << bits) - 1] = hash_
    return changes


def patched(tile: bytes, hashes: Mapping[int, bytes]) -> bytes:
    """The tile with these hashes put in or replaced."""
    new = bytearray(tile)
    for place, hash_ in hashes.items():
        at = bisect_left(new[::_STEP], place) * _STEP
        is_there = at < len(new) and new[at] == place
        new[at : at + _STEP * is_there] = bytes([place]) + hash_
    return bytes(new)


def tiles_of(nodes: Mapping[int, bytes]) -> dict[int, bytes]:
    """All tiles of a tree."""
    return {number: patched(b"", hashes) for number, hashes in changed_places(nodes).items()}


def branch_of(read: StateTileReader, bucket: int) -> list[bytes]:
    """The 16 hashes beside the way from a bucket to the root of the tree, lowest first."""
    node, branch = BUCKETS + bucket, list[bytes]()
    while node > 1:
        depth = node.bit_length() - 1
        tile, place = divmod(node, 1 << _BITS[depth])
        branch += inclusion_path(_hashes(read(tile), depth), place)
        node = tile
    return branch


def tree_root(bucket: int, bucket_hash: bytes, branch: Sequence[bytes]) -> bytes:
    """The root of the tree in which bucket number `bucket` has this hash: its bits say on which side each hash of the branch stands."""
    node = bucket_hash
    for depth, other in enumerate(branch):
        node = node_hash(other, node) if bucket >> depth & 1 else node_hash(node, other)
    return node


def _hashes(tile: bytes, depth: int) -> list[bytes]:
    found = {tile[at]: tile[at + 1 : at + _STEP] for at in range(0, len(tile), _STEP)}
    return [found.get(place, EMPTY_BY_DEPTH[depth]) for place in range(1 << _BITS[depth])]
