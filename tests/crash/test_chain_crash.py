"""The engine is stopped at every durable step of making a block, once before the step and once after it; then all is opened again from disk.

Whatever the step: the ledger verifies, what was submitted is recorded once, no key has signed two hashes at one height, and a block whose
header was signed becomes final with the very bytes that were signed.
"""

import random
import signal
import subprocess
import sys
import time
from collections import defaultdict
from contextlib import suppress
from pathlib import Path

import pytest
from chain_case import (
    DELEGATES,
    ELECTED,
    GATEWAY_ID,
    GENESIS,
    HOLDERS,
    NEW,
    SmallChain,
    anchor,
    batch,
    grant,
    registration,
    revoke,
    vote,
)
from watched_key import WatchedKey

from chain.entries import GrantEntry, Revocation
from chain.store import LedgerStore

pytestmark = pytest.mark.both_databases(slow=True)

STEPS = ["put_proposal", "watermark produced", "put_signature", *["watermark voted"] * 4, "finalise"]


class Crash(BaseException):
    """Not an Exception: nothing may catch it."""


class Plan:
    """Lets `steps` durable steps happen, then stops before or after the next one."""

    def __init__(self, steps, *, persisted):
        self.steps, self.persisted, self.taken = steps, persisted, []

    def around(self, name, step):
        self.taken.append(name)
        last = len(self.taken) > self.steps
        if last and not self.persisted:
            raise Crash(name)
        result = step()
        if last:
            raise Crash(name)
        return result


class PlanOnce(Plan):
    """Fails at one step only: the process lives on, and what it holds in memory must not be behind the disk."""

    def around(self, name, step):
        if len(self.taken) > self.steps:
            return step()
        return super().around(name, step)


class PlannedWatermark:
    def __init__(self, watermark, plan):
        self._watermark, self._plan = watermark, plan

    def advance(self, duty, height, hash_):
        self._plan.around(f"watermark {duty.value}", lambda: self._watermark.advance(duty, height, hash_))

    def close(self):
        self._watermark.close()


def planned_store(plan):
    class PlannedStore(LedgerStore):
        def put_proposal(self, *args):
            return plan.around("put_proposal", lambda: super(PlannedStore, self).put_proposal(*args))

        def put_signature(self, *args):
            return plan.around("put_signature", lambda: super(PlannedStore, self).put_signature(*args))

        def finalise(self, *args):
            return plan.around("finalise", lambda: super(PlannedStore, self).finalise(*args))

    return PlannedStore


class CrashingChain(SmallChain):
    def __init__(self, folder, genesis=GENESIS, members=DELEGATES):
        self.signed_hashes = defaultdict(set)
        super().__init__(folder, genesis, keys=tuple(WatchedKey(key, self.signed_hashes) for key in members))

    def restart(self, plan=None):
        self.reopen(planned_store(plan) if plan else LedgerStore)
        if plan:
            for delegate in self.engine._delegates.values():
                delegate._watermark = PlannedWatermark(delegate._watermark, plan)


@pytest.fixture
def chain(tmp_path):
    chain = CrashingChain(tmp_path)
    chain.record(anchor(0))
    yield chain
    chain.close()


def crash(chain, step, *, persisted):
    plan = Plan(step, persisted=persisted)
    chain.restart(plan)
    with pytest.raises(Crash):
        chain.produce()
    return plan


def assert_whole(chain, anchors):
    while chain.ledger().pending() or chain.store.proposal():
        assert chain.produce() is not None
    assert chain.findings(chain.known()) == []
    assert all(len(hashes) == 1 for hashes in chain.signed_hashes.values()), "a key signed two hashes at one height"
    ledger = chain.ledger()
    head = ledger.head()
    assert head.log_size == anchors
    assert sorted(ledger.anchor_of(anchor(number).digest) for number in range(anchors)) == list(range(anchors))
    assert ledger.rejected() == []
    for (_, _, height), hashes in chain.signed_hashes.items():
        assert ledger.block(height).hash in hashes, "a signed block did not become final"


def test_the_steps_are_these(chain):
    plan = Plan(100, persisted=True)
    chain.restart(plan)
    chain.record(anchor(1))
    assert plan.taken == STEPS


@pytest.mark.parametrize("persisted", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("step", range(len(STEPS)), ids=[f"{number} {name}" for number, name in enumerate(STEPS)])
def test_a_crash_at_any_step_loses_and_doubles_nothing(chain, step, persisted):
    chain.submit(anchor(1), anchor(2))
    crash(chain, step, persisted=persisted)
    begun = chain.store.proposal()
    chain.restart()
    chain.submit(anchor(1), anchor(2), anchor(3), first_source=chain.next_source - 2)  # the outbox is drained again, and has something new
    final = chain.produce()
    if begun:
        assert final.header.to_bytes() == begun.header
        assert final.transactions == begun.transactions
        assert begun.signature in {None, final.signature}
    assert_whole(chain, 4)


CONSENTS = (grant(1, 1), grant(2, 2), batch(3, 5), revoke(1, 6), batch(7, 7))


@pytest.mark.parametrize("persisted", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("step", range(len(STEPS)), ids=[f"{number} {name}" for number, name in enumerate(STEPS)])
def test_a_crash_at_any_step_keeps_consents_and_accesses_in_their_order(chain, step, persisted):
    """One sequence number lost, doubled or overtaken on the way back, and what follows it is refused."""
    chain.submit(*CONSENTS)
    crash(chain, step, persisted=persisted)
    chain.restart()
    chain.submit(*CONSENTS, revoke(2, 8), first_source=chain.next_source - len(CONSENTS))
    while chain.ledger().pending() or chain.store.proposal():
        assert chain.produce() is not None
    ledger = chain.ledger()
    assert (ledger.rejected(), ledger.last_sequence(GATEWAY_ID), ledger.head().log_size) == ([], 8, 7)
    assert [ledger.grant(grant(number, number).grant_id) for number in (1, 2)] == [
        GrantEntry(number, grant(number, number).commitment, GATEWAY_ID, number, revoked)
        for number, revoked in ((1, Revocation(4, 6)), (2, Revocation(6, 8)))
    ]
    assert [ledger.access_batch_of(GATEWAY_ID, number) for number in range(1, 9)] == [None, None, 3, 3, 3, None, 5, None]
    assert chain.findings(chain.known()) == []
    assert all(len(hashes) == 1 for hashes in chain.signed_hashes.values()), "a key signed two hashes at one height"


@pytest.mark.campaign
@pytest.mark.parametrize("persisted", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("second", range(len(STEPS)))
@pytest.mark.parametrize("first", range(len(STEPS)))
def test_a_second_crash_on_the_way_back(chain, first, second, persisted):
    chain.submit(anchor(1), anchor(2))
    crash(chain, first, persisted=True)
    plan = Plan(second, persisted=persisted)
    chain.restart(plan)
    with suppress(Crash):
        chain.produce()
    chain.restart()
    chain.submit(anchor(3))
    assert_whole(chain, 4)


@pytest.fixture
def electing(tmp_path):
    """Three blocks of an epoch of four; the next one elects a new delegate in the place of an old one."""
    chain = CrashingChain(tmp_path, ELECTED, (*DELEGATES, NEW[0]))
    chain.record(registration(NEW[0]), signer=HOLDERS[0])
    for holder in HOLDERS:
        chain.submit(vote(*DELEGATES[:3], NEW[0]), signer=holder)
    chain.produce()
    chain.record(anchor(0))
    yield chain
    chain.close()


@pytest.mark.parametrize("persisted", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("step", [1, 6, 7], ids=lambda step: f"{step} {STEPS[step]}")
def test_a_crash_in_the_block_that_elects_changes_nothing_of_the_election(electing, step, persisted):
    chain = electing
    chain.submit(anchor(1))
    crash(chain, step, persisted=persisted)
    chain.restart()
    while chain.ledger().height() < 9:
        chain.submit(anchor(chain.slot + 10))
        chain.produce()
    assert set(chain.ledger().delegates.acting().keys) == {member.public for member in (*DELEGATES[:3], NEW[0])}
    assert all(len(hashes) == 1 for hashes in chain.signed_hashes.values()), "a key signed two hashes at one height"
    assert len(chain.ledger().delegates.handovers(9)) == 1
    assert chain.findings(chain.known()) == []


@pytest.mark.sqlite_only
def test_a_watermark_without_its_proposal_stops_that_height(chain):
    """A ledger put back from a backup while the marks stay: the keys refuse, the chain halts, nothing forks."""
    chain.submit(anchor(1))
    image = chain.folder / "backup.db"
    chain.close()
    image.write_bytes((chain.folder / "ledger.db").read_bytes())
    chain.open()
    chain.produce()
    chain.close()
    (chain.folder / "ledger.db").write_bytes(image.read_bytes())
    chain.open()
    chain.submit(anchor(2))
    with pytest.raises(Exception, match="not signed"):
        chain.produce()
    assert all(len(hashes) == 1 for hashes in chain.signed_hashes.values())


PRODUCER = """
import sys
sys.path[:0] = [sys.argv[1], sys.argv[2]]
from pathlib import Path
from chain_case import SmallChain, anchor, batch, grant, revoke
chain = SmallChain.there(Path(sys.argv[3]), int(sys.argv[4]))
print("ready", flush=True)
for number in range(int(sys.argv[4]), 1000000):
    at = 4 * number
    bodies = anchor(number), grant(number, at + 1), batch(at + 2, at + 2), revoke(number, at + 3)
    chain.engine.submit_all([(chain.signed(body), at + place) for place, body in enumerate(bodies)])
    print(number, flush=True)
    chain.produce()
"""


def rounds_of_kill(folder, rounds):
    """Kills a real process at random moments; what it had acknowledged must be there afterwards."""
    SmallChain(folder).close()
    acknowledged, start, randomness = set(), 1, random.Random(20240229)
    tests = Path(__file__).parents[1]
    for _ in range(rounds):
        command = [sys.executable, "-c", PRODUCER, str(tests), str(tests.parent), str(folder), str(start)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout.readline() == "ready\n"
            time.sleep(randomness.uniform(0.02, 0.25))
            process.send_signal(signal.SIGKILL)
            numbers = {int(line) for line in process.stdout.read().splitlines(keepends=True) if line.endswith("\n")}
        acknowledged |= numbers
        start = max(acknowledged, default=0) + 1000
    return acknowledged, start


@pytest.mark.sqlite_only
@pytest.mark.parametrize("rounds", [3, pytest.param(40, marks=pytest.mark.campaign)])
def test_kill_minus_nine(tmp_path, rounds):
    acknowledged, slot = rounds_of_kill(tmp_path, rounds)
    chain = SmallChain.there(tmp_path, slot)
    while chain.ledger().pending() or chain.store.proposal():
        chain.produce()
    assert len(acknowledged) > rounds
    ledger = chain.ledger()
    assert all(ledger.anchor_of(anchor(number).digest) is not None for number in acknowledged)
    for number in acknowledged:
        given, read = ledger.grant(grant(number, 1).grant_id), ledger.access_batch_of(GATEWAY_ID, 4 * number + 2)
        assert (given.sequence, given.revoked.sequence) == (4 * number + 1, 4 * number + 3)
        assert given.log_index < read < given.revoked.log_index
    assert ledger.rejected() == []
    assert chain.findings(chain.known()) == []
    chain.close()


@pytest.mark.parametrize("persisted", [False, True])
@pytest.mark.parametrize("step", range(8))
def test_an_engine_goes_on_after_a_write_whose_answer_was_lost(chain, step, persisted):
    plan = PlanOnce(step, persisted=persisted)
    chain.restart(plan)
    chain.submit(anchor(1))
    with pytest.raises(Crash):
        chain.produce()
    for number in range(2, 5):
        chain.record(anchor(number))
    assert_whole(chain, 5)
