"""The authenticated state: a map from 32-byte entry keys to small values under one root.

The root is that of a perfect binary tree over 65,536 buckets, an entry lying in the bucket that the first 16 bits of its key number; a
bucket is the RFC 6962 root over its entries in the order of their keys. A change hashes its bucket and 16 nodes, however large the rest is.
Entries are never removed: what ends (a suspended party) is an entry that says so.

`State` is what is final; delegates share it and only read. Each executes a block on an `Overlay` of its own, and the one that becomes final
is folded in. The hashes of the tree are held in memory, the entries stay in the store and are read a bucket at a time.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable
from hashlib import sha256
from itertools import groupby

from chain import merkle
from chain.encoding import encode

VERSION = 1
BUCKET_BITS = 16
BUCKETS = 1 << BUCKET_BITS
BucketReader = Callable[[Collection[int]], Iterable[tuple[bytes, bytes]]]  # bucket numbers -> their entries (key, value), in any order


def _empty_by_depth() -> list[bytes]:
    hashes = [merkle.EMPTY_ROOT]
    while len(hashes) <= BUCKET_BITS:
        hashes.append(merkle.node_hash(hashes[-1], hashes[-1]))
    return hashes[::-1]


EMPTY_BY_DEPTH = _empty_by_depth()  # [depth] -> the hash of a subtree of that depth without entries


def bucket_of(key: bytes) -> int:
    """The number of the bucket that an entry key lies in."""
    return int.from_bytes(key[:2], "big")


def entry_leaf(key: bytes, value: bytes) -> bytes:
    """The leaf of one entry: the key is in it, so an entry cannot be shown under another key."""
    return merkle.leaf_hash(encode([key, value]))


class State:
    """The final state. Tree nodes are numbered like a heap: the root is 1, the children of n are 2n and 2n+1, bucket b is 65,536 + b."""

    def __init__(self, read: BucketReader, entries: Iterable[tuple[bytes, bytes]]) -> None:
        """`entries` is everything that `read` would return, in the order of keys; it is hashed and let go."""
        self._read = read
        self.nodes: dict[int, bytes] = {}  # what is missing is empty
        self._loaded: dict[int, dict[bytes, bytes]] = {}
        self._above: tuple[dict[int, bytes], dict[int, bytes]] = ({}, {})  # changed buckets, and the nodes that differ with them
        for number, bucket in groupby(entries, lambda entry: bucket_of(entry[0])):
            self.nodes[BUCKETS + number] = merkle.root([entry_leaf(key, value) for key, value in bucket])
        self.nodes = _ancestors(self.nodes, {})

    def root(self) -> bytes:
        """33 bytes: the version of this construction and the tree's root."""
        return _versioned(self.nodes.get(1))

    def load(self, keys: Iterable[bytes]) -> None:
        """Reads the buckets of `keys` in one go; they stay at hand until the next `commit`."""
        wanted = {number for number in map(bucket_of, keys) if number not in self._loaded}
        found: dict[int, dict[bytes, bytes]] = {number: {} for number in wanted}
        stored = [number for number in wanted if self._may_hold(number)]
        for key, value in self._read(stored) if stored else ():
            found[bucket_of(key)][key] = value
        self._loaded.update(found)

    def bucket(self, number: int) -> dict[bytes, bytes]:
        """The entries of a bucket, to be read only."""
        if number not in self._loaded:
            self.load([number.to_bytes(2, "big")])
        return self._loaded[number]

    def nodes_with(self, buckets: dict[int, bytes]) -> dict[int, bytes]:
        """The nodes that differ with these hashes of buckets. Delegates in one process come to the same hashes, and the tree above follows
        from them alone: what one has hashed the others need not hash again.
        """
        if self._above[0] != buckets:
            self._above = (buckets, _ancestors(buckets, self.nodes))
        return self._above[1]

    def _may_hold(self, number: int) -> bool:
        return BUCKETS + number in self.nodes

    def commit(self, overlay: "Overlay") -> None:
        """Folds in an overlay whose changes the store has made durable."""
        self.nodes.update(overlay.nodes())
        self._above = ({}, {})
        self._loaded.clear()


class UnhashedState(State):
    """The final state for those who only look things up in it: nothing is read before it is asked for, and there is no root."""

    def __init__(self, read: BucketReader) -> None:
        super().__init__(read, ())

    def _may_hold(self, number: int) -> bool:  # noqa: ARG002 - only the tree, which is not here, could say no
        return True


class Overlay:
    """Changes on top of a `State`, which stays as it is."""

    def __init__(self, base: State) -> None:
        self._base = base
        self._nodes: dict[int, bytes] | None = None
        self.changes: dict[bytes, bytes] = {}

    def get(self, key: bytes) -> bytes | None:
        """The value of an entry, this overlay's changes included."""
        value = self.changes.get(key)
        return self._base.bucket(bucket_of(key)).get(key) if value is None else value

    def set(self, key: bytes, value: bytes) -> None:
        self.changes[key] = value
        self._nodes = None

    def is_new(self, key: bytes) -> bool:
        """Whether the final state has no entry under this key."""
        return key not in self._base.bucket(bucket_of(key))

    def nodes(self) -> dict[int, bytes]:
        """The tree nodes that differ from the base."""
        if self._nodes is None:
            self._nodes = self._base.nodes_with(self._changed_buckets())
        return self._nodes

    def all_nodes(self) -> dict[int, bytes]:
        """The tree nodes with the changes; what is missing is empty."""
        return {**self._base.nodes, **self.nodes()}

    def root(self) -> bytes:
        """The state root with the changes; 33 bytes."""
        return _versioned(self.nodes().get(1) or self._base.nodes.get(1))

    def _changed_buckets(self) -> dict[int, bytes]:
        changed: dict[int, dict[bytes, bytes]] = defaultdict(dict)
        for key, value in self.changes.items():
            changed[bucket_of(key)][key] = value
        hashes = {}
        for number, changes in changed.items():
            entries = {**self._base.bucket(number), **changes}
            hashes[BUCKETS + number] = merkle.root([entry_leaf(key, entries[key]) for key in sorted(entries)])
        return hashes


def _versioned(tree_root: bytes | None) -> bytes:
    return bytes([VERSION]) + (tree_root or EMPTY_BY_DEPTH[0])


def _ancestors(buckets: dict[int, bytes], base: dict[int, bytes]) -> dict[int, bytes]:
    """The hashes of all nodes above `buckets`; what lies beside them is in `base` or empty. The hottest loop of the ledger's own code."""
    found = dict(buckets)
    numbers = set(buckets)
    for depth in range(BUCKET_BITS, 0, -1):
        empty = EMPTY_BY_DEPTH[depth]
        numbers = {number >> 1 for number in numbers}
        for number in numbers:
            left, right = number << 1, number << 1 | 1
            pair = (found.get(left) or base.get(left) or empty) + (found.get(right) or base.get(right) or empty)
            found[number] = sha256(b"\x01" + pair).digest()
    return found
