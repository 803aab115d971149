"""When the delegates of a restored gateway may sign, and from which marks they begin."""

from dataclasses import replace

import pytest

from chain.keys import ChainId, SigningKey
from chain.watermark import DoubleSign, Duty, Watermark, create_watermark
from gateway.backup.manifest import BackupRefused
from gateway.backup.signing_again import Evidence, first_marks

HEAD, PROPOSAL = bytes([1]) * 32, bytes([2]) * 32
BACKUP = Evidence(height=7, mark=(7, HEAD), seen=(), told=None, newest_ledger=False, regardless=False)


def test_a_backup_alone_does_not_say_what_was_signed_after_it():
    with pytest.raises(BackupRefused, match="--known-height"):
        first_marks(BACKUP)
    with pytest.raises(BackupRefused, match="--known-height"):
        first_marks(replace(BACKUP, seen=(3, 7)))  # what was as high as the backup says nothing of later


def test_who_is_to_be_asked_is_said():
    for known in ({}, {"seen": (9,)}):
        with pytest.raises(BackupRefused, match=r"Nordvik, Sorvik.*delegate verify.*ledger\.db"):
            first_marks(replace(BACKUP, elsewhere=("Nordvik", "Sorvik"), **known))


@pytest.mark.parametrize("known", [{"seen": (9,)}, {"told": 8}, {"newest_ledger": True, "seen": (8,)}, {"told": 7, "seen": (8,)}])
def test_nobody_signs_below_what_is_known_to_be_final(known):
    with pytest.raises(BackupRefused, match="signed twice"):
        first_marks(replace(BACKUP, **known))


@pytest.mark.parametrize("known", [{"told": 7}, {"newest_ledger": True}, {"regardless": True}, {"regardless": True, "seen": (9,)}])
def test_the_marks_are_the_head(known):
    assert first_marks(replace(BACKUP, **known)) == dict.fromkeys(Duty, (7, HEAD))


def test_a_waiting_proposal_is_the_only_block_that_may_follow(tmp_path):
    key, chain_id, path = SigningKey.from_seed(bytes(32)), ChainId(bytes(32)), tmp_path / "delegate-1.watermark"
    create_watermark(path, chain_id, key.public, first_marks(replace(BACKUP, mark=(8, PROPOSAL), told=7)))
    watermark = Watermark(path, chain_id, key.public)
    for duty in Duty:
        with pytest.raises(DoubleSign):
            watermark.advance(duty, 8, HEAD)
        with pytest.raises(DoubleSign):
            watermark.advance(duty, 7, HEAD)
        watermark.advance(duty, 8, PROPOSAL)
        watermark.advance(duty, 9, HEAD)
    watermark.close()


def test_what_the_ledger_shows_to_be_untrue_is_refused():
    with pytest.raises(BackupRefused, match="itself has block 7"):
        first_marks(replace(BACKUP, told=6))


def test_an_empty_chain_begins_without_marks():
    assert first_marks(replace(BACKUP, height=0, mark=None, told=0)) == {}
