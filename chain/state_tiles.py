"""The state's tree as it is stored for proofs: tiles of 256 hashes, so that the branch of a bucket is read from two rows at any size.

Tile t from 0 to 255 has the hashes of the buckets 256t to 256t + 255, tile 256 the roots of those tiles. What holds no entry is left out;
every other hash stands behind its place in the tile (1 byte), in ascending order. Nothing is decided by tiles: the engine opens on
the entries themselves, and who proves from tiles compares with the header first.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence

from chain.merkle import EMPTY_ROOT, HASH_SIZE, inclusion_path, node_hash
from chain.state import BUCKETS, EMPTY_BY_DEPTH, TILE_DEPTH

TOP = 1 << TILE_DEPTH  # the tile of the tiles' roots
_WIDTH = 1 << TILE_DEPTH
_STEP = 1 + HASH_SIZE
StateTileReader = Callable[[int], bytes]  # number -> the tile, b"" if it holds nothing


def touched_tiles(nodes: Iterable[int]) -> set[int]:
    """The numbers of the tiles that hold these nodes of the tree (numbered as in `chain.state.State`)."""
    touched = {(node - BUCKETS) >> TILE_DEPTH for node in nodes if node >= BUCKETS}
    return {*touched, TOP} if touched else touched


def changed_tiles(read: StateTileReader, nodes: Mapping[int, bytes]) -> dict[int, bytes]:
    """The tiles that change with these nodes of the tree (numbered as in `chain.state.State`), whole."""
    changes: dict[int, dict[int, bytes]] = defaultdict(dict)
    for node, hash_ in nodes.items():
        if node >= BUCKETS:
            changes[(node - BUCKETS) >> TILE_DEPTH][node % _WIDTH] = hash_
        elif node >> TILE_DEPTH == 1:
            changes[TOP][node % _WIDTH] = hash_
    return {number: _to_bytes({**_from_bytes(read(number)), **changed}) for number, changed in changes.items()}


def branch_of(read: StateTileReader, bucket: int) -> tuple[bytes, list[bytes]]:
    """The hash of a bucket, and the 16 beside the way from it to the root of the tree, lowest first."""
    tile, place = divmod(bucket, _WIDTH)
    lower = _filled(_from_bytes(read(tile)), EMPTY_ROOT)
    upper = _filled(_from_bytes(read(TOP)), EMPTY_BY_DEPTH[TILE_DEPTH])
    return lower[place], [*inclusion_path(lower, place), *inclusion_path(upper, tile)]


def tree_root(bucket: int, bucket_hash: bytes, branch: Sequence[bytes]) -> bytes:
    """The root of the tree in which bucket number `bucket` has this hash: its bits say on which side each hash of the branch stands."""
    node = bucket_hash
    for depth, other in enumerate(branch):
        node = node_hash(other, node) if bucket >> depth & 1 else node_hash(node, other)
    return node


def _from_bytes(tile: bytes) -> dict[int, bytes]:
    return {tile[at]: tile[at + 1 : at + _STEP] for at in range(0, len(tile), _STEP)}


def _to_bytes(hashes: Mapping[int, bytes]) -> bytes:
    return b"".join(bytes([place]) + hashes[place] for place in sorted(hashes))


def _filled(hashes: Mapping[int, bytes], empty: bytes) -> list[bytes]:
    return [hashes.get(place, empty) for place in range(_WIDTH)]
