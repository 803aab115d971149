"""Merkle paths of RFC 6962 (2.1.1) and RFC 9162 (2.1.3.2), SHA-256: leaves are prefixed with 0x00, nodes with 0x01."""

from collections.abc import Sequence
from hashlib import sha256

from gateway.independent.faults import Invalid


def leaf(data: bytes) -> bytes:
    return sha256(b"\x00" + data).digest()


def node(left: bytes, right: bytes) -> bytes:
    return sha256(b"\x01" + left + right).digest()


def root_by_index(start: bytes, index: int, size: int, path: Sequence[bytes], what: str) -> bytes:
    """Root of the tree of `size` leaves whose leaf hash number `index` is `start`. Raises Invalid where the path does not fit."""
    if not 0 <= index < size:
        raise Invalid(f"{what}: leaf {index} cannot be in a tree of {size}")
    return _climb(start, index, size, list(path), what)


def _climb(start: bytes, index: int, size: int, path: list[bytes], what: str) -> bytes:
    """Recursion of RFC 6962, 2.1.1 read backwards: the last hash of a path is the half that the leaf is not in."""
    if size == 1:
        if path:
            raise Invalid(f"{what}: the path is too long")
        return start
    if not path:
        raise Invalid(f"{what}: the path is too short")
    half = 1 << ((size - 1).bit_length() - 1)
    other = path.pop()
    if index < half:
        return node(_climb(start, index, half, path, what), other)
    return node(other, _climb(start, index - half, size - half, path, what))


def check_consistency(old: bytes, old_size: int, new: bytes, new_size: int, path: Sequence[bytes], what: str) -> None:
    """Raises Invalid unless the tree of `new_size` with root `new` begins with the tree of `old_size` with root `old` (RFC 6962, 2.1.2)."""
    if not 0 < old_size <= new_size:
        raise Invalid(f"{what}: no tree of {new_size} begins with one of {old_size}")
    rest = list(path)
    roots = _roots(old_size, new_size, rest, old, what)
    if rest:
        raise Invalid(f"{what}: the path is too long")
    if roots != (old, new):
        raise Invalid(f"{what} does not lead from the one root to the other")


def _roots(old_size: int, size: int, path: list[bytes], given: bytes | None, what: str) -> tuple[bytes, bytes]:
    """What the first `old_size` of `size` leaves and all of them hash to, by SUBPROOF read backwards; `given` stands for the old root
    where that is a subtree's own, which the proof leaves out.
    """
    if old_size == size:
        whole = _taken(path, what) if given is None else given
        return whole, whole
    half = 1 << ((size - 1).bit_length() - 1)
    other = _taken(path, what)
    if old_size <= half:
        old, all_ = _roots(old_size, half, path, given, what)
        return old, node(all_, other)
    old, all_ = _roots(old_size - half, size - half, path, None, what)
    return node(other, old), node(other, all_)


def _taken(path: list[bytes], what: str) -> bytes:
    if not path:
        raise Invalid(f"{what}: the path is too short")
    return path.pop()


def root_by_sides(start: bytes, path: Sequence[tuple[str, bytes]]) -> bytes:
    """Root above `start` where each step says on which side the other hash stands."""
    for side, other in path:
        start = node(other, start) if side == "left" else node(start, other)
    return start
