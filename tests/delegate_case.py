"""Delegates elsewhere without a network: the gateway's chain as it is shown to them, and the mailbox that lets each take its turn."""

from chain_case import DELEGATES, GENESIS, SmallChain, anchor

from chain.ballot import Ballot
from chain.block import block_hash
from chain.engine import EmbeddedEngine
from chain.replica import Replica
from chain.store import LedgerStore
from chain.watermark import create_watermark
from gateway.client.blocks import BallotNotTaken, Progress
from gateway.client.delegate import Delegation


class Shown:
    """What `RemoteChain` gets from the gateway of `chain`; `blocks` puts others in the place of heights, `end` cuts."""

    def __init__(self, chain):
        self.chain, self.blocks, self.end, self.ballots = chain, {}, None, []

    def progress(self, after=""):
        reader = self.chain.ledger()
        height, proposed, is_signed = reader.stage()
        height = height if self.end is None else min(height, self.end)
        block = self.block(height) if height else None
        mark = f"{height}-{proposed.hex()}-{is_signed}"
        if mark == after:
            return None
        return Progress(mark, height, block.hash if block else self.chain.genesis.chain_id, reader.proposal())

    def block(self, height):
        if self.end is not None and height > self.end:
            return None
        return self.blocks.get(height) or self.chain.ledger().block(height)

    def checkpoint(self):
        """None: the genesis of these tests has no key for the log."""

    def send(self, ballot):
        proposal = self.chain.ledger().proposal()
        if proposal is None or block_hash(self.chain.genesis.chain_id, proposal.header) != ballot.block_hash:
            raise BallotNotTaken("another block is proposed")
        self.ballots.append(Ballot.from_bytes(ballot.to_bytes()))


class Elsewhere:
    """A delegate with a folder, a copy and a watermark of its own. `is_up` is whether it takes its turns."""

    def __init__(self, folder, member, shown, clock, genesis=GENESIS):
        self.folder, self.member, self.shown, self.clock, self.genesis = folder, member, shown, clock, genesis
        self.url = f"sqlite:///{folder}/ledger.db"
        self.said, self.is_up, self.slept = [], True, 0
        folder.mkdir()
        LedgerStore.create(self.url, genesis).close()
        create_watermark(folder / "key.watermark", genesis.chain_id, member.public)
        self.open()

    def open(self):
        self.store = LedgerStore.open(self.url, self.genesis)
        self.replica = Replica.open(self.store, self.genesis, self.member, self.folder / "key.watermark")
        said = self.said

        def say(event, **facts):
            said.append({"event": event, **facts})

        proofs = self.folder / "refused"
        self.delegation = Delegation(self.replica, self.genesis, self.shown, proofs, say, clock=self.clock, sleep=self._sleep)

    def _sleep(self, _):
        self.slept += 1
        assert self.slept < 100, "nothing was found"

    def close(self):
        self.replica.close()
        self.store.close()

    def events(self, event):
        return [one for one in self.said if one["event"] == event]


class Round:
    """Three delegates elsewhere and one with the gateway; the mailbox gives each that is up a turn, then hands over what it sent."""

    def __init__(self, folder):
        (folder / "gateway").mkdir()
        self.chain = SmallChain(folder / "gateway", keys=DELEGATES[:1])
        self.shown = Shown(self.chain)
        self.others = [Elsewhere(folder / f"other {n}", DELEGATES[n], self.shown, self.chain.now) for n in (1, 2, 3)]
        self.reopen()
        self.number = 0

    def reopen(self):
        """The gateway starts again."""
        self.chain.close()
        chain = self.chain
        chain.store = LedgerStore.open(chain.url, GENESIS)
        keys = [(member, chain.watermark(member)) for member in chain.keys]
        chain.engine = EmbeddedEngine.open(chain.store, GENESIS, keys, self, chain.switch)

    def collect(self, duty, height, block_hash_, delegates, needed):
        for other in self.others:
            if other.is_up:
                other.delegation.turn()
        is_it = (duty, height, block_hash_)
        return {one.delegate: one.signature for one in self.shown.ballots if (one.duty, one.height, one.block_hash) == is_it}

    def record(self):
        """One more transaction, in the next slot."""
        self.number += 1
        return self.chain.record(anchor(self.number))

    def settle(self):
        """Everyone takes the last block, too."""
        for other in self.others:
            if other.is_up:
                other.delegation.turn()

    def close(self):
        self.chain.close()
        for other in self.others:
            other.close()
