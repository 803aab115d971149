"""How long the engine waits for delegates elsewhere, on a real table and a clock that the test moves."""

import databases
import pytest

from chain.ballot import Ballot
from chain.watermark import Duty
from gateway.index import ballots
from gateway.index.database import open_index
from jobs.mailbox import IndexMailbox

KEYS = [bytes([number]) * 32 for number in range(3)]
HASH = bytes(32)


class Waiting:
    """A mailbox of a slot of ten seconds: 4 to wait, and 1.5 once there is enough. `arrivals` are (at, ballot)."""

    def __init__(self, index, *arrivals):
        self.index, self.now, self.arrivals = index, 0.0, list(arrivals)
        self.mailbox = IndexMailbox(index, 10, lambda: self.now, self.sleep)

    def sleep(self, seconds):
        self.now += seconds
        while self.arrivals and self.arrivals[0][0] <= self.now:
            with self.index.atomic() as connection:
                ballots.put(connection, self.arrivals.pop(0)[1])

    def collect(self, needed):
        return set(self.mailbox.collect(Duty.VOTE, 7, HASH, KEYS, needed)), self.now


@pytest.fixture
def index(tmp_path):
    index = open_index(databases.new_gateway(tmp_path))
    yield index
    index.close()


def vote(number, height=7, hash_=HASH, duty=Duty.VOTE):
    return Ballot(duty, height, hash_, KEYS[number], bytes([number]) * 64)


def test_all_at_once_is_no_wait(index):
    with index.atomic() as connection:
        for number in range(3):
            ballots.put(connection, vote(number))
    assert Waiting(index).collect(2) == (set(KEYS), 0.0)


def test_the_last_one_has_a_moment_after_the_quorum(index):
    sent, until = Waiting(index, (1.0, vote(0)), (2.0, vote(1)), (3.0, vote(2))).collect(2)
    assert sent == set(KEYS)
    assert until == pytest.approx(3.0, abs=0.1)


def test_nobody_is_waited_for_longer_than_a_moment_after_the_quorum(index):
    sent, until = Waiting(index, (1.0, vote(0)), (2.0, vote(1)), (3.8, vote(2))).collect(2)
    assert sent == set(KEYS[:2])
    assert until == pytest.approx(3.5, abs=0.1)


def test_without_a_quorum_the_wait_ends_within_the_slot(index):
    sent, until = Waiting(index, (1.0, vote(0))).collect(2)
    assert sent == {KEYS[0]}
    assert until == pytest.approx(4.0, abs=0.1)


def test_where_local_votes_are_enough_the_others_have_a_moment_all_the_same(index):
    assert Waiting(index, (1.0, vote(1))).collect(0)[0] == {KEYS[1]}


def test_what_is_of_another_block_or_duty_does_not_count(index):
    with index.atomic() as connection:
        for one in (vote(0, height=6), vote(1, hash_=bytes(31) + b"x"), vote(2, duty=Duty.PRODUCE)):
            ballots.put(connection, one)
    assert Waiting(index).collect(1)[0] == set()


def test_of_each_delegate_and_duty_the_last_is_kept(index):
    with index.atomic() as connection:
        ballots.put(connection, vote(0, height=6))
        ballots.put(connection, vote(0))
        assert ballots.has(connection, vote(0))
        assert not ballots.has(connection, vote(0, height=6))
