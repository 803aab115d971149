"""Gateway ids are encrypted row numbers, and what is none is known without a look-up."""

import pytest

from gateway.vault.record_id import RecordIds

IDS = RecordIds(b"0123456789abcdef")


def test_rows_come_back_from_their_ids():
    rows = [0, 1, 2, 10**6, 2**64 - 1]
    assert [IDS.decode(text) for text in IDS.encode(rows)] == rows


def test_ids_are_fhir_ids_and_distinct():
    ids = IDS.encode(range(5000))
    assert len(set(ids)) == 5000
    assert all(len(text) == 32 and text == text.lower() for text in ids)


def test_no_rows_no_ids():
    assert IDS.encode([]) == []


def test_a_row_beyond_64_bits_is_refused():
    with pytest.raises(OverflowError):
        IDS.encode([2**64])


@pytest.mark.parametrize(
    "text",
    ["", "0" * 31, "0" * 32, "0" * 33, "g" * 32, "x", IDS.encode([7])[0].upper(), IDS.encode([7])[0] + "\n", " " + IDS.encode([7])[0]],
)
def test_what_was_made_up_is_no_id(text):
    assert IDS.decode(text) is None


def test_every_changed_digit_makes_it_none():
    text = IDS.encode([7])[0]
    for at, digit in enumerate(text):
        changed = text[:at] + ("0" if digit != "0" else "1") + text[at + 1 :]
        assert IDS.decode(changed) is None


def test_ids_of_another_key_are_none():
    assert RecordIds(b"another 16 bytes").decode(IDS.encode([7])[0]) is None


def test_many_ids_are_decoded_as_one_by_one():
    ids = RecordIds(bytes(range(16)))
    rows = [0, 1, 2**40, 2**64 - 1]
    blocks = [bytes.fromhex(text) for text in ids.encode(rows)]
    assert ids.rows(blocks) == rows
    assert ids.rows([blocks[1], bytes(16), blocks[2]]) == [1, None, 2**40]
    assert ids.rows([]) == []
