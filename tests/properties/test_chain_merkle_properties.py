"""Trees, logs and their tiles against the plain recursion of RFC 6962, written down as the RFC has it."""

from hashlib import sha256

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chain import log, merkle
from chain.log import LogHead, extended_tiles, read_head

SIZES = st.integers(1, 70)


def leaves(size):
    return [merkle.leaf_hash(b"%d" % number) for number in range(size)]


def mth(data):
    """RFC 6962, 2.1, to the letter."""
    if not data:
        return sha256().digest()
    if len(data) == 1:
        return sha256(b"\x00" + data[0]).digest()
    k = 1
    while k * 2 < len(data):
        k *= 2
    return sha256(b"\x01" + mth(data[:k]) + mth(data[k:])).digest()


@given(st.lists(st.binary(max_size=8), max_size=70))
def test_the_root_is_the_rfcs(data):
    assert merkle.root([merkle.leaf_hash(item) for item in data]) == mth(data)


@given(SIZES, st.data())
def test_inclusion(size, data):
    index = data.draw(st.integers(0, size - 1))
    tree = leaves(size)
    path = merkle.inclusion_path(tree, index)
    assert merkle.root_from_path(tree[index], index, size, path) == merkle.root(tree)
    if path:
        wrong = list(path)
        place = data.draw(st.integers(0, len(path) - 1))
        wrong[place] = bytes([wrong[place][0] ^ 1]) + wrong[place][1:]
        assert merkle.root_from_path(tree[index], index, size, wrong) != merkle.root(tree)
        with pytest.raises(merkle.ProofError):
            merkle.root_from_path(tree[index], index, size, path[:-1])


@given(SIZES, st.data())
def test_consistency(size, data):
    old = data.draw(st.integers(1, size))
    tree = leaves(size)
    path = merkle.consistency_path(tree, old)
    merkle.verify_consistency(merkle.root(tree[:old]), old, merkle.root(tree), size, path)
    if old < size:
        forked = leaves(old)
        forked[data.draw(st.integers(0, old - 1))] = merkle.leaf_hash(b"forked")
        with pytest.raises(merkle.ProofError):
            merkle.verify_consistency(merkle.root(forked), old, merkle.root(tree), size, path)


class Tiles(dict):
    def read(self, level, number):
        return self.get((level, number), b"")

    def append(self, head, hashes):
        self.update(extended_tiles(self.read, head.size, hashes))
        return head.extended(hashes)


@settings(max_examples=30)
@given(st.lists(st.integers(1, 200), min_size=1, max_size=8), st.data())
def test_tiles_grow_to_the_same_log_in_whatever_steps(steps, data):
    tree, tiles, head = leaves(sum(steps)), Tiles(), LogHead()
    for step in steps:
        head = tiles.append(head, tree[head.size : head.size + step])
        assert head.root() == merkle.root(tree[: head.size])
        assert read_head(tiles.read, head.size) == head
    size = data.draw(st.integers(1, len(tree)))
    index = data.draw(st.integers(0, size - 1))
    assert log.inclusion_path(tiles.read, index, size) == merkle.inclusion_path(tree[:size], index)
    whole = Tiles()
    whole.append(LogHead(), tree)
    assert whole == tiles


def test_a_log_of_three_levels():
    """Past 65,536 leaves, where the first tile of the third level begins."""
    size = 65_536 + 300
    tree, tiles = leaves(size), Tiles()
    head = tiles.append(LogHead(), tree)
    assert {level for level, _ in tiles} == {0, 1, 2}
    assert head.root() == merkle.root(tree)
    for index in (0, 255, 256, 65_535, 65_536, size - 1):
        path = log.inclusion_path(tiles.read, index, size)
        assert merkle.root_from_path(tree[index], index, size, path) == head.root()


@pytest.mark.parametrize(("index", "size"), [(5, 5), (-1, 5), (0, 0)])
def test_no_path_outside_the_log(index, size):
    with pytest.raises(merkle.ProofError):
        log.inclusion_path(Tiles().read, index, size)


def test_a_missing_tile_is_said():
    with pytest.raises(merkle.ProofError, match="log tile 0/0"):
        log.inclusion_path(Tiles().read, 0, 2)
