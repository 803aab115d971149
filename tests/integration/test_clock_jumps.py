"""The clock is set an hour forward, and an hour back again: no bad block, a warning that the operator sees, and the chain goes on."""

import os
import time
from contextlib import closing

import pytest
from chain_case import DELEGATES, ELECTED, GENESIS, SLOT_SECONDS, STARTED_AT, anchor
from chain_with_outbox import ChainWithOutbox
from delegate_case import Round

from chain.engine import NoQuorum
from chain.watermark import read_marks
from gateway import heartbeat
from gateway.readiness import ChainWatch

HOUR = 3600 // SLOT_SECONDS  # in slots


def test_a_chain_whose_clock_was_an_hour_ahead_waits_and_goes_on(tmp_path):
    """Slots are passed over, which counts against nobody: an absence is one from a block that became final."""
    with closing(ChainWithOutbox(tmp_path, genesis=ELECTED)) as gateway:
        for number in range(3):
            gateway.put(number)
            gateway.slot_job()
        gateway.slot += HOUR
        for number in range(3, 6):
            gateway.put(number)
            assert gateway.slot_job()[1] == []
        gateway.slot -= HOUR
        gateway.put(6)
        assert gateway.slot_job() == (
            None,
            [("warning", "the clock is behind the last block: none is produced until it has caught up", None)],
        )
        assert gateway.slot_job() == (None, []), "it is said once"
        head = gateway.ledger().head()
        watch = ChainWatch(ELECTED)
        assert "seconds behind the last block" in watch.look(gateway.now(), height=6, slot=head.slot, waiting=0)
        gateway.reopen()
        assert gateway.slot_job()[1], "who starts then hears of it, too"
        gateway.slot = head.slot
        assert watch.look(gateway.now(), height=6, slot=head.slot, waiting=1) is None
        assert gateway.slot_job()[0].header.height == 7
        assert gateway.findings(gateway.known()) == []
        delegates = gateway.ledger().delegates
        assert set(delegates.acting().keys) == {member.public for member in DELEGATES}
        assert len(delegates.electable()) == 4, "nobody is jailed"


@pytest.fixture
def round_(tmp_path):
    with closing(Round(tmp_path)) as made:
        yield made


def slots(round_, clock, count):
    """So many slots of the gateway, whose clock is another than that of the delegates elsewhere."""
    made = []
    for _ in range(count):
        clock[0] += SLOT_SECONDS
        round_.number += 1
        round_.chain.submit(anchor(round_.number))
        try:
            made.append(round_.chain.produce())
        except NoQuorum:
            made.append(None)
    return made


def marks(round_):
    return [read_marks(other.folder / "key.watermark", GENESIS.chain_id, other.member.public) for other in round_.others]


def jump_to(round_, *, is_ours):
    """How many slots forward the next one is of a producer here, or of one elsewhere: an hour or a little more."""
    committed, ours = round_.chain.engine._committed, round_.chain.keys[0].public
    slots = range(HOUR, HOUR + 50)
    owner = {ahead: committed.tip.acting.keys[committed.machine.producer(committed.tip, round_.chain.slot + ahead + 1)] for ahead in slots}
    return next(ahead for ahead in slots if (owner[ahead] == ours) == is_ours)


@pytest.mark.parametrize("is_ours", [True, False], ids=["own slot", "slot of one elsewhere"])
def test_delegates_elsewhere_sign_no_block_of_an_hour_to_come(round_, is_ours):
    clock = [STARTED_AT + 0.5]
    for other in round_.others:
        other.delegation._clock = lambda: clock[0]
    assert all(slots(round_, clock, 2))
    before, ahead = marks(round_), jump_to(round_, is_ours=is_ours)
    round_.chain.slot += ahead
    assert slots(round_, clock, 1) == [None]
    assert marks(round_) == before
    refused = [other.events("refused")[-1]["detail"] for other in round_.others if other.events("refused")]
    assert set(refused) == {"the block is from a slot that has not begun"}
    assert len(refused) == (3 if is_ours else 1)
    round_.chain.slot -= ahead
    if is_ours:  # it is signed, and can only become final once its slot has come
        assert slots(round_, clock, 1) == [None]
        round_.chain.slot += ahead
        clock[0] += ahead * SLOT_SECONDS
    assert slots(round_, clock, 1)[0].header.height == 3, "an unsigned one is dropped, and the next slot has its turn"
    assert round_.chain.findings(round_.chain.known()) == []


def test_a_sign_of_life_from_before_the_clock_was_set_back_is_none(tmp_path):
    heartbeat.beat(tmp_path)
    now = time.time()
    assert heartbeat.is_beating(tmp_path, now)
    os.utime(tmp_path / "jobs.heartbeat", (now + 3600, now + 3600))
    assert not heartbeat.is_beating(tmp_path, now)
