"""Three of four delegates as processes of their own, each with its folder, key and copy of the chain, over HTTP."""

import json
import signal
import sqlite3
import time
from contextlib import closing, suppress
from pathlib import Path

import pytest
import requests
from delegate_process import WITHIN, DelegateProcess
from gateway_process import GatewayProcess

from chain.ballot import Ballot
from chain.block import Header, block_hash, sign_vote
from chain.genesis import Genesis
from chain.note import Note
from chain.watermark import Duty
from gateway.client.blocks import BallotNotTaken, RemoteChain
from gateway.key_files import read_key

pytestmark = pytest.mark.xdist_group("delegates")


class World:
    def __init__(self, folder):
        self.delegates = [DelegateProcess(folder, name) for name in ("nordvik", "osthavn", "vestby")]
        given = [part for one in self.delegates for part in ("--delegate", f"{one.key.stem}={one.public}")]
        self.gateway = GatewayProcess(folder, *given).start()
        self.genesis = Genesis.parse((self.gateway.home / "genesis.json").read_bytes())
        self.parties = 0
        for one in self.delegates:
            one.start(self.gateway.url, "--genesis", self.gateway.home / "genesis.json")

    def height(self):
        return requests.get(f"{self.gateway.url}/ledger/head", timeout=10).json()["height"]

    def submit(self):
        self.parties += 1
        self.gateway.party("institution", f"Hospital {self.parties}")

    def advance(self):
        """One more transaction becomes final; the height of its block."""
        before = self.height()
        self.submit()
        until(lambda: self.height() > before, self.gateway.log)
        return before + 1

    def voters(self, height):
        return [vote.delegate for vote in RemoteChain(self.gateway.url).block(height).votes]

    def all_vote(self):
        """Blocks until one has all the votes: a process that has just started may miss the first."""
        until(lambda: self.voters(self.advance()) == [0, 1, 2, 3], self.gateway.log)


def until(holds, log):
    deadline = time.monotonic() + WITHIN
    while not holds():
        assert time.monotonic() < deadline, log.read_text()[-3000:]
        time.sleep(0.2)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    world = World(tmp_path_factory.mktemp("delegates"))
    yield world
    for one in world.delegates:
        one.end(signal.SIGTERM)
    if world.gateway.process.poll() is None:
        world.gateway.stop()


def test_the_chain_advances_with_all_of_them(world):
    world.all_vote()
    shown = world.gateway.json("ledger", "delegates")["delegates"]
    assert {row["name"] for row in shown} == {"delegate-1", "nordvik", "osthavn", "vestby"}
    assert world.gateway.json("ledger", "verify")["could_not_check"] == []
    assert world.delegates[0].key.stat().st_mode & 0o777 == 0o600


def test_one_cosigns_checkpoints_from_when_it_says_so(world):
    one, url = world.delegates[0], world.gateway.url

    def cosigners():
        note = Note.from_bytes(requests.get(f"{url}/ledger/checkpoint", timeout=10).content)
        return {signature.name.partition("/")[2].partition("/")[2] for signature in note.signatures} - {""}

    assert one.public not in cosigners()
    genesis = world.gateway.home / "genesis.json"
    world.gateway.cli("ledger", "delegate", "cosign", "--key", one.key, "--url", url, "--genesis", genesis)
    until(lambda: one.public in cosigners(), world.gateway.log)
    assert {told["duty"] for told in one.said("signed")} >= {"voted", "cosigned"}


def test_one_is_killed_and_returns(world):
    one = world.delegates[0]
    one.end(signal.SIGKILL)
    assert 1 not in world.voters(world.advance())
    height = world.advance()
    one.start(world.gateway.url)
    world.all_vote()
    assert {told["height"] for told in one.said("followed")} >= {height - 1, height}
    signed = {(told["duty"], told["height"], told["hash"]) for told in one.said("signed")}
    assert len({told[:2] for told in signed}) == len(signed)
    assert f"The copy holds: {world.height()} block" in one.run(
        "verify", "--home", one.home, "--key", one.key, "--gateway", world.gateway.url
    )


def test_one_that_lies_is_refused_and_named(world):
    liar = world.delegates[2]
    assert liar.end(signal.SIGTERM) == 0
    key, chain, chain_id = read_key(liar.key), RemoteChain(world.gateway.url), world.genesis.chain_id
    height = world.height()
    old = chain.block(height)
    world.submit()
    refused, stranger = [], read_key(world.gateway.home / "keys" / "stake.json")
    until(lambda: chain.progress().proposal is not None or world.height() > height, world.gateway.log)
    deadline = time.monotonic() + WITHIN
    while len(refused) < 8 and time.monotonic() < deadline:
        proposal = chain.progress().proposal
        header = Header.from_bytes(proposal.header) if proposal else old.header
        hash_ = block_hash(chain_id, proposal.header) if proposal else old.hash
        for who, at, what, signature in (
            (key, header.height, bytes(32), sign_vote(key, chain_id, header.height, bytes(32))),  # another hash
            (key, header.height, hash_, bytes(64)),  # garbage
            (key, height, old.hash, sign_vote(key, chain_id, height, old.hash)),  # an old vote again
            (stranger, header.height, hash_, sign_vote(stranger, chain_id, header.height, hash_)),  # nobody's
        ):
            try:
                chain.send(Ballot(Duty.VOTE, at, what, who.public, signature))
            except BallotNotTaken as error:
                refused.append(str(error))
    until(lambda: world.height() > height, world.gateway.log)
    assert world.voters(world.height()) == [0, 1, 2]
    assert len(refused) >= 8
    assert any("no acting delegate" in reason for reason in refused)
    log = [json.loads(line) for line in world.gateway.log.read_text().splitlines()]
    named = [line for line in log if line["event"] == "a delegate's ballot was refused"]
    assert {line["delegate"] for line in named} == {"vestby"}
    assert not any(line["proven"] for line in named if "signature" in line["reason"]), "anyone may have sent that one"
    assert True in {line["proven"] for line in named}
    for body in (b"", b"\x00" * 100):
        assert requests.post(f"{world.gateway.url}/ledger/votes", data=body, timeout=10).status_code == 422
    assert requests.post(f"{world.gateway.url}/ledger/votes", data=b"\x00" * 10_000, timeout=10).status_code == 413


def test_two_that_are_gone_stop_the_chain_and_one_that_returns_moves_it(world):
    """The third is gone since the test before."""
    world.delegates[1].end(signal.SIGKILL)
    before = world.height()
    world.submit()
    until(lambda: "chain" in requests.get(f"{world.gateway.url}/readyz", timeout=20).json().get("reasons", {}), world.gateway.log)
    assert world.height() == before
    assert "no quorum in this slot" in world.gateway.log.read_text()
    world.delegates[1].start(world.gateway.url)
    until(lambda: world.height() > before, world.gateway.log)
    until(lambda: requests.get(f"{world.gateway.url}/readyz", timeout=20).status_code == 200, world.gateway.log)
    world.delegates[2].start(world.gateway.url)
    world.all_vote()


def test_a_delegate_whose_own_copy_was_edited_does_not_sign(world):
    one = world.delegates[2]
    one.end(signal.SIGTERM)
    with closing(sqlite3.connect(one.home / "ledger.db")) as database, database:
        database.execute("UPDATE state_entry SET value = x'00' WHERE entry_key = (SELECT max(entry_key) FROM state_entry)")
    one.start(world.gateway.url)
    assert one.process.wait(WITHIN) == 2
    one.run("verify", "--home", one.home, expect=1)
    assert world.voters(world.advance()) == [0, 1, 2]


def test_honest_delegates_find_what_the_operator_edits(world):
    """While the gateway runs: a transaction of the second block becomes another one of the gateway's."""
    honest = world.delegates[:2]
    with closing(sqlite3.connect(world.gateway.home / "ledger.db", timeout=30)) as database, database:
        raw = database.execute("SELECT raw FROM log_entry WHERE log_index = 2").fetchone()[0]
        assert database.execute("UPDATE log_entry SET raw = ? WHERE log_index = 1", (raw,)).rowcount == 1
    with suppress(AssertionError):
        world.submit()
    for one in honest:
        assert one.process.wait(WITHIN) == 1
        # A block that it was to sign too late, in a slot that was over, it refuses as well.
        [refused] = [told for told in one.said("refused") if not told["subject"].endswith("proposed")]
        assert (refused["code"], refused["subject"]) == ("log-mismatch", "transaction 1")
        assert json.loads(Path(refused["proof"]).read_bytes())["shown"]["transactions"]
        told = json.loads(one.run("verify", "--home", one.home, "--key", one.key, "--gateway", world.gateway.url, "--json", expect=1))
        assert [(found["where"], found["subject"]) for found in told["findings"]] == [("gateway", "transaction 1")]
        assert "The copy holds" in one.run("verify", "--home", one.home, "--key", one.key)
