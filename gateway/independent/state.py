"""What the ledger's state holds under a key, from paths (docs/design/ledger.md, state and proofs).

A leaf's place in its bucket is followed from the root down, as a row of turns: 0 to the left, 1 to the right. Leaves stand in the order of
their rows; two are neighbours if the next turn is the only way on from the lower to the upper: x 0 1 1... and x 1 0 0...
"""

from hashlib import sha256
from typing import Any, NamedTuple

from gateway.independent import fields, tree
from gateway.independent.cbor import head as cbor_head
from gateway.independent.faults import Invalid
from gateway.independent.statement import from_base64url

VERSION = 1
BUCKET_BITS = 16
LONGEST_PATH = 64


class _Entry(NamedTuple):
    key: bytes
    value: bytes
    turns: str  # from the bucket's root down
    bucket_hash: bytes


def value_of(key: bytes, entries: Any, branch: list[bytes], state_root: bytes) -> bytes | None:
    """The value that the state of this root has under `key`, None if it has none. Raises Invalid."""
    shown = [_entry(one) for one in fields.list_of(entries, "entries")]
    if any(entry.key[:2] != key[:2] for entry in shown):
        raise Invalid("entries: one does not lie in the bucket of the subject's key")
    hashes = {entry.bucket_hash for entry in shown} if shown else {sha256(b"").digest()}
    if len(hashes) > 1:
        raise Invalid("entries: they are not of one bucket")
    if len(branch) != BUCKET_BITS:
        raise Invalid(f"branch does not have {BUCKET_BITS} hashes")
    node, number = hashes.pop(), int.from_bytes(key[:2], "big")
    for other in branch:
        node = tree.node(other, node) if number % 2 else tree.node(node, other)
        number //= 2
    if state_root != bytes([VERSION]) + node:
        raise Invalid("entries and branch do not lead to the header's state root")
    if len(shown) == 1 and shown[0].key == key:
        return shown[0].value
    _check_gap(key, shown)
    return None


def _entry(value: Any) -> _Entry:
    part = fields.of_names(value, {"key", "value", "path"}, "an entry")
    key, content = fields.hash_of(part["key"], "an entry's key"), from_base64url(part["value"], "an entry's value")
    path = fields.sided_path(part["path"], "an entry's path")
    if len(path) > LONGEST_PATH:
        raise Invalid("an entry's path is too long for a bucket")
    leaf = tree.leaf(b"\x82\x58\x20" + key + cbor_head(2, len(content)) + content)
    turns = "".join("1" if side == "left" else "0" for side, _ in reversed(path))
    return _Entry(key, content, turns, tree.root_by_sides(leaf, path))


def _check_gap(key: bytes, shown: list[_Entry]) -> None:
    """Raises Invalid unless nothing can lie between what is shown, where the key would."""
    lower = [entry for entry in shown if entry.key < key]
    upper = [entry for entry in shown if entry.key > key]
    if len(lower) > 1 or len(upper) > 1 or [*lower, *upper] != shown:
        raise Invalid("entries: they do not lie on both sides of the subject's key, the lower first")
    if lower and upper:
        if not _is_next(lower[0].turns, upper[0].turns):
            raise Invalid("entries: they are no neighbours in their bucket")
    elif any("0" in entry.turns for entry in lower) or any("1" in entry.turns for entry in upper):
        raise Invalid("entries: the one shown is not the last, or not the first, of its bucket")


def _is_next(lower: str, upper: str) -> bool:
    return "0" in lower and "1" in upper and lower.rstrip("1")[:-1] == upper.rstrip("0")[:-1]
