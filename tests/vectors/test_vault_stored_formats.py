"""A container as version 1 wrote it, kept as a file: stored formats are read for ever, so this one must open whatever changes."""

from pathlib import Path

import pytest
from sealed_case import KEY, make_case, reader

from gateway.vault.container import read_table
from gateway.vault.opened_bundle import OpenedBundle, unwrap_bundle_key
from gateway.vault.primitives import WrapPrivateKey, WrapSuite
from gateway.vault.sealed_bundle import read_header

STORED = (Path(__file__).parents[1] / "assets" / "container-version-1.container").read_bytes()


@pytest.mark.parametrize("key", [KEY, WrapPrivateKey(WrapSuite.MLKEM768_X25519, b"h" * 32)], ids=["x25519", "hybrid"])
def test_a_container_of_version_1_opens(key):
    slot = read_table(reader(STORED), len(STORED))[0]
    read = slot.reader(reader(STORED))
    header = read_header(read)
    opened = OpenedBundle(read, header, unwrap_bundle_key(header, key))
    opened.check_root(slot.root)
    made = make_case(6, foreign=4, without_entry=(2,))
    assert slot.root == made.sealed.root  # so the leaves, too, are still computed as they were
    opened.check_submission(made.submission.root)
    for record, leaf in zip(made.records, made.sealed.placements, strict=True):
        found = opened.record(leaf)
        assert (found.class_name, found.id, found.version, found.body, found.index_row) == (
            record.class_name,
            record.id,
            record.version,
            record.body,
            record.index_row,
        )
        assert opened.entry(leaf) == record.entry
