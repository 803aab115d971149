"""Merkle trees and their proofs (RFC 6962, 2.1; RFC 9162, 2.1.3 and 2.1.4 for verification).

Leaves and nodes are hashed under different prefixes, an odd node is never doubled, and every verification takes the tree's size and
refuses a path that is longer or shorter than that size demands.
"""

from collections.abc import Iterable, Sequence
from hashlib import sha256
from typing import Literal

from chain.errors import LedgerError

HASH_SIZE = 32
Side = Literal["left", "right"]  # where a path's hash stands
SidedPath = tuple[tuple[Side, bytes], ...]  # lowest first: read without index and size, for trees whose size nothing signed says
EMPTY_ROOT = sha256(b"").digest()
_LEAF = sha256(b"\x00")


class ProofError(LedgerError):
    """A proof does not show what it claims; the message says which part fails."""


def leaf_hash(data: bytes) -> bytes:
    """SHA-256(0x00 || data)."""
    state = _LEAF.copy()
    state.update(data)
    return state.digest()


def leaf_hashes(items: Iterable[bytes]) -> list[bytes]:
    """`leaf_hash` of each: for many short ones the call costs as much as the hash."""
    return [sha256(b"\x00" + item).digest() for item in items]


def node_hash(left: bytes, right: bytes) -> bytes:
    """SHA-256(0x01 || left || right)."""
    return sha256(b"\x01" + left + right).digest()


def root(leaf_hashes: Sequence[bytes]) -> bytes:
    """The tree head over leaf hashes, SHA-256("") for none.

    Level by level: pairing neighbours and carrying an odd last node up unhashed gives the tree that RFC 6962 splits from the top.
    """
    level = list(leaf_hashes)
    if not level:
        return EMPTY_ROOT
    while len(level) > 1:
        level = _parents(level)
    return level[0]


def _parents(level: Sequence[bytes]) -> list[bytes]:
    above = [sha256(b"\x01" + left + right).digest() for left, right in zip(level[::2], level[1::2], strict=False)]
    if len(level) % 2:
        above.append(level[-1])
    return above


def subtree_roots(leaf_hashes: Sequence[bytes], first: int) -> list[bytes]:
    """The hashes of the largest aligned subtrees that make up these leaves, of which `first` is the number of the first; left to right.

    Level by level, as `root`: a node at either end whose sibling lies outside stands for its subtree, all others go on in pairs.
    """
    left, right = [], []
    level = list(leaf_hashes)
    while level:
        if first % 2:
            left.append(level.pop(0))
            first += 1
        if len(level) % 2:
            right.append(level.pop())
        level, first = _parents(level), first // 2
    return left + right[::-1]


def inclusion_path(leaf_hashes: Sequence[bytes], index: int) -> list[bytes]:
    """The siblings of leaf `index` from the leaf up (RFC 6962, 2.1.1). Raises `ProofError` if there is no such leaf."""
    if not 0 <= index < len(leaf_hashes):
        raise ProofError("the leaf index lies outside the tree")
    path = []
    level: Sequence[bytes] = leaf_hashes
    while len(level) > 1:
        if index ^ 1 < len(level):
            path.append(level[index ^ 1])
        level, index = _parents(level), index >> 1
    return path


def root_from_path(leaf: bytes, index: int, size: int, path: Sequence[bytes]) -> bytes:
    """The root of a tree of `size` leaves that has hash `leaf` at `index`, if `path` is right (RFC 9162, 2.1.3.2).

    Raises `ProofError` for an index outside the tree, a path of the wrong length, or hashes of the wrong size.
    """
    if not 0 <= index < size:
        raise ProofError("the leaf index lies outside the tree")
    _check_hashes(path)
    node, last, used = leaf, size - 1, 0
    while last:
        if index & 1 or index < last:  # an odd last node has no sibling on this level
            if used == len(path):
                raise ProofError("the path is too short for the tree")
            node = node_hash(path[used], node) if index & 1 else node_hash(node, path[used])
            used += 1
        index, last = index >> 1, last >> 1
    if used != len(path):
        raise ProofError("the path is too long for the tree")
    return node


def sides_of(index: int, size: int) -> list[Side]:
    """On which side each hash of the inclusion path of leaf `index` stands, lowest first."""
    sides: list[Side] = []
    node, last = index, size - 1
    while last:
        if node & 1:
            sides.append("left")
        elif node < last:
            sides.append("right")
        node, last = node >> 1, last >> 1
    return sides


def root_by_sides(leaf: bytes, path: Iterable[tuple[Side, bytes]]) -> bytes:
    """The root above `leaf` if each hash of the path stands on its side; a side is bound by the hash above it."""
    for side, other in path:
        leaf = node_hash(other, leaf) if side == "left" else node_hash(leaf, other)
    return leaf


def consistency_path(leaf_hashes: Sequence[bytes], old_size: int) -> list[bytes]:
    """The proof that the first `old_size` leaves are a prefix of the tree (RFC 6962, 2.1.2). Raises `ProofError` for no such size."""
    if not 0 < old_size <= len(leaf_hashes):
        raise ProofError("the old size lies outside the tree")
    return _consistency(leaf_hashes, old_size, whole=True)


def _consistency(leaf_hashes: Sequence[bytes], old_size: int, *, whole: bool) -> list[bytes]:
    size = len(leaf_hashes)
    if old_size == size:
        return [] if whole else [root(leaf_hashes)]
    split = largest_power_below(size)
    if old_size <= split:
        return [*_consistency(leaf_hashes[:split], old_size, whole=whole), root(leaf_hashes[split:])]
    return [*_consistency(leaf_hashes[split:], old_size - split, whole=False), root(leaf_hashes[:split])]


def largest_power_below(size: int) -> int:
    """The largest power of two smaller than `size` (at least 2): where RFC 6962 splits a tree."""
    return 1 << ((size - 1).bit_length() - 1)


def verify_consistency(old_root: bytes, old_size: int, new_root: bytes, new_size: int, path: Sequence[bytes]) -> None:
    """Raises `ProofError` unless the tree of `old_size` is a prefix of the tree of `new_size` (RFC 9162, 2.1.4.2)."""
    if not 0 < old_size <= new_size:
        raise ProofError("the old size lies outside the tree")
    _check_hashes(path)
    if old_size == new_size:
        if path or old_root != new_root:
            raise ProofError("two trees of one size differ")
        return
    first, last = old_size - 1, new_size - 1
    while first & 1:
        first, last = first >> 1, last >> 1
    rest = list(path)
    if first:  # otherwise the old tree is a perfect subtree and its root is the seed
        if not rest:
            raise ProofError("the path is too short for the trees")
        seed = rest.pop(0)
    else:
        seed = old_root
    if _climb(seed, first, last, rest) != (old_root, new_root):
        raise ProofError("the old tree is not a prefix of the new one")


def _climb(seed: bytes, first: int, last: int, path: Sequence[bytes]) -> tuple[bytes, bytes]:
    old = new = seed
    used = 0
    while last:
        if first & 1 or first < last:
            if used == len(path):
                raise ProofError("the path is too short for the trees")
            sibling = path[used]
            used += 1
            if first & 1:
                old, new = node_hash(sibling, old), node_hash(sibling, new)
            else:
                new = node_hash(new, sibling)
        first, last = first >> 1, last >> 1
    if used != len(path):
        raise ProofError("the path is too long for the trees")
    return old, new


def _check_hashes(path: Sequence[bytes]) -> None:
    if any(len(sibling) != HASH_SIZE for sibling in path):
        raise ProofError("a hash of the path does not have 32 bytes")
