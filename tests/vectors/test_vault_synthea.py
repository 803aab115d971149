"""Real bundles through the vault: nothing lost, and not more stored than the budget says."""

import json

import msgspec
import pytest
import real_data
from sealed_case import BUNDLE_ID, CHAIN_ID, open_case, random_from

from gateway.vault.opened_bundle import entry_leaves
from gateway.vault.primitives import WrapPrivateKey, WrapSuite
from gateway.vault.seal import RecordToSeal, seal_bundle
from gateway.vault.segments import EntryRow
from gateway.vault.submission import SubmissionTree

KEY = WrapPrivateKey(WrapSuite.MLKEM768_X25519, b"p" * 32)
BUDGET = 300  # bytes a record, the original entry and all else included, for bundles of 400 records and more


class Bundle(msgspec.Struct):
    entry: list[msgspec.Raw]


class Entry(msgspec.Struct):
    resource: msgspec.Raw


def class_of(resource):
    category = resource.get("category") or [{}]
    first = category[0] if isinstance(category, list) else category
    code = (first.get("coding") or [{}])[0].get("code")
    return resource["resourceType"] + (f"/{code}" if code else "")


@pytest.mark.parametrize("generation", ["synthea-r4-2021-blaze", "synthea-r4-v2.4-smart"])
def test_a_synthea_bundle_comes_back_whole_and_small(generation):
    paths = [path for path in real_data.synthea_bundles() if generation in path.parts]
    if not paths:
        pytest.skip(real_data.ABSENT)
    path = sorted(paths, key=lambda p: p.stat().st_size)[len(paths) // 2 + 1]
    raws = [bytes(raw) for raw in msgspec.json.decode(path.read_bytes(), type=Bundle).entry]
    tree = SubmissionTree(raws, b"n" * 32)
    records = []
    for i, raw in enumerate(raws):
        body = bytes(msgspec.json.decode(raw, type=Entry).resource)
        records.append(RecordToSeal(class_of(json.loads(body)), i.to_bytes(16, "big"), 1, body, b"", EntryRow(i, tree.salts[i], raw)))
    sealed = seal_bundle(
        chain_id=CHAIN_ID,
        bundle_id=BUNDLE_ID,
        number=1,
        statement=b"{}",
        records=records,
        cover=tree.tree.cover(range(len(raws))),
        recipients=[KEY.public],
        random=random_from(b""),
    )
    opened = open_case(sealed.body, KEY)
    opened.check_root(sealed.root)
    by_leaf = {leaf: record for record, leaf in zip(records, sealed.placements, strict=True)}
    leaves = {}
    for opened_class, batch in opened.batches():
        rows = opened_class.entries(batch)
        for leaf, body, row in zip(range(batch.first_leaf, batch.first_leaf + len(rows)), batch.bodies, rows, strict=True):
            if leaf:
                record = by_leaf.pop(leaf)
                assert (body, row) == (record.body, record.entry)
        leaves |= entry_leaves(rows)
    assert not by_leaf
    opened.check_submission(tree.root, leaves)
    assert len(sealed.body) < BUDGET * len(records)
