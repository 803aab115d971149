"""Every durable write of a gateway, its jobs process and the delegates elsewhere fails once: before it took effect, and after it did.

The writes are found where they happen, at each commit of each database and each watermark's file, so none is forgotten when one is added.
Then all is opened again from disk and goes on by the ordinary code. Whatever failed: every copy of the chain verifies, no key has signed two
hashes at one height, and what was put into the outbox is recorded once.
"""

import threading
import time
from collections import defaultdict
from contextlib import closing, suppress

import databases
import pytest
from chain_case import DELEGATES, ELECTED, GATEWAY, HOLDERS, NEW, SmallChain, anchor, registration, vote
from chain_with_outbox import KEYRING
from delegate_case import Elsewhere, Shown
from sqlalchemy import event
from watched_key import WatchedKey

from chain import watermark
from chain.ballot import Ballot
from chain.engine import EmbeddedEngine
from chain.errors import LedgerError
from chain.ledger import Ledger
from chain.store import LedgerStore
from chain.verify import verify_chain
from gateway.client.blocks import BallotNotTaken
from gateway.errors import Refused
from gateway.index import outbox
from gateway.index.database import create_index, open_index
from gateway.voting import take_ballot
from jobs.mailbox import IndexMailbox
from jobs.produce_blocks import BlockProduction

pytestmark = pytest.mark.both_databases(slow=True)

ELECTING = 4  # the height that ends the first epoch
LATER = 6  # a height of the epoch in which the set that it elects is known
AWAY = 3  # the delegate that is not there in the first epoch, and is jailed for it


class Crash(BaseException):
    """Not an Exception: nothing may catch it."""


class Plan:
    """Lets `writes` durable writes happen, then stops before the next one takes effect, or after it. Does so once.

    Those of its own thread: when the thread that keeps a lease extends it is for the clock to say.
    """

    def __init__(self, writes=None, *, persisted=False):
        self.left, self.persisted, self.seen, self.thread = writes, persisted, [], threading.get_ident()

    def around(self, name, write):
        self.seen.append(name)
        is_it = self.left == 0
        if self.left is not None:
            self.left -= 1
        if is_it and not self.persisted:
            raise Crash(name)
        result = write()
        if is_it:
            raise Crash(name)
        return result

    def watch(self, name, engine):
        """Every commit of a database that has changed something, named by the table that is changed first."""
        changed, dialect = {}, engine.dialect
        commit = dialect.do_commit

        @event.listens_for(engine, "before_cursor_execute")
        def note(connection, _cursor, statement, *_):
            words = statement.split()
            if words[0] in ("INSERT", "UPDATE", "DELETE"):
                table, key = words[1 if words[0] == "UPDATE" else 2], id(connection.connection.dbapi_connection)
                if changed.setdefault(key, table) == "lease":  # which every other write of several hosts begins with
                    changed[key] = table

        def do_commit(connection):
            table = changed.pop(id(connection.dbapi_connection), None)
            is_counted = table is not None and threading.get_ident() == self.thread
            return commit(connection) if not is_counted else self.around(f"{name} {table}", lambda: commit(connection))

        dialect.do_commit = do_commit


class Taken(Shown):
    """Ballots go where those that come over HTTP go."""

    def send(self, ballot):
        try:
            take_ballot(self.chain.index, self.chain.ledger(), ballot.to_bytes(), int(self.chain.now()))
        except Refused as refusal:
            raise BallotNotTaken(str(refusal)) from refusal
        self.ballots.append(Ballot.from_bytes(ballot.to_bytes()))


class Asked:
    """The jobs process's mailbox; before it is looked into, every delegate elsewhere has its turn."""

    def __init__(self, world):
        self.world = world

    def collect(self, *block):
        self.world.turns()
        return IndexMailbox(self.world.chain.index, 1, clock=self.world.clock, sleep=lambda _: None).collect(*block)


class World:
    """One delegate here, three and a later one elsewhere; epochs of four blocks, and an election at the fourth."""

    def __init__(self, folder):
        self.signed = defaultdict(set)
        (folder / "gateway").mkdir()
        self.folder, self.ticks, self.others, self.plan, self.put_in = folder, 0, [], None, 0
        self.chain = SmallChain(folder / "gateway", ELECTED, [WatchedKey(DELEGATES[0], self.signed)])
        self.index_url = databases.url(folder / "gateway", "gateway")
        if databases.server() is None:
            create_index(self.index_url)
        self.shown = Taken(self.chain)
        for number, member in enumerate((*DELEGATES[1:], NEW[0]), 1):
            self.others.append(Elsewhere(folder / f"other {number}", WatchedKey(member, self.signed), self.shown, self.chain.now, ELECTED))
        self.others[AWAY - 1].is_up = False
        self.restart()

    def clock(self):
        """Runs on with each look, so that nobody is waited for."""
        self.ticks += 1
        return float(self.ticks)

    def restart(self, plan=None):
        """All begin again with nothing but what is on disk."""
        self.close()
        self.plan = plan
        chain = self.chain
        chain.index = open_index(self.index_url, KEYRING)
        chain.store = LedgerStore.open(chain.url, ELECTED)
        chain.ledger = lambda: Ledger(chain.store, ELECTED)  # no connections of its own, of which a server has not many
        if plan:
            plan.watch("ledger", chain.store.engine)
            plan.watch("gateway", chain.index.engine)
        own = [(member, chain.watermark(member)) for member in chain.keys]
        chain.engine = EmbeddedEngine.open(chain.store, ELECTED, own, Asked(self))
        self.production = BlockProduction(chain.index, chain.engine, chain.ledger(), GATEWAY)
        for number, other in enumerate(self.others, 1):
            other.open()
            if plan:
                plan.watch(f"copy {number}", other.store.engine)
        while plan is None and not chain.engine.is_producer():
            time.sleep(0.05)  # what crashed has its lease until that ends

    def close(self):
        if self.chain.engine:
            self.chain.close()
            if hasattr(self.chain, "index"):
                self.chain.index.close()
        for other in self.others:
            if other.store is not None:
                other.close()
                other.store = None

    def turns(self):
        for other in self.others:
            if other.is_up:
                other.delegation.turn()

    def put(self):
        """As a worker of the gateway does, whose own crashes are tested elsewhere."""
        with closing(open_index(self.index_url, KEYRING)) as index, index.atomic() as connection:
            outbox.add(connection, anchor(self.put_in), 0)
        self.put_in += 1

    def slot(self):
        self.chain.slot += 1
        try:
            return self.production.produce(self.chain.now())
        except LedgerError as error:
            raise AssertionError("the slot's job raises nothing") from error

    def record(self):
        self.put()
        for _ in range(12):
            if self.slot() is not None:
                return
        raise AssertionError("no block")

    def until(self, height):
        while self.chain.ledger().height() < height:
            self.record()

    def waiting(self):
        with self.chain.index.reading() as connection:
            return outbox.size(connection) + self.chain.ledger().pending() or self.chain.store.proposal() is not None


@pytest.fixture
def world(tmp_path):
    world = World(tmp_path)
    chain = world.chain
    chain.submit(registration(NEW[0]), signer=HOLDERS[0], first_source=1)
    for number, holder in enumerate(HOLDERS, 2):
        chain.submit(vote(*DELEGATES[:3], NEW[0]), signer=holder, first_source=number)
    world.until(2)
    yield world
    world.close()


def fault(world, writes, *, persisted):
    plan = Plan(writes, persisted=persisted)
    world.restart(plan)
    with suppress(Crash):
        for _ in range(8):
            world.put()
            world.slot()
            world.turns()
    assert plan.left < 0, "there are not so many writes"
    return plan.seen[-1]


def assert_whole(world, stake_transactions=4):
    world.restart()
    world.until(ELECTING)
    world.others[AWAY - 1].is_up = True
    world.until(LATER)
    while world.waiting():
        world.slot()
    world.turns()
    for (_, _, height), hashes in world.signed.items():
        assert len(hashes) == 1, f"a key signed two hashes at height {height}"
    ledger = world.chain.ledger()
    assert ledger.rejected() == []
    assert ledger.head().log_size == world.put_in + stake_transactions
    assert all(ledger.anchor_of(anchor(number).digest) is not None for number in range(world.put_in))
    elected = {member.public for member in (*DELEGATES[:3], NEW[0])}
    assert set(ledger.delegates.following().keys) == elected, "the election was another"
    assert ledger.delegates.delegate(DELEGATES[AWAY].public).jailed
    stores = [(world.chain.store, world.chain.known()), *((one.store, known_to(one)) for one in world.others)]
    for store, known in stores:
        assert list(verify_chain(store, ELECTED, known)) == []
    assert {(one.replica.height, one.replica.hash) for one in world.others} == {(ledger.height(), ledger.block(ledger.height()).hash)}


def known_to(other):
    marks = watermark.read_marks(other.folder / "key.watermark", ELECTED.chain_id, other.member.public)
    return [mark for duty, mark in marks.items() if duty is watermark.Duty.VOTE]


@pytest.fixture(autouse=True)
def watched_marks(monkeypatch, request):
    """The watermarks' writes are planned as those of the databases are."""
    write = watermark._write

    def planned(path, *mark):
        plan = request.getfixturevalue("world").plan if "world" in request.fixturenames and ready(request) else None
        return write(path, *mark) if plan is None else plan.around("a watermark", lambda: write(path, *mark))

    monkeypatch.setattr(watermark, "_write", planned)


def ready(request):
    return "world" in getattr(request.node, "funcargs", {})


KINDS = {
    "ledger pool",
    "gateway outbox",
    "ledger proposal",
    "a watermark",
    "gateway ballot",
    "ledger block",
    "copy 1 block",
    "copy 4 block",
}
WRITES = 20  # of a slot or two: each of these kinds, most of them several times
CASES = [(height, write, persisted) for height in (2, ELECTING - 1) for write in range(WRITES) for persisted in (False, True)]
SHORT = (ELECTING - 1, 10, True)


def test_the_writes_are_these(world):
    plan = Plan()
    world.put()
    world.restart(plan)
    for _ in range(4):
        world.slot()
        world.turns()
    print(plan.seen)
    assert set(plan.seen) >= KINDS
    assert len(plan.seen) >= WRITES


@pytest.mark.parametrize(
    ("height", "write", "persisted"), [pytest.param(*one, marks=[] if one == SHORT else [pytest.mark.campaign]) for one in CASES]
)
def test_a_write_that_fails_loses_and_doubles_nothing(world, height, write, persisted):
    world.until(height)
    print(fault(world, write, persisted=persisted))
    assert_whole(world)
