"""A clock that is put is believed when it is right again or stays so, and what is fired by it goes on either way."""

import threading
import time
from contextlib import closing
from datetime import UTC, datetime

import pytest
from chain_case import genesis_bytes

from chain.genesis import Genesis
from gateway.index.database import create_index, open_index
from gateway.settings import Settings
from jobs.scheduler import JobsProcess
from jobs.wall_clock import LEAP, STEADY, WallClock

YEARS = 75 * 365 * 86_400


class Hands:
    """A clock that can be put, and what the machine counts."""

    def __init__(self):
        self.told, self.counted = float(int(time.time())), 1000.0
        self.clock = WallClock(lambda: self.told, lambda: self.counted)

    def leapt_by(self, *, after=1.0, put_by=0.0):
        self.told, self.counted = self.told + after + put_by, self.counted + after
        return self.clock.leapt_by()


@pytest.mark.parametrize("by", [YEARS, -YEARS, LEAP + 1])
def test_a_clock_that_was_put_is_not_believed_until_it_is_right_again(by):
    hands = Hands()
    assert hands.leapt_by() == 0
    assert hands.leapt_by(put_by=by) == by
    assert hands.leapt_by(after=STEADY - 1) == by
    assert hands.leapt_by(put_by=-by) == 0
    assert hands.leapt_by(put_by=by) == by, "it counts anew"
    assert hands.leapt_by(after=STEADY - 1) == by


def test_a_clock_that_goes_on_is_believed_wherever_it_was_put():
    hands = Hands()
    assert hands.leapt_by(put_by=7200) == 7200
    assert hands.leapt_by(after=STEADY, put_by=3600) == 10_800, "it was put once more"
    assert hands.leapt_by(after=STEADY - 1) == 10_800
    assert hands.leapt_by() == 0
    assert hands.leapt_by(put_by=-3600) == -3600


def test_what_is_put_in_small_steps_is_followed():
    hands = Hands()
    assert [hands.leapt_by(put_by=LEAP) for _ in range(50)] == [0.0] * 50


class Production:
    """Says when it is called."""

    def __init__(self):
        self.called = threading.Event()

    def produce(self, _now):
        self.called.set()


def test_slots_go_on_after_the_clock_was_ahead_and_no_block_is_made_meanwhile(tmp_path):
    url = f"sqlite:///{tmp_path / 'gateway.db'}"
    create_index(url)
    hands, production = Hands(), Production()
    with closing(open_index(url)) as index:
        genesis = Genesis.parse(genesis_bytes())
        process = JobsProcess(Settings(home=tmp_path), genesis, index, production, hands.clock)
        hands.told += YEARS
        process._produce()
        assert not production.called.is_set()
        process._start()
        try:
            process._scheduler.modify_job("produce-blocks", next_run_time=datetime.fromtimestamp(hands.told, UTC))  # as it was fired then
            hands.told -= YEARS
            process._follow_clock()
            assert production.called.wait(10)
        finally:
            process._scheduler.shutdown()
