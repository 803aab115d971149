"""The receipt's file: one spelling a value, no field too many or too few."""

import json

import pytest
from receipt_case import make_case

from chain import merkle
from gateway import receipt_format
from gateway.receipt_format import from_json, sided
from gateway.receipt_json import NoReceipt, to_json

RECEIPT = to_json(make_case().receipt)


def test_what_is_written_is_read_back():
    assert from_json(RECEIPT) == make_case().receipt
    assert to_json(from_json(RECEIPT)) == RECEIPT


def test_white_space_and_the_order_of_fields_are_free():
    found = json.loads(RECEIPT)
    assert from_json(json.dumps(dict(reversed(found.items())), indent=2).encode()) == from_json(RECEIPT)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b"[]",
        b"null",
        b"not json",
        RECEIPT[:-1],
        RECEIPT + b"x",
        b"\xef\xbb\xbf" + RECEIPT,
        RECEIPT.replace(b'"votes"', b'"v\xfftes"'),
        RECEIPT[:-1] + b',"more":1}',
        RECEIPT[:-1] + b',"format":"fhir-anchor receipt 1"}',
        RECEIPT.replace(b"fhir-anchor receipt 1", b"fhir-anchor receipt 2"),
        RECEIPT.replace(b'"handovers":[]', b'"handovers":[{}]'),
        RECEIPT.replace(b'"index":1', b'"index":1.0'),
        RECEIPT.replace(b'"index":1', b'"index":1e0'),
        RECEIPT.replace(b'"index":1', b'"index":NaN'),
        RECEIPT.replace(b'"index":1', b'"index":true'),
        RECEIPT.replace(b'"index":1', b'"index":-1'),
        RECEIPT.replace(b'"index":1', b'"index":9007199254740992'),
        RECEIPT.replace(b'"left"', b'"Left"'),
        RECEIPT.replace(b'"left"', b'"\\ud800"', 1),
        RECEIPT.replace(b"fhir-anchor receipt 1", b"\\ud800"),
        RECEIPT.replace(b"Observation/", b"Observation\\u001b/"),
        b"[" * 100_000,
        RECEIPT + b" " * receipt_format.MAX_BYTES,
    ],
    ids=lambda body: str(len(body)) + str(body[:12]),
)
def test_what_departs_from_the_format_is_no_receipt(body):
    with pytest.raises(NoReceipt):
        from_json(body)


@pytest.mark.parametrize("lost", [("record", "salt"), ("statement",), ("issuer",)])
def test_what_only_the_entitled_get_is_there_together_or_not_at_all(lost):
    found = json.loads(RECEIPT)
    holder = found
    for name in lost[:-1]:
        holder = holder[name]
    del holder[lost[-1]]
    with pytest.raises(NoReceipt, match="belong together"):
        from_json(json.dumps(found).encode())


@pytest.mark.parametrize("size", [1, 2, 3, 5, 8, 13, 64, 100])
def test_sides_and_numbers_lead_to_the_same_root(size):
    leaves = [merkle.leaf_hash(bytes([i])) for i in range(size)]
    for index in range(size):
        node = leaves[index]
        for side, other in sided(merkle.inclusion_path(leaves, index), index, size):
            node = merkle.node_hash(other, node) if side == "left" else merkle.node_hash(node, other)
        assert node == merkle.root(leaves)
