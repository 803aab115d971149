"""Covers of an RFC 6962 tree: what stands for all its leaves without naming each.

A cover is the tree's leaves from left to right, whole subtrees collapsed to `CoverNode(size, hash)`. The sizes alone say where each node
sits, so the root, and the path of every leaf that stands singly, follow from a cover. Sealed bundles keep two: of the bundle's own tree a
node or a few for each segment of records, and of a submission's tree one node for all that lies between the entries of the patient.
"""

from bisect import bisect_left
from collections.abc import Sequence
from itertools import groupby
from typing import NamedTuple

from chain import merkle


class CoverNode(NamedTuple):
    size: int  # leaves below it
    hash: bytes  # RFC 6962 hash of the subtree, 32 bytes


class Tree:
    """All nodes of the tree over `leaf_hashes`, so that covers of it cost a look-up a node."""

    def __init__(self, leaf_hashes: Sequence[bytes]) -> None:
        self.size = len(leaf_hashes)
        self._levels = [list(leaf_hashes)]
        node_hash = merkle.node_hash
        while len(self._levels[-1]) > 1:
            below = self._levels[-1]
            level = [node_hash(below[i], below[i + 1]) for i in range(0, len(below) - 1, 2)]
            if len(below) % 2:
                level.append(below[-1])  # RFC 6962 carries the odd one up as it is
            self._levels.append(level)

    @property
    def root(self) -> bytes:
        return self._levels[-1][0] if self.size else merkle.root([])

    def node(self, low: int, high: int) -> bytes:
        """The hash over leaves low..high-1, which must be a node of the tree."""
        level = (high - low - 1).bit_length()
        return self._levels[level][low >> level]

    def range_hashes(self, low: int, high: int) -> list[bytes]:
        """The hashes of `range_sizes(low, high)`."""
        hashes = []
        for size in range_sizes(low, high):
            hashes.append(self.node(low, low + size))
            low += size
        return hashes

    def cover(self, own: Sequence[int]) -> list[CoverNode]:
        """The shortest cover in which each leaf of `own` (ascending, distinct) stands singly."""
        if len(own) == self.size:
            return [CoverNode(1, leaf_hash) for leaf_hash in self._levels[0]]
        nodes: list[CoverNode] = []
        if self.size:
            self._collect((0, self.size), own, (0, len(own)), nodes)
        return nodes

    def _collect(self, span: tuple[int, int], own: Sequence[int], among: tuple[int, int], nodes: list[CoverNode]) -> None:
        """Adds the nodes for the leaves of `span`, in which own[first:last] lie."""
        (low, high), (first, last) = span, among
        if first == last or high - low == 1:
            nodes.append(CoverNode(high - low, self.node(low, high)))
            return
        middle = low + merkle.largest_power_below(high - low)
        split = bisect_left(own, middle, first, last)
        self._collect((low, middle), own, (first, split), nodes)
        self._collect((middle, high), own, (split, last), nodes)


def range_sizes(low: int, high: int) -> list[int]:
    """The sizes, each a power of two, of the largest aligned subtrees that make up leaves low..high-1."""
    sizes = []
    while low < high:
        size = 1 << ((high - low).bit_length() - 1)
        if low:
            size = min(size, low & -low)
        sizes.append(size)
        low += size
    return sizes


def root_of(cover: Sequence[CoverNode]) -> bytes:
    """The root of the tree; ValueError if the sizes are not those of a cover."""
    if all(node.size == 1 for node in cover):
        return merkle.root([node.hash for node in cover])
    return _Replay(_joined(cover), -1).root


def _joined(cover: Sequence[CoverNode]) -> list[CoverNode]:
    """The same tree with each run of single leaves in as few nodes as there are: a run is hashed at once, where a node is walked to."""
    joined: list[CoverNode] = []
    low = 0
    for is_single, group in groupby(cover, key=lambda node: node.size == 1):
        nodes = list(group)
        high = low + sum(node.size for node in nodes)
        if is_single:
            joined += map(CoverNode, range_sizes(low, high), merkle.subtree_roots([node.hash for node in nodes], low))
        else:
            joined += nodes
        low = high
    return joined


def path_of(cover: Sequence[CoverNode], index: int) -> list[bytes]:
    """The RFC 6962 inclusion path of leaf `index`, which must stand singly; ValueError otherwise."""
    return _Replay(cover, index).path


class _Replay:
    """Builds the tree up from a cover and keeps the siblings of one leaf on the way."""

    def __init__(self, cover: Sequence[CoverNode], target: int) -> None:
        size = sum(node.size for node in cover)
        if any(node.size < 1 for node in cover) or target >= size:
            raise ValueError("not a cover with that leaf")
        self.path: list[bytes] = []
        self._target = target
        self._nodes = iter(cover)
        self._next = next(self._nodes, None)
        self.root = self._build(0, size) if size else merkle.root([])

    def _build(self, low: int, high: int) -> bytes:
        node = self._next
        if node is None or node.size > high - low:
            raise ValueError("the sizes are not those of a cover")
        if node.size == high - low:
            if low <= self._target < high and node.size > 1:
                raise ValueError("the leaf lies inside a collapsed subtree")
            self._next = next(self._nodes, None)
            return node.hash
        middle = low + merkle.largest_power_below(high - low)
        left, right = self._build(low, middle), self._build(middle, high)
        if low <= self._target < high:
            self.path.append(right if self._target < middle else left)
        return merkle.node_hash(left, right)
