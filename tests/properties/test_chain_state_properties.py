"""The incremental state against a model that hashes everything anew: all 65,536 buckets, level by level."""

from hashlib import sha256

from hypothesis import given, settings
from hypothesis import strategies as st

from chain import merkle
from chain.encoding import encode
from chain.state import Overlay, State, bucket_of

KEYS = [sha256(b"%d" % number).digest() for number in range(6)]
KEYS += [key[:2] + bytes([number]) * 30 for key in KEYS[:3] for number in range(3)]  # buckets with several entries
CHANGES = st.lists(st.dictionaries(st.sampled_from(KEYS), st.binary(min_size=1, max_size=3), max_size=6), max_size=4)


def reader(entries):
    return lambda buckets: [(key, value) for key, value in entries.items() if bucket_of(key) in buckets]


def model(entries):
    """The root by the definition alone."""
    buckets = {}
    for key in sorted(entries):
        buckets.setdefault(bucket_of(key), []).append(merkle.leaf_hash(encode([key, entries[key]])))
    level = {number: merkle.root(hashes) for number, hashes in buckets.items()}
    empty = sha256().digest()
    for _ in range(16):
        numbers = {number // 2 for number in level}
        level = {number: merkle.node_hash(level.get(2 * number, empty), level.get(2 * number + 1, empty)) for number in numbers}
        empty = merkle.node_hash(empty, empty)
    return b"\x01" + level.get(0, empty)


@settings(max_examples=60)
@given(CHANGES)
def test_blocks_of_changes_give_the_root_of_what_they_leave(blocks):
    entries = {}
    state = State(reader(entries), ())
    for changes in blocks:
        before = state.root()
        overlay = Overlay(state)
        for key, value in changes.items():
            assert overlay.is_new(key) == (key not in entries)
            overlay.set(key, value)
        due = {**entries, **changes}
        assert overlay.root() == model(due)
        assert all(overlay.get(key) == due.get(key) for key in KEYS)
        assert state.root() == before == model(entries), "an overlay changed the state below it"
        entries.update(changes)
        state.commit(overlay)
        assert state.root() == model(entries)
    assert State(reader(entries), sorted(entries.items())).root() == model(entries)


def test_the_root_by_hand():
    """The empty state and one of one entry, computed beside the path."""
    node = sha256().digest()
    for _ in range(16):
        node = sha256(b"\x01" + node + node).digest()
    assert State(lambda _: (), ()).root() == b"\x01" + node
    key, value = bytes(32), b"v"
    node, empty = sha256(b"\x00" + b"\x82\x58\x20" + key + b"\x41v").digest(), sha256().digest()
    for _ in range(16):
        node, empty = sha256(b"\x01" + node + empty).digest(), sha256(b"\x01" + empty + empty).digest()
    assert State(lambda _: (), [(key, value)]).root() == b"\x01" + node


def test_a_change_undone_within_a_block_changes_nothing():
    entries = {KEYS[0]: b"a"}
    state = State(reader(entries), sorted(entries.items()))
    overlay = Overlay(state)
    overlay.set(KEYS[0], b"b")
    assert overlay.root() != state.root()
    overlay.set(KEYS[0], b"a")
    assert overlay.root() == state.root()
