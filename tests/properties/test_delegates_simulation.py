"""Whatever delegates do: never two final blocks at a height, progress while an honest quorum is there, fair turns."""

import contextlib
import tempfile
from pathlib import Path
from random import Random

import pytest
from chain_case import ELECTED, HOLDERS, anchor
from delegates_simulation import Forgetful, Network, check_fair_turns, check_one_block_a_height, check_stake, removed
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from chain.stake import TransferBody
from chain.watermark import Watermark

FIRST = tuple(f"delegate {number}" for number in range(4))
LATER = tuple(f"new delegate {number}" for number in range(4))
NAMES = (*FIRST, *LATER)
names, holders = st.sampled_from(NAMES), st.sampled_from(HOLDERS)


class Delegates(RuleBasedStateMachine):
    """Epochs of four blocks. At most one delegate cheats at a time: fewer than a third of any set."""

    @initialize(seed=st.integers(0, 1 << 32))
    def begin(self, seed):
        self.folder = contextlib.ExitStack()
        path = Path(self.folder.enter_context(tempfile.TemporaryDirectory()))
        self.network = Network(path, ELECTED, NAMES, seed)

    @rule(slots=st.integers(1, 6))
    def go_on(self, slots):
        for _ in range(slots):
            self._slot()

    def _slot(self):
        network = self.network
        network.submit(anchor(network.slot))
        height, halted = network.height, network.equivocated
        due = network.honest_quorum() and not halted
        network.step()
        if due and network.proposals and not network.equivocated:
            raise AssertionError("a quorum was there, and its proposal is not final")
        assert network.height <= height + 1

    @rule(name=names, holder=holders)
    def register(self, name, holder):
        self.network.register(name, holder)

    @rule(chosen=st.sets(names), holder=holders)
    def approve(self, chosen, holder):
        self.network.approve(chosen, holder)

    @rule(chosen=st.sets(names, min_size=4))
    def approve_together(self, chosen):
        for holder in HOLDERS:
            self.network.approve(chosen, holder)

    @rule(weight=st.integers(1, 600), holder=holders, to=holders)
    def transfer(self, weight, holder, to):
        self.network.submit(TransferBody(to.public, weight), holder)

    @rule(name=names)
    def go_down(self, name):
        self.network.down.add(name)

    @rule(name=names)
    def come_back(self, name):
        self.network.down.discard(name)
        self.network.unjail(name)

    @rule(name=names)
    def be_late(self, name):
        self.network.late.add(name)

    @rule(name=names)
    def crash(self, name):
        self.network.crash(name)

    @rule(name=names)
    def cheat(self, name):
        tip = self.network.replica.tip
        if not self.network.cheats & {self.network.names[key] for key in (*tip.acting.keys, *tip.following.keys)}:
            self.network.cheats = {name}

    @rule()
    def be_honest_again(self):
        self.network.cheats = set()

    @invariant()
    def all_holds(self):
        if hasattr(self, "network"):
            check_one_block_a_height(self.network)
            check_stake(self.network)

    def teardown(self):
        if hasattr(self, "network"):
            check_fair_turns(self.network)
            self.network.close()
            self.folder.close()


SHORT = settings(max_examples=10, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck))


def assert_every_run_holds(runs):
    """Each rule and invariant of the machine asserts for itself."""
    run_state_machine_as_test(Delegates, settings=runs)


def test_nobody_can_fork_or_stop_an_honest_quorum():
    assert_every_run_holds(SHORT)


def test_without_watermarks_a_single_cheat_forks_the_chain(tmp_path):
    """The simulation sees what the rule is there against."""
    for watermark, forks in ((Watermark, False), (lambda *_: Forgetful(), True)):
        folder = tmp_path / str(forks)
        folder.mkdir()
        network = Network(folder, ELECTED, FIRST, watermark=watermark)
        network.cheats = {"delegate 1"}
        for _ in range(12):
            network.submit(anchor(network.slot))
            network.step()
        network.close()
        if forks:
            with pytest.raises(AssertionError, match="2 blocks are final"):
                check_one_block_a_height(network)
        else:
            check_one_block_a_height(network)
            assert "delegate 1" in removed(network)


def campaign(folder, slots, seed):
    """One network for at most so many slots, with everything at random; the slots that it lived, until an equivocation halts it."""
    network, random = Network(folder, ELECTED, NAMES, seed), Random(seed)
    stuck = made = 0
    for _ in range(slots):
        _disturb(network, random)
        network.submit(anchor(network.slot))
        due, before = network.honest_quorum() and not network.equivocated, network.height
        network.step()
        made += network.height - before
        assert not (due and network.proposals and not network.equivocated)
        stuck = stuck + 1 if network.equivocated else 0
        check_one_block_a_height(network)
        if stuck > 20:
            break
    check_stake(network)
    rounds = check_fair_turns(network)
    network.close()
    return network.slot, made, rounds, len(removed(network)), len({acting.hash for acting in network.sets.values()})


def _disturb(network, random):
    name, holder, dice = random.choice(NAMES), random.choice(HOLDERS), random.random()
    if dice < 0.04:
        network.register(name, holder)
    elif dice < 0.10:
        chosen = random.sample(NAMES, random.randint(4, 8))
        for one in HOLDERS:
            network.approve(chosen, one)
    elif dice < 0.12:
        network.submit(TransferBody(random.choice(HOLDERS).public, random.randint(1, 50)), holder)
    elif dice < 0.17:
        network.down.add(name)
    elif dice < 0.25:
        for back in sorted(network.down):
            network.down.discard(back)
            network.unjail(back)
    elif dice < 0.35:
        network.late.add(name)
    elif dice < 0.40:
        network.crash(name)
    elif dice < 0.41 and not network.cheats:
        network.cheats, network.confusion = {name}, 0.1
    elif dice < 0.44:
        network.cheats = set()


def test_a_short_campaign(tmp_path):
    slots, made, rounds, _, sets = campaign(tmp_path, 150, seed=3)
    assert (slots, sets > 1) == (150, True)
    assert made > 90
    assert rounds > 10


@pytest.mark.campaign
@pytest.mark.timeout(3600)
def test_ten_thousand_slots(tmp_path):
    slots = made = seed = gone = changes = 0
    while slots < 10_000:
        folder = tmp_path / str(seed)
        folder.mkdir()
        lived, blocks, _, removals, sets = campaign(folder, 1000, seed)
        slots, made, seed, gone, changes = slots + lived, made + blocks, seed + 1, gone + removals, changes + sets
    assert made > 0.5 * slots
    assert gone >= 1
    assert changes > seed


@pytest.mark.campaign
@pytest.mark.timeout(3600)
def test_nobody_can_fork_or_stop_an_honest_quorum_at_length():
    assert_every_run_holds(settings(SHORT, max_examples=200, stateful_step_count=60))
