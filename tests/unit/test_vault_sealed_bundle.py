"""What goes into a sealed bundle comes out of it, by the right key, and from few reads."""

import dataclasses

import pytest
from sealed_case import BUNDLE_ID, CHAIN_ID, CLASSES, KEY, make_case, open_case, random_from, reader

from chain import merkle
from gateway.vault import primitives
from gateway.vault.cover import path_of, root_of
from gateway.vault.errors import LeafMismatch, SealBroken, WrongKey
from gateway.vault.opened_bundle import OpenedBundle, unwrap_bundle_key
from gateway.vault.opened_class import OpenedClass
from gateway.vault.primitives import WrapPrivateKey, WrapSuite
from gateway.vault.seal import SEGMENT_BYTES, seal_bundle
from gateway.vault.sealed_bundle import read_header
from gateway.vault.submission import entry_leaf

CASE = make_case()
BODY = CASE.sealed.body


def test_every_record_comes_back_from_its_leaf():
    opened = open_case(BODY)
    for record, leaf in zip(CASE.records, CASE.sealed.placements, strict=True):
        found = opened.record(leaf)
        assert (found.class_name, found.id, found.version, found.body, found.index_row) == (
            record.class_name,
            record.id,
            record.version,
            record.body,
            record.index_row,
        )
        assert opened.entry(leaf) == record.entry


def test_leaves_are_numbered_by_class_after_the_statement():
    opened = open_case(BODY)
    assert opened.statement().body == b'{"a":"statement"}'
    assert [(c.name, c.first_leaf, c.count) for c in opened.directory.classes] == [
        ("$statement", 0, 1),
        ("Condition", 1, 3),
        ("Observation/laboratory", 4, 3),
        ("Observation/vital-signs", 7, 3),
        ("Patient", 10, 3),
    ]
    assert sorted(CASE.sealed.placements) == list(range(1, 13))
    assert opened.directory.number == 41


def test_every_path_leads_from_the_commitment_to_the_root():
    opened = open_case(BODY)
    opened.check_root(CASE.sealed.root)
    for leaf in range(opened.leaf_count):
        start = merkle.leaf_hash(opened.record(leaf).commitment)
        assert merkle.root_from_path(start, leaf, opened.leaf_count, opened.path(leaf)) == CASE.sealed.root


def test_commitments_are_salted_with_the_label_and_the_leafs_own_salt():
    opened = open_case(BODY)
    salts = {opened.record(leaf).salt for leaf in range(opened.leaf_count)}
    assert len(salts) == opened.leaf_count
    record = opened.record(3)
    import hashlib

    assert record.commitment == hashlib.sha256(b"fhir-anchor/record-commitment/v1\x00" + record.salt + record.body).digest()


def test_a_class_key_opens_its_class_alone():
    whole = open_case(BODY)
    header = read_header(reader(BODY))
    key = whole.class_key("Patient")
    alone = OpenedClass(reader(BODY), header, "Patient", key)
    assert [alone.record(leaf).body for leaf in (10, 11, 12)] == [whole.record(leaf).body for leaf in (10, 11, 12)]
    assert alone.entry(11) == whole.entry(11)
    with pytest.raises(IndexError):
        alone.record(9)
    patient = next(c for c in whole.directory.classes if c.name == "Patient")
    own = {patient.part, *patient.records, *patient.entries}
    for number in set(range(len(header.slots))) - own:  # other classes and the directory
        start, end = header.offsets[number], header.offsets[number + 1]
        with pytest.raises(primitives.Unopened):
            primitives.open_segment(key, number, header.digest, BODY[start:end])
        assert header.slots[number].tag != primitives.segment_tag(key, number)


def test_a_class_key_does_not_lead_to_the_bundle_key_or_another_class():
    """Derivation is one way and by name: what follows from a class key is no key of the bundle."""
    whole = open_case(BODY)
    header = read_header(reader(BODY))
    with pytest.raises(WrongKey):
        OpenedBundle(reader(BODY), header, whole.class_key("Patient"))
    for name in (*CLASSES, "$statement"):
        derived = primitives.class_key(whole.class_key("Patient"), name)
        with pytest.raises(WrongKey):
            OpenedClass(reader(BODY), header, name, derived)
    with pytest.raises(WrongKey):
        OpenedClass(reader(BODY), header, "Patient", primitives.class_key(b"k" * 32, "Patient"))


def test_only_a_recipient_can_unwrap_and_each_can():
    others = [WrapPrivateKey(suite, b"q" * 32) for suite in WrapSuite]
    sealed = make_case(recipients=[KEY.public, *(other.public for other in others)]).sealed
    for key in (KEY, *others):
        assert open_case(sealed.body, key).statement().body
    with pytest.raises(WrongKey, match="no wrap"):
        open_case(sealed.body, WrapPrivateKey(WrapSuite.X25519, b"z" * 32))


def test_a_wrap_does_not_move_to_another_bundle():
    header = read_header(reader(BODY))
    moved = dataclasses.replace(header, bundle_id=b"X" * 16)
    with pytest.raises(WrongKey, match="does not open"):
        unwrap_bundle_key(moved, KEY)


def test_one_record_costs_few_reads():
    case = make_case(400, body_size=4000)
    reads = []

    def read(offset, length):
        reads.append(length)
        return case.sealed.body[offset : offset + length]

    header = read_header(read)
    opened = OpenedBundle(read, header, unwrap_bundle_key(header, KEY))
    assert opened.record(case.sealed.placements[17]).body == case.records[17].body
    assert len(reads) <= 4
    assert sum(reads) < len(case.sealed.body) / 2
    opened.entry(case.sealed.placements[17])
    assert len(reads) <= 5


def test_classes_longer_than_a_segment_are_cut_and_read_as_one():
    case = make_case(120, body_size=5000)
    opened = open_case(case.sealed.body)
    entry = opened.directory.classes[1]
    assert len(entry.records) == len(entry.entries) == -(-30 * 5000 // SEGMENT_BYTES)
    for record, leaf in zip(case.records, case.sealed.placements, strict=True):
        assert opened.record(leaf).body == record.body
        assert opened.entry(leaf) == record.entry
    opened.check_root(case.sealed.root)
    last = len(case.records)  # in a second segment, first thing asked of a fresh reader: needs the seed of the first
    assert merkle.leaf_hash(open_case(case.sealed.body).record(last).commitment)
    alone = OpenedClass(reader(case.sealed.body), read_header(reader(case.sealed.body)), "Patient", opened.class_key("Patient"))
    assert [alone.entry(leaf) for leaf in range(91, 121)] == [opened.entry(leaf) for leaf in range(91, 121)]


def test_batches_run_through_every_leaf_in_order():
    case = make_case(120, body_size=5000)
    opened = open_case(case.sealed.body)
    leaves = [leaf_hash for _, batch in opened.batches() for leaf_hash in batch.leaf_hashes]
    assert len(leaves) == opened.leaf_count
    assert merkle.root(leaves) == case.sealed.root


def test_records_of_no_entry_and_entries_of_no_record():
    case = make_case(without_entry=(0, 1, 5, 9))
    opened = open_case(case.sealed.body)
    for record, leaf in zip(case.records, case.sealed.placements, strict=True):
        assert opened.entry(leaf) == record.entry
    assert root_of(opened.submission_cover()) == case.submission.root


@pytest.mark.parametrize("foreign", [0, 2, 3, 7])
def test_every_entry_is_shown_to_be_of_the_submission(foreign):
    case = make_case(9, foreign=foreign)
    cover = open_case(case.sealed.body).submission_cover()
    assert root_of(cover) == case.submission.root
    for record in case.records:
        entry = record.entry
        path = path_of(cover, entry.index)
        leaf = entry_leaf(entry.salt, entry.raw)
        assert merkle.root_from_path(leaf, entry.index, case.submission.count, path) == case.submission.root


def test_a_bundle_of_the_statement_alone():
    sealed = seal_bundle(
        chain_id=CHAIN_ID,
        bundle_id=BUNDLE_ID,
        number=0,
        statement=b"{}",
        records=[],
        cover=[],
        recipients=[KEY.public],
        random=random_from(b""),
    )
    opened = open_case(sealed.body)
    assert (opened.leaf_count, opened.statement().body, opened.path(0)) == (1, b"{}", [])
    opened.check_root(sealed.root)


def test_a_body_that_does_not_hold_its_id_is_kept_as_it_is():
    record = dataclasses.replace(CASE.records[0], body=b"no id in here", entry=None)
    twice = dataclasses.replace(CASE.records[1], body=CASE.records[1].id.hex().encode() * 2, entry=None)
    sealed = seal_bundle(
        chain_id=CHAIN_ID,
        bundle_id=BUNDLE_ID,
        number=0,
        statement=b"{}",
        records=[record, twice],
        cover=[],
        recipients=[KEY.public],
        random=random_from(b""),
    )
    opened = open_case(sealed.body)
    assert [opened.record(leaf).body for leaf in sealed.placements] == [record.body, twice.body]


def test_lengths_outside_are_padded_and_content_does_not_show():
    header = read_header(reader(BODY))
    assert header.offsets[-1] == len(BODY)
    for secret in (b"Observation", b"number", b"urn:", CASE.records[0].id):
        assert secret not in BODY


def test_no_two_bundles_share_a_byte_of_key_or_salt():
    other = make_case(seed=b"other")
    first, second = open_case(BODY), open_case(other.sealed.body)
    assert first.class_key("Patient") != second.class_key("Patient")
    assert first.record(3).body == second.record(3).body
    assert first.record(3).salt != second.record(3).salt
    assert CASE.sealed.root != other.sealed.root


def test_a_root_of_other_leaves_is_refused():
    with pytest.raises(LeafMismatch):
        open_case(BODY).check_root(b"r" * 32)


def test_leaves_that_are_not_there():
    opened = open_case(BODY)
    for leaf in (-1, opened.leaf_count):
        for ask in (opened.record, opened.entry, opened.path):
            with pytest.raises(IndexError):
                ask(leaf)
    with pytest.raises(KeyError):
        opened.opened_class("Nothing")


def test_a_class_named_like_the_statement_is_refused():
    with pytest.raises(ValueError, match="Type"):
        seal_bundle(
            chain_id=CHAIN_ID,
            bundle_id=BUNDLE_ID,
            number=0,
            statement=b"",
            records=[dataclasses.replace(CASE.records[0], class_name="$statement")],
            cover=[],
            recipients=[],
            random=random_from(b""),
        )


def test_a_store_that_answers_short_is_broken_not_wrong():
    header = read_header(reader(BODY))
    short = lambda offset, length: BODY[offset : offset + length - 1]  # noqa: E731
    with pytest.raises(SealBroken, match="cut off"):
        OpenedBundle(short, header, unwrap_bundle_key(header, KEY))
