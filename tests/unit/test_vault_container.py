"""Containers: the table accounts for every byte, names follow from digests."""

import hashlib

import pytest
from sealed_case import KEY, make_case, reader

from chain import encoding, merkle
from gateway.vault.container import MAGIC, build_container, bundle_path, container_name, container_root, digest_of_name, read_table
from gateway.vault.errors import SealBroken
from gateway.vault.opened_bundle import OpenedBundle, unwrap_bundle_key
from gateway.vault.sealed_bundle import read_header

BUNDLES = [make_case(n, seed=b"%d" % n).sealed for n in (2, 3, 5)]
CONTAINER = build_container(BUNDLES)
BODY = CONTAINER.body


def table_of(body):
    length = int.from_bytes(body[6:10], "big")
    return encoding.decode(body[10 : 10 + length]), body[10 + length :]


def with_table(table):
    content = encoding.encode(table)
    return MAGIC + len(content).to_bytes(4, "big") + content + table_of(BODY)[1]


def test_each_bundle_is_read_through_its_slot():
    slots = read_table(reader(BODY), len(BODY))
    assert slots == list(CONTAINER.slots)
    for slot, bundle in zip(slots, BUNDLES, strict=True):
        read = slot.reader(reader(BODY))
        assert read(0, len(BODY)) == bundle.body  # never a byte of the next
        assert read(len(bundle.body) - 1, 5) == bundle.body[-1:]
        assert read(len(bundle.body) + 3, 5) == b""
        opened = OpenedBundle(read, read_header(read), unwrap_bundle_key(read_header(read), KEY))
        opened.check_root(slot.root)


def test_the_anchor_carries_digest_root_and_counts():
    assert CONTAINER.digest == hashlib.sha256(BODY).digest()
    leaf_hashes = [hashlib.sha256(b"\x00" + bundle.root).digest() for bundle in BUNDLES]
    assert CONTAINER.root == merkle.root(leaf_hashes)
    assert CONTAINER.leaf_count == 3 + 4 + 6
    for index, bundle in enumerate(BUNDLES):
        path = bundle_path([b.root for b in BUNDLES], index)
        assert merkle.root_from_path(merkle.leaf_hash(bundle.root), index, 3, path) == CONTAINER.root
    assert container_root([BUNDLES[0].root]) == leaf_hashes[0]


def test_names_are_content_addressed():
    digest = CONTAINER.digest
    assert CONTAINER.name == f"{digest.hex()[:2]}/{digest.hex()}.container"
    assert digest_of_name(CONTAINER.name) == digest
    for name in (
        "",
        digest.hex(),
        f"{digest.hex()}.container",
        f"zz/{digest.hex()}.container",
        container_name(digest).upper(),
        CONTAINER.name + "\n",
    ):
        assert digest_of_name(name) is None
    other = f"{'00' if digest[0] else '01'}/{digest.hex()}.container"
    assert digest_of_name(other) is None


def test_an_empty_container_is_not_made_nor_read():
    with pytest.raises(ValueError):
        build_container([])
    with pytest.raises(SealBroken):
        read_table(reader(with_table({0: 1, 1: []})), len(BODY))


@pytest.mark.parametrize(
    "change",
    [
        lambda t: {**t, 0: 2},
        lambda t: {**t, 2: 0},
        lambda t: {**t, 1: t[1][:-1]},
        lambda t: {**t, 1: t[1][::-1]},
        lambda t: {**t, 1: [t[1][0], t[1][0], *t[1][2:]]},
        lambda t: {**t, 1: [[1, *t[1][0][1:]], *t[1][1:]]},
        lambda t: {**t, 1: [*t[1][:-1], [t[1][-1][0], t[1][-1][1] - 1, *t[1][-1][2:]]]},
        lambda t: {**t, 1: [*t[1][:-1], [t[1][-1][0], t[1][-1][1] + 1, *t[1][-1][2:]]]},
        lambda t: {**t, 1: [*t[1][:-1], [*t[1][-1], 0]]},
        lambda t: {**t, 1: [*t[1][:-1], [*t[1][-1][:2], b"short", t[1][-1][3]]]},
        lambda t: {**t, 1: [*t[1][:-1], [*t[1][-1][:3], b"short"]]},
        lambda t: {**t, 1: [*t[1], [len(table_of(BODY)[1]), -1, bytes(16), bytes(32)]]},
    ],
)
def test_a_table_of_another_form_is_refused(change):
    body = with_table(change(table_of(BODY)[0]))
    with pytest.raises(SealBroken, match="container table"):
        read_table(reader(body), len(body))


@pytest.mark.parametrize(
    "body", [b"", b"FHACO", MAGIC, MAGIC + b"\xff\xff\xff\xff", b"FHASB\x01" + BODY[6:], BODY[:100], BODY[:-1], BODY + b"\x00"]
)
def test_what_is_no_whole_container_is_refused(body):
    with pytest.raises(SealBroken, match="container table"):
        read_table(reader(body), len(body))


def test_a_long_table_is_read_in_two():
    many = build_container(BUNDLES * 30)
    assert len(read_table(reader(many.body), len(many.body))) == 90
