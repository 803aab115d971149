"""Covers against RFC 6962 computed from all leaves: the same roots and paths, whatever is collapsed."""

import hashlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chain import merkle
from gateway.vault.cover import CoverNode, Tree, path_of, range_sizes, root_of


def leaves(count):
    return [hashlib.sha256(i.to_bytes(4, "big")).digest() for i in range(count)]


@st.composite
def owned_leaves(draw):
    count = draw(st.integers(1, 80))
    return count, sorted(draw(st.sets(st.integers(0, count - 1))))


@settings(max_examples=150, deadline=None)
@given(owned_leaves())
def test_root_and_own_paths_follow_from_the_cover(case):
    count, own = case
    hashes = leaves(count)
    cover = Tree(hashes).cover(own)
    assert root_of(cover) == merkle.root(hashes)
    for index in own:
        assert path_of(cover, index) == merkle.inclusion_path(hashes, index)


@settings(max_examples=150, deadline=None)
@given(owned_leaves())
def test_a_cover_is_the_shortest(case):
    count, own = case
    at, spans = 0, []
    for node in Tree(leaves(count)).cover(own):
        spans.append((at, at + node.size))
        at += node.size
    assert at == count
    assert all(high - low == 1 for low, high in spans for index in own if low <= index < high)
    assert len(spans) <= max(1, 2 * len(own) * (count.bit_length() + 1))


@settings(max_examples=150, deadline=None)
@given(st.lists(st.integers(1, 30), min_size=1, max_size=12))
def test_ranges_side_by_side_cover_the_tree(sizes):
    """What a sealed bundle keeps: a few nodes for each segment, the leaves of one segment single."""
    hashes = leaves(sum(sizes))
    tree = Tree(hashes)
    low, ranges = 0, []
    for size in sizes:
        nodes = [CoverNode(*pair) for pair in zip(range_sizes(low, low + size), tree.range_hashes(low, low + size), strict=True)]
        assert merkle.subtree_roots(hashes[low : low + size], low) == [node.hash for node in nodes]
        ranges.append((low, low + size, nodes))
        low += size
    assert root_of([node for *_, nodes in ranges for node in nodes]) == tree.root == merkle.root(hashes)
    for opened in range(len(ranges)):
        cover = []
        for number, (start, end, nodes) in enumerate(ranges):
            cover += [CoverNode(1, h) for h in hashes[start:end]] if number == opened else nodes
        for index in range(*ranges[opened][:2]):
            assert path_of(cover, index) == merkle.inclusion_path(hashes, index)


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 5000), st.integers(0, 5000))
def test_range_sizes_are_aligned_and_few(low, length):
    sizes = range_sizes(low, low + length)
    assert sum(sizes) == length
    at = low
    for size in sizes:
        assert size & (size - 1) == 0
        assert at % size == 0
        at += size
    assert len(sizes) <= 2 * max(1, length.bit_length())


@settings(max_examples=150, deadline=None)
@given(st.lists(st.integers(-1, 9), max_size=8), st.integers(-2, 30))
def test_arbitrary_sizes_are_a_cover_or_a_value_error(sizes, index):
    cover = [CoverNode(size, bytes(32)) for size in sizes]
    try:
        assert len(root_of(cover)) == 32
        path_of(cover, max(index, 0))
    except ValueError:
        return
    assert sizes[[sum(sizes[: i + 1]) > max(index, 0) for i in range(len(sizes))].index(True)] == 1


@pytest.mark.parametrize(("sizes", "index"), [([2, 1], 0), ([1, 2], 0), ([3], 1), ([1, 1], 2), ([], 0), ([0, 1], 0)])
def test_no_cover_no_path(sizes, index):
    with pytest.raises(ValueError):
        path_of([CoverNode(size, bytes(32)) for size in sizes], index)


def test_the_empty_tree():
    assert Tree([]).root == root_of([]) == hashlib.sha256(b"").digest()
    assert Tree([]).cover([]) == []
