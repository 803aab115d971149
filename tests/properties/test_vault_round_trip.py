"""Whatever records are sealed, in whatever classes and order: they come out as they went in, and their paths lead to the root."""

from hypothesis import given, settings
from hypothesis import strategies as st
from sealed_case import BUNDLE_ID, CHAIN_ID, KEY, open_case, random_from

from chain import merkle
from gateway.vault.seal import RecordToSeal, seal_bundle
from gateway.vault.segments import EntryRow, pack, padded_length, unpack
from gateway.vault.submission import SubmissionTree

rows = st.lists(
    st.tuples(
        st.sampled_from(["A", "A/x", "A/y", "B", "Zz"]),
        st.binary(min_size=16, max_size=16),
        st.integers(1, 2**32 - 1),
        st.binary(max_size=60),
        st.binary(max_size=20),
        st.booleans(),
        st.booleans(),
    ),
    max_size=12,
)


@settings(max_examples=60, deadline=None)
@given(rows, st.binary(max_size=40))
def test_what_goes_in_comes_out(made, statement):
    raws = [body + b"raw" for _, _, _, body, *_ in made]
    tree = SubmissionTree(raws, b"n" * 32)
    records = [
        RecordToSeal(
            name,
            record_id,
            version,
            record_id.hex().encode() + body if holds_id else body,
            row,
            EntryRow(i, tree.salts[i], raws[i]) if entry else None,
        )
        for i, (name, record_id, version, body, row, entry, holds_id) in enumerate(made)
    ]
    sealed = seal_bundle(
        chain_id=CHAIN_ID,
        bundle_id=BUNDLE_ID,
        number=1,
        statement=statement,
        records=records,
        cover=tree.tree.cover([r.entry.index for r in records if r.entry]),
        recipients=[KEY.public],
        random=random_from(b""),
    )
    opened = open_case(sealed.body)
    opened.check_root(sealed.root)
    opened.check_submission(tree.root)
    assert opened.statement().body == statement
    for record, leaf in zip(records, sealed.placements, strict=True):
        found = opened.record(leaf)
        assert (found.class_name, found.id, found.version, found.body, found.index_row) == (
            record.class_name,
            record.id,
            record.version,
            record.body,
            record.index_row,
        )
        assert opened.entry(leaf) == record.entry
        start = merkle.leaf_hash(found.commitment)
        assert merkle.root_from_path(start, leaf, opened.leaf_count, opened.path(leaf)) == sealed.root


@given(st.integers(0, 1 << 40))
def test_padding_is_little_monotonous_and_fixed(length):
    padded = padded_length(length)
    assert length <= padded <= length * 1.12 + 1
    assert padded_length(padded) == padded
    assert padded_length(length + 1) >= padded


@given(st.binary(max_size=3000), st.binary(max_size=3000))
def test_packing_is_undone_by_unpacking_with_the_same_dictionary(content, dictionary):
    assert unpack(pack(content, dictionary), "", dictionary) == content
