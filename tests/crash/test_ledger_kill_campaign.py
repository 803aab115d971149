"""A hundred kills at random moments of a chain under load: of the jobs process, of a delegate elsewhere, or of every process of the gateway.

Afterwards the ledger verifies, each source is recorded once, every copy is the same chain, and no key has signed two hashes at one height.
The seed is printed; LEDGER_KILL_SEED repeats its choices (not its timing), LEDGER_KILLS changes how many kills there are.
"""

import json
import os
import random
import signal
import threading
import time
from collections import Counter, defaultdict
from contextlib import closing

import pytest
from delegate_process import DelegateProcess
from gateway_process import GatewayProcess

from chain.ledger import Ledger
from chain.transactions import AuditReportBody, parse_transaction
from gateway.bootstrap import keyring_of, read_genesis
from gateway.errors import Unavailable
from gateway.index import outbox
from gateway.index.database import open_index
from gateway.settings import load_settings

KILLS = int(os.environ.get("LEDGER_KILLS", "100"))
SEED = int(os.environ.get("LEDGER_KILL_SEED", "0")) or random.SystemRandom().randrange(1, 1 << 32)
LONGEST = 600  # seconds of kills, on a machine that is too slow for all of them
NAMES = ("nordvik", "osthavn", "vestby")
TARGETS = {"all": 15, "jobs": 35, **dict.fromkeys(NAMES, 17)}


class Load(threading.Thread):
    """Rows into the outbox, as the gateway's own processes write them; `put` are the digests that the database has acknowledged.

    Reports of audits: a restart looks for the container of each ANCHOR.
    """

    def __init__(self, settings, chance):
        super().__init__(daemon=True)
        self.settings, self.chance, self.put, self.stopped = settings, chance, [], threading.Event()

    def run(self):
        with closing(open_index(self.settings.effective_database_url, keyring_of(self.settings))) as index:
            while not self.stopped.wait(0.03):
                digest = self.chance.randbytes(32)
                try:
                    with index.atomic() as connection:
                        outbox.add(connection, AuditReportBody(digest, 1, 0), 0)
                except Unavailable:
                    continue
                self.put.append(digest)


class World:
    """One delegate with the gateway, three elsewhere; four fifths of the time all are up."""

    def __init__(self, folder):
        self.delegates = {name: DelegateProcess(folder, name) for name in NAMES}
        given = [part for name, one in self.delegates.items() for part in ("--delegate", f"{name}={one.public}")]
        self.gateway = GatewayProcess(folder, *given).start()
        self.port = self.gateway.url.rpartition(":")[2]
        for one in self.delegates.values():
            self.start(one)
        self.settings = load_settings(self.gateway.home, {})

    def start(self, one):
        """With the genesis each time: it may have been killed before it had a home."""
        one.start(self.gateway.url, "--genesis", self.gateway.home / "genesis.json")

    def kill(self, target, chance):
        if target in self.delegates:
            one = self.delegates[target]
            assert one.process.poll() is None, one.out.read_text()[-500:]
            one.end(signal.SIGKILL)
            self.start(one)
        elif target == "jobs" and self.gateway.process.poll() is None:
            self.gateway.kill9_one("jobs", chance)
        elif self.gateway.process.poll() is None:
            self.gateway.kill9()
        if self.gateway.process.poll() is not None:  # killed, or it gave up on jobs that end again and again
            self.gateway.start("--port", self.port)

    def close(self):
        for one in self.delegates.values():
            one.end(signal.SIGTERM)
        if self.gateway.process.poll() is None:
            self.gateway.stop()


@pytest.fixture
def world(tmp_path):
    world = World(tmp_path)
    yield world
    world.close()


def killed(world, chance):
    """How often each was."""
    count, until = Counter(), time.monotonic() + LONGEST
    targets = chance.choices(list(TARGETS), list(TARGETS.values()), k=KILLS)
    for target in targets:
        if time.monotonic() > until:
            break
        time.sleep(chance.uniform(0.0, 3.0))
        world.kill(target, chance)
        count[target] += 1
    return count


@pytest.mark.campaign
@pytest.mark.timeout(1800)
def test_a_hundred_kills_lose_nothing_double_nothing_and_fork_nothing(world):
    print(f"LEDGER_KILL_SEED={SEED}")
    chance = random.Random(SEED)
    load = Load(world.settings, random.Random(SEED + 1))
    load.start()
    count = killed(world, chance)
    load.stopped.set()
    load.join()
    status = world.gateway.wait_final(240)
    print(f"{count.total()} kills: {dict(count)}; {status['height']} blocks, {len(load.put)} transactions")
    assert status["rejected"] == []
    wait_even(world, status["height"])
    check_recorded(world, load.put)
    check_signed(world)
    for one in world.delegates.values():
        told = json.loads(one.run("verify", "--home", one.home, "--key", one.key, "--gateway", world.gateway.url, "--json"))
        assert told["findings"] == []
    world.close()
    report = world.gateway.json("ledger", "verify")
    assert (report["findings"], report["could_not_check"]) == ([], [])


def wait_even(world, height):
    """Until every delegate has the whole chain."""
    deadline = time.monotonic() + 120
    while any(max((told["height"] for told in one.said("followed")), default=0) < height for one in world.delegates.values()):
        assert time.monotonic() < deadline, [one.out.read_text()[-500:] for one in world.delegates.values()]
        time.sleep(0.2)


def check_recorded(world, put):
    with closing(Ledger.open(world.settings.effective_ledger_url, read_genesis(world.settings))) as ledger:
        recorded = Counter()
        for height in range(1, ledger.height() + 1):
            bodies = [parse_transaction(raw).body for raw in ledger.block(height).transactions]
            recorded.update(body.digest for body in bodies if isinstance(body, AuditReportBody))
    assert len(put) > 2 * KILLS, "there was no load"
    assert recorded == Counter(put)


def check_signed(world):
    """All that the delegates elsewhere ever said to have signed, before and after each kill."""
    for name, one in world.delegates.items():
        hashes = defaultdict(set)
        for told in one.said("signed"):
            hashes[told["duty"], told["height"]].add(told["hash"])
        assert hashes, name
        assert all(len(signed) == 1 for signed in hashes.values()), name
        refused = {told["detail"].partition(":")[2] for told in one.said("refused")}
        assert all("has already produced another block" in reason for reason in refused), (
            name,
            refused,
        )  # its block was dropped, as it came late
