import json
import os
from pathlib import Path

import pytest
from chain_case import DELEGATES, GENESIS

from chain.watermark import DoubleSign, Duty, Watermark, WatermarkUnusable, create_watermark, read_marks

KEY = DELEGATES[0].public
CHAIN = GENESIS.chain_id
A, B = b"a" * 32, b"b" * 32


@pytest.fixture
def path(tmp_path):
    create_watermark(tmp_path / "delegate-0.watermark", CHAIN, KEY)
    return tmp_path / "delegate-0.watermark"


@pytest.fixture
def watermark(path):
    mark = Watermark(path, CHAIN, KEY)
    yield mark
    mark.close()


def test_a_mark_is_on_disk_when_advance_returns(watermark, path):
    watermark.advance(Duty.VOTE, 5, A)
    assert read_marks(path, CHAIN, KEY) == {Duty.VOTE: (5, A)}


def test_the_same_hash_again_is_allowed(watermark, path):
    watermark.advance(Duty.VOTE, 5, A)
    watermark.advance(Duty.VOTE, 5, A)
    assert read_marks(path, CHAIN, KEY) == {Duty.VOTE: (5, A)}
    watermark.advance(Duty.VOTE, 6, B)
    assert read_marks(path, CHAIN, KEY) == {Duty.VOTE: (6, B)}


@pytest.mark.parametrize(("height", "block_hash"), [(5, B), (4, A), (4, B), (1, B)])
def test_another_hash_or_a_lower_height_never(path, height, block_hash):
    watermark = Watermark(path, CHAIN, KEY)
    watermark.advance(Duty.VOTE, 5, A)
    for _ in range(2):  # in memory, and read again from disk
        with pytest.raises(DoubleSign):
            watermark.advance(Duty.VOTE, height, block_hash)
        assert read_marks(path, CHAIN, KEY) == {Duty.VOTE: (5, A)}
        watermark.close()
        watermark = Watermark(path, CHAIN, KEY)
    watermark.close()


def test_duties_have_marks_of_their_own(watermark, path):
    watermark.advance(Duty.PRODUCE, 5, A)
    watermark.advance(Duty.VOTE, 4, B)
    assert read_marks(path, CHAIN, KEY) == {Duty.PRODUCE: (5, A), Duty.VOTE: (4, B)}


def test_one_process_at_a_time(watermark, path):
    with pytest.raises(WatermarkUnusable, match="in use"):
        Watermark(path, CHAIN, KEY)


def test_it_is_made_once(path):
    with pytest.raises(FileExistsError):
        create_watermark(path, CHAIN, KEY)


@pytest.mark.parametrize("content", [None, b"", b"{}", b"[]", b"null", b'{"format":', b'{"format":"fhir-anchor watermark 1"}'])
def test_a_missing_or_damaged_file_stops_its_key(path, content):
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(WatermarkUnusable):
        Watermark(path, CHAIN, KEY)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("key", DELEGATES[1].public.hex()),
        ("chain_id", "00" * 32),
        ("format", "2"),
        ("marks", {"signed": [1, "00"]}),
        ("marks", {"voted": 7}),
    ],
)
def test_a_file_of_another_key_or_chain_stops_its_key(path, name, value):
    path.write_text(json.dumps({**json.loads(path.read_text()), name: value}))
    with pytest.raises(WatermarkUnusable):
        Watermark(path, CHAIN, KEY)


def test_a_file_without_a_check_is_read_and_gets_one(path):
    first = Watermark(path, CHAIN, KEY)
    first.advance(Duty.VOTE, 5, A)
    first.close()
    fields = json.loads(path.read_text())
    del fields["check"]
    path.write_text(json.dumps({**fields, "format": "fhir-anchor watermark 1"}))
    again = Watermark(path, CHAIN, KEY)
    with pytest.raises(DoubleSign):
        again.advance(Duty.VOTE, 5, B)
    again.advance(Duty.VOTE, 6, B)
    again.close()
    assert json.loads(path.read_text()).keys() == {*fields, "check"}
    path.write_text(path.read_text().replace("6,", "5,"))
    with pytest.raises(WatermarkUnusable, match="not as it was written"):
        Watermark(path, CHAIN, KEY)


def test_a_refused_file_is_not_left_locked(path):
    with pytest.raises(WatermarkUnusable):
        Watermark(path, CHAIN, DELEGATES[1].public)
    Watermark(path, CHAIN, KEY).close()


def test_file_then_name_then_folder_are_synced(watermark, monkeypatch, path):
    """The order is what a power cut is survived by; it cannot be cut here, so the calls are watched and still made."""
    steps = []
    fsync, replace = os.fsync, type(path).replace
    monkeypatch.setattr(
        os,
        "fsync",
        lambda descriptor: (steps.append("folder" if Path(f"/proc/self/fd/{descriptor}").is_dir() else "file"), fsync(descriptor)),
    )
    monkeypatch.setattr(type(path), "replace", lambda self, target: (steps.append("rename"), replace(self, target))[1])
    watermark.advance(Duty.VOTE, 1, A)
    assert steps == ["file", "rename", "folder"]
