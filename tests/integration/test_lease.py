"""Two processes on one ledger of PostgreSQL, as on two hosts: one writes, and what the other had begun when it was replaced never lands."""

import multiprocessing
import os
import signal
import time
from contextlib import suppress

import databases
import pytest
from chain_case import DELEGATES, GATEWAY, GATEWAY_ID, GENESIS, SmallChain, anchor
from sqlalchemy import insert, select, text

from chain import delegate
from chain.block import Header, block_hash
from chain.database import LedgerUnreachable
from chain.engine import EmbeddedEngine
from chain.errors import LedgerError
from chain.genesis import Delegate, Genesis, make_genesis
from chain.lease import Lease, LeaseLost
from chain.store import LedgerStore
from chain.tables import block, watermark
from chain.transactions import PartyAction, PartyBody, Role
from chain.verify import verify_chain
from chain.watermark import DoubleSign, Duty

SECONDS = 1.0
TAKES_OVER_WITHIN = 2 * 1 + 4  # two slots; the rest is for a busy machine


@pytest.fixture
def on_postgresql(postgresql_server):
    databases.use(postgresql_server)
    yield
    databases.use(None)


@pytest.fixture
def url(tmp_path, on_postgresql):
    return databases.new_ledger(tmp_path, GENESIS)


@pytest.fixture
def store(url):
    store = LedgerStore.open(url, GENESIS)
    yield store
    store.close()


@pytest.fixture
def lease(store):
    def make():
        made.append(Lease(store.engine, SECONDS))
        return made[-1]

    made = []
    yield make
    for one in made:
        one.close()


def ignored():
    pass


def fence(store):
    with store.engine.connect() as connection:
        return connection.scalar(text("SELECT fence FROM lease"))


def expire(store):
    with store.engine.begin() as connection:
        connection.execute(text("UPDATE lease SET expires_ms = 0"))


def test_one_holds_it_and_the_next_gets_a_higher_number(store, lease):
    first, second = lease(), lease()
    news = []
    assert first.take(lambda: news.append("first"))
    assert not second.take(ignored)
    assert first.take(lambda: news.append("again"))
    assert fence(store) == 1
    first.close()
    assert second.take(lambda: news.append("second"))
    assert not first.take(ignored)
    assert fence(store) == 2
    assert news == ["first", "second"]


def test_it_is_kept_while_its_holder_is_busy(store, lease):
    first, second = lease(), lease()
    assert first.take(ignored)
    time.sleep(1.5 * SECONDS)
    assert not second.take(ignored)


def test_who_was_replaced_writes_nothing(store, lease):
    first, second = lease(), lease()
    store.lease = first
    assert first.take(ignored)
    store.put_mark(bytes(32), Duty.VOTE, 1, bytes(32))
    expire(store)
    assert second.take(ignored)
    for write in (
        lambda: store.put_mark(bytes(32), Duty.VOTE, 2, bytes(32)),
        lambda: store.put_signature(1, bytes(64)),
        lambda: store.put_proposal(1, None, []),
        lambda: store.submit([]),
    ):
        with pytest.raises(LeaseLost):
            write()
    with store.engine.connect() as connection:
        assert connection.execute(select(watermark.c.height)).all() == [(1,)]


def test_nobody_takes_over_within_a_write(store, lease):
    first, second = lease(), lease()
    assert first.take(ignored)
    with store.engine.begin() as connection:
        first.check(connection)
        with store.engine.begin() as rival, pytest.raises(LedgerUnreachable, match="cannot be reached for now"):
            rival.execute(text("SET LOCAL lock_timeout = 200; UPDATE lease SET fence = 99"))
        connection.execute(insert(block).values(height=1, log_size=0, header=b"", signature=b"", votes=b""))
    assert not second.take(ignored)


def test_the_marks_are_common_to_all_hosts(store, lease):
    store.lease = lease()
    store.lease.take(ignored)
    key, one, other = b"k" * 32, b"1" * 32, b"2" * 32
    store.put_mark(key, Duty.PRODUCE, 5, one)
    store.put_mark(key, Duty.PRODUCE, 5, one)
    store.put_mark(key, Duty.VOTE, 4, other)
    for height in (5, 4):
        with pytest.raises(DoubleSign):
            store.put_mark(key, Duty.PRODUCE, height, other)
    store.put_mark(key, Duty.PRODUCE, 6, other)
    with store.engine.connect() as connection:
        assert set(connection.execute(select(watermark.c.duty, watermark.c.height))) == {("produced", 6), ("voted", 4)}


def test_a_ledger_from_a_backup_does_not_make_a_host_sign_twice(tmp_path, on_postgresql):
    chain = SmallChain(tmp_path)
    chain.record(anchor(1))
    chain.close()
    chain.url = databases.new_ledger(tmp_path / "backup", GENESIS)  # as it was before the block, common marks and all
    chain.open()
    chain.submit(anchor(2))
    with pytest.raises(LedgerError, match=r"already (produced|voted) another block at height 1"):
        chain.produce()
    chain.close()


SLOT = 1


def own_genesis():
    """Begins now, a block in each slot."""
    delegates = tuple(Delegate(f"delegate {number}", member.public) for number, member in enumerate(DELEGATES))
    gateway = PartyBody(PartyAction.REGISTER, GATEWAY_ID, "Gateway", Role.GATEWAY, GATEWAY.public, None)
    return make_genesis(
        network="hosts",
        started_at=int(time.time()) - 1,
        slot_seconds=SLOT,
        epoch_blocks=4,
        heartbeat_slots=1,
        delegates=delegates,
        parties=(gateway,),
    )


def host(url, folder, body):
    """A host's producer. Each signature it makes is a line in its file: when, height, block hash."""
    genesis = Genesis.parse(body)
    store = LedgerStore.open(url, genesis)
    engine = EmbeddedEngine.open(store, genesis, [(member, folder / f"{number}.watermark") for number, member in enumerate(DELEGATES)])
    signed = (folder / "signed").open("a", buffering=1)
    sign = delegate.sign_header

    def noted(key, chain_id, header):
        parsed = Header.from_bytes(header)
        signed.write(f"{time.time()} {parsed.height} {block_hash(chain_id, header).hex()}\n")
        return sign(key, chain_id, header)

    delegate.sign_header = noted
    while True:
        with suppress(LedgerUnreachable, LeaseLost):
            engine.produce(time.time())
        time.sleep(0.02)


class Host:
    def __init__(self, url, folder, body):
        folder.mkdir()
        self.file = folder / "signed"
        self.process = multiprocessing.get_context("spawn").Process(target=host, args=(url, folder, body), daemon=True)
        self.process.start()

    def send(self, number):
        os.kill(self.process.pid, number)

    def signed(self):
        lines = [line.split() for line in self.file.read_text().splitlines()] if self.file.exists() else []
        return [(float(at), int(height), hash_) for at, height, hash_ in lines]

    def until(self, count):
        """Waits for so many signatures."""
        deadline = time.monotonic() + 60
        while len(self.signed()) < count:
            assert time.monotonic() < deadline, "no block was signed"
            time.sleep(0.02)


@pytest.fixture
def start_host(tmp_path):
    """Hosts that are gone afterwards, stopped ones included."""
    hosts = []

    def start(url, name, body):
        hosts.append(Host(url, tmp_path / name, body))
        return hosts[-1]

    yield start
    for one in hosts:
        one.process.kill()
        one.process.join()


def test_another_host_takes_over_and_no_height_is_signed_twice(tmp_path, on_postgresql, start_host):
    body = own_genesis()
    genesis = Genesis.parse(body)
    url = databases.new_ledger(tmp_path, genesis)
    first = start_host(url, "first", body)
    first.until(2)
    second = start_host(url, "second", body)
    first.until(5)
    assert second.signed() == []
    first.send(signal.SIGSTOP)  # for longer than its lease
    second.until(2)
    before = len(first.signed())
    first.send(signal.SIGCONT)
    second.until(4)
    assert len(first.signed()) == before, "who was paused signs nothing more"
    second.send(signal.SIGKILL)
    killed_at = time.time()
    first.until(before + 2)
    assert first.signed()[before][0] - killed_at < TAKES_OVER_WITHIN
    first.send(signal.SIGKILL)
    first.process.join()
    heights = {height for _, height, _ in (*first.signed(), *second.signed())}
    assert heights == set(range(1, max(heights) + 1))
    hashes = {(height, hash_) for _, height, hash_ in (*first.signed(), *second.signed())}
    assert len(hashes) == len(heights), "each height has one hash, whoever signed it"
    store = LedgerStore.open(url, genesis, read_only=True)
    assert list(verify_chain(store, genesis)) == []
    store.close()
