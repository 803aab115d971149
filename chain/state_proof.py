"""Checking from bytes alone what the state holds under a key, or that it holds nothing there (docs/design/ledger.md, proofs).

An entry that is there is shown by its path. One that is not is shown by its neighbours: a bucket's entries are in the order of their
keys, so two that lie side by side leave no room between them. Nothing signed says how many entries a bucket has, so its paths carry
sides, which the hashes bind, and neighbours, the first and the last are known by these.
"""

from collections.abc import Sequence

from msgspec import Struct

from chain.block import Header
from chain.merkle import EMPTY_ROOT, HASH_SIZE, ProofError, Side, SidedPath, root_by_sides
from chain.proof import Finality
from chain.state import BUCKET_BITS, VERSION, bucket_of, entry_leaf
from chain.state_tiles import tree_root

_HIGHEST_BUCKET = 64  # hashes in a path: of a bucket with more entries than there can be


class ProvenEntry(Struct, frozen=True):
    """An entry of the state, with its path in its bucket."""

    key: bytes
    value: bytes
    path: SidedPath


class StateProof(Finality, frozen=True, kw_only=True):
    """What the state of a final header holds under the key of this kind and natural key."""

    kind: int
    name: bytes  # the natural key
    entries: tuple[ProvenEntry, ...]  # the one asked for; else its neighbours, lower first: one at a bucket's end, none if it is empty
    branch: tuple[bytes, ...]  # from the bucket's hash up to the root of the tree


def verify_state(key: bytes, entries: Sequence[ProvenEntry], branch: Sequence[bytes], header: Header) -> bytes | None:
    """The value under `key` in the header's state, None if there is no such entry. Raises `ProofError` that says what does not hold."""
    bucket = bucket_of(key)
    if any(len(entry.key) != HASH_SIZE or bucket_of(entry.key) != bucket for entry in entries):
        raise ProofError("an entry does not lie in the bucket of the key")
    if len(branch) != BUCKET_BITS or any(len(other) != HASH_SIZE for other in _hashes(entries, branch)):
        raise ProofError("a path has the wrong length, or a hash of the wrong size")
    roots = {root_by_sides(entry_leaf(entry.key, entry.value), entry.path) for entry in entries} or {EMPTY_ROOT}
    if len(roots) != 1:
        raise ProofError("the entries are not of one bucket")
    if bytes([VERSION]) + tree_root(bucket, roots.pop(), branch) != header.state_root:
        raise ProofError("the paths do not lead to the header's state root")
    if [entry.key for entry in entries] == [key]:
        return entries[0].value
    _check_absence(key, entries)
    return None


def _hashes(entries: Sequence[ProvenEntry], branch: Sequence[bytes]) -> list[bytes]:
    if any(len(entry.path) > _HIGHEST_BUCKET for entry in entries):
        raise ProofError("a path has the wrong length, or a hash of the wrong size")
    return [*branch, *(other for entry in entries for _, other in entry.path)]


def _check_absence(key: bytes, entries: Sequence[ProvenEntry]) -> None:
    sides = [[side for side, _ in entry.path] for entry in entries]
    if not entries:
        return
    if len(entries) == 1:
        at_end: Side = "left" if entries[0].key < key else "right"  # beside the last entry of a tree everything stands on the left
        if any(side != at_end for side in sides[0]):
            raise ProofError("the entry is not at the end of its bucket, so that the key may lie beyond it")
    elif len(entries) > 2 or not entries[0].key < key < entries[1].key or not are_neighbours(*sides):
        raise ProofError("the entries are not neighbours with the key between them")


def are_neighbours(lower: Sequence[Side], upper: Sequence[Side]) -> bool:
    """Whether two leaves of one tree, by the sides of their paths (lowest first), lie side by side in this order.

    From the root down they go the same way, then one to the left and one to the right, and from there both along the gap.
    """
    above = 0
    while above < min(len(lower), len(upper)) and lower[-1 - above] == upper[-1 - above]:
        above += 1
    left, right = list(lower[: len(lower) - above]), list(upper[: len(upper) - above])
    return (
        left[-1:] == ["right"]
        and right[-1:] == ["left"]
        and all(side == "left" for side in left[:-1])
        and all(side == "right" for side in right[:-1])
    )
