"""Ids that are cut out of stored bodies stand in them again, at their place only."""

import pytest

from chain import encoding
from gateway.vault.errors import SealBroken
from gateway.vault.segments import RecordRows
from gateway.vault.shape import u32_column

IDS = [bytes([number]) * 16 for number in range(4)]
BODIES = [b'{"id":"' + IDS[0].hex().encode() + b'"}', b"without", IDS[2].hex().encode(), b"before " + IDS[3].hex().encode()]
ROWS = RecordRows(b"", BODIES, [b"row"] * 4)


def test_every_body_comes_back():
    assert RecordRows.parse(ROWS.encode(IDS), IDS, "part") == ROWS


@pytest.mark.parametrize(("cut", "is_read"), [(7, True), (8, True), (9, False), (1 << 31, False)])
def test_an_id_behind_the_end_of_its_row_is_refused(cut, is_read):
    """It would take the next row's bytes with it."""
    columns = {0: b"", 1: u32_column([7, 7]), 2: u32_column([cut, 0]), 3: u32_column([1, 1]), 4: b"without" * 2, 5: b"rr"}
    if is_read:
        parsed = RecordRows.parse(encoding.encode(columns), IDS[:2], "part")
        assert parsed.bodies == [b"without"[: cut - 1] + IDS[0].hex().encode() + b"without"[cut - 1 :], b"without"]
    else:
        with pytest.raises(SealBroken, match="behind the end"):
            RecordRows.parse(encoding.encode(columns), IDS[:2], "part")
