"""Delegates that come and go, are late, crash and cheat: the real state machine, voting rule and watermarks, without disk but for the marks.

Each delegate is a `LocalDelegate` that executes and votes for itself. The network between them is here: who is up, whose vote comes late,
and who signs without its watermark. All votes ever cast are kept, so that a second final block at one height cannot hide.
"""

from collections import defaultdict
from random import Random

from chain_case import ELECTED, GATEWAY, STARTED_AT, anchor, key, registration, vote
from msgspec.structs import replace

from chain.block import FinalBlock, Header, Proposal, Vote, block_hash, sign_header, sign_vote, verify_vote
from chain.committed import Committed
from chain.delegate import LocalDelegate
from chain.errors import LedgerError
from chain.evidence import Offence, evidence_of
from chain.execution import Execution
from chain.stake import UnjailBody
from chain.stake_entries import Standing, delegate_at, roll_at, stake_at
from chain.state import Overlay, State, bucket_of
from chain.state_machine import Candidate, StateMachine
from chain.transactions import sign_transaction
from chain.watermark import Watermark, create_watermark


class ChainInMemory(Committed):
    """The final chain in memory."""

    def __init__(self, genesis):
        self.entries = defaultdict(dict)
        machine = StateMachine(genesis)
        for entry_key, value in machine.genesis_entries():
            self.entries[bucket_of(entry_key)][entry_key] = value
        super().__init__(machine, machine.start(), State(self._read, machine.genesis_entries()))

    def _read(self, buckets):
        return [item for bucket in buckets for item in self.entries[bucket].items()]

    def advance(self, final, execution: Execution):
        for entry_key, value in execution.overlay.changes.items():
            self.entries[bucket_of(entry_key)][entry_key] = value
        super().advance(final, execution)

    @property
    def overlay(self):
        return Overlay(self.state)


class Forgetful:
    """No watermark: signs whatever it is asked to. What the rule is there against."""

    def advance(self, duty, height, hash_):
        pass

    def close(self):
        pass


class Network:
    """`slot` by slot. `down`, `late` and `cheats` are sets of names; names are those of the keys."""

    def __init__(self, folder, genesis=ELECTED, names=(), seed=0, watermark=Watermark):
        self.genesis, self.folder, self.random, self.make_watermark = genesis, folder, Random(seed), watermark
        self.replica = ChainInMemory(genesis)
        self.keys = {name: key(name) for name in names}
        self.names = {member.public: name for name, member in self.keys.items()}
        self.nodes = {}
        for name in self.keys:
            create_watermark(self._path(name), genesis.chain_id, self.keys[name].public)
            self._start(name)
        self.down, self.late, self.cheats = set(), set(), set()
        self.slot, self.pool, self.sources = 0, [], 0
        self.confusion = 0.3  # how often a delegate hears of two proposals in another order: then their votes split
        self.proposals = []  # signed, for the next height
        self.votes = defaultdict(dict)  # (height, hash) -> {delegate's key: vote}; all that were ever cast
        self.final = defaultdict(set)  # height -> hashes of all blocks that a quorum voted for
        self.sets = {}  # height -> who acted
        self.turns = []  # (epoch, slot, producer, how many acted)
        self.produced = defaultdict(int)
        self.equivocated = False  # at the next height: then it may stand still
        self.accused = set()

    def close(self):
        for node in self.nodes.values():
            node.close()

    def crash(self, name):
        """All that is not on disk is lost."""
        self.nodes[name].close()
        self._start(name)

    def submit(self, body, signer=GATEWAY):
        self.sources += 1
        raw = sign_transaction(body, self.height + 1000 + self.sources % 7, signer, self.genesis.chain_id).raw
        self.pool.append(Candidate(self.sources, raw))

    def register(self, name, holder):
        self.submit(registration(self.keys[name], holder, name, self.genesis), holder)

    def approve(self, names, holder):
        roll = set(roll_at(self.replica.overlay).delegates)
        self.submit(vote(*(self.keys[name] for name in names if self.keys[name].public in roll)), holder)

    def unjail(self, name):
        self.submit(UnjailBody(), self.keys[name])

    @property
    def height(self):
        return self.replica.tip.height

    @property
    def acting(self):
        return [self.names[public] for public in self.replica.tip.acting.keys]

    def delegate(self, name):
        return delegate_at(self.replica.overlay, self.keys[name].public)

    def honest_quorum(self):
        """Whether as many of those who act are up, on time and honest as make a quorum."""
        return len([name for name in self.acting if self._answers(name) and name not in self.cheats]) >= self.replica.tip.acting.quorum

    def step(self):
        """One slot; the height before and after say whether a block became final."""
        self.slot += 1
        tip, machine = self.replica.tip, self.replica.machine
        producer = self.names[tip.acting.keys[machine.producer(tip, self.slot)]]
        self.turns.append((tip.height // self.genesis.epoch_blocks, self.slot, producer, len(tip.acting.keys)))
        if not self.proposals and self._answers(producer):
            self._propose(producer)
        self._vote()
        self._finish()
        self.late.clear()

    def _answers(self, name):
        return name not in self.down and name not in self.late

    def _path(self, name):
        return self.folder / f"{name.replace(' ', '-')}.watermark"

    def _start(self, name):
        member = self.keys[name]
        self.nodes[name] = LocalDelegate(self.replica, member, self.make_watermark(self._path(name), self.genesis.chain_id, member.public))

    def _propose(self, name):
        node = self.nodes[name]
        built = node.build(self.slot, self.pool)
        refused = {rejection.source for rejection in built.rejections}
        self.pool = [candidate for candidate in self.pool if candidate.source not in refused]
        if built.proposal is None:
            return
        self.proposals = [replace(built.proposal, signature=node.sign(built.proposal))]
        if name in self.cheats:
            self._propose_another(name)

    def _propose_another(self, name):
        """The same slot, another block, signed past the watermark."""
        other = self.replica.machine.build(self.replica.tip, self.replica.state, self.slot, [Candidate(0, self._an_anchor())]).proposal
        signature = sign_header(self.keys[name], self.genesis.chain_id, other.header)
        self.proposals.append(Proposal(other.header, other.transactions, signature))
        self.equivocated = True
        one, two = ((proposal.header, proposal.signature) for proposal in self.proposals)
        self._accuse(Offence.PRODUCED, name, one, two)

    def _an_anchor(self):
        return sign_transaction(anchor(1_000_000 + self.slot), 1 << 40, GATEWAY, self.genesis.chain_id).raw

    def _vote(self):
        """Everybody who is there hears of every proposal, some in another order."""
        for name in self.acting:
            if not self._answers(name):
                continue
            heard = list(self.proposals)
            if self.random.random() < self.confusion:
                self.random.shuffle(heard)
            for proposal in heard:
                self._ask(name, proposal)

    def _ask(self, name, proposal):
        header = Header.from_bytes(proposal.header)
        hash_ = block_hash(self.genesis.chain_id, proposal.header)
        try:
            if name in self.cheats:
                signature = sign_vote(self.keys[name], self.genesis.chain_id, header.height, hash_)
            else:
                signature = self.nodes[name].vote(proposal, STARTED_AT + 2 * self.slot + 0.5)
        except LedgerError:
            return
        self.votes[header.height, hash_][self.keys[name].public] = signature
        if name in self.cheats:
            self._accuse_voter(name, header.height)

    def _accuse_voter(self, name, height):
        public = self.keys[name].public
        cast = [(hash_, votes[public]) for (at, hash_), votes in self.votes.items() if at == height and public in votes]
        if len(cast) > 1:
            self._accuse(Offence.VOTED, name, cast[0], cast[1])

    def _accuse(self, offence, name, one, two):
        height = self.height + 1
        if name not in self.accused:
            self.accused.add(name)
            self.submit(evidence_of(offence, self.keys[name].public, height, one, two), key("holder 0"))

    def _finish(self):
        acting, height = self.replica.tip.acting, self.height + 1
        finished = []
        for proposal in self.proposals:
            hash_ = block_hash(self.genesis.chain_id, proposal.header)
            cast = self.votes[height, hash_]
            votes = tuple(Vote(index, cast[public]) for index, public in enumerate(acting.keys) if public in cast)
            for one in votes:
                verify_vote(self.genesis.chain_id, acting, height, hash_, one)
            if len(votes) >= acting.quorum:
                self.final[height].add(hash_)
                finished.append((proposal, hash_, votes))
        if finished:
            self._advance(*finished[0])

    def _advance(self, proposal, hash_, votes):
        header = Header.from_bytes(proposal.header)
        machine = self.replica.machine
        execution = machine.execute(self.replica.tip, self.replica.state, header, proposal.transactions)
        self.sets[header.height] = self.replica.tip.acting
        self.produced[self.names[header.producer]] += 1
        self.replica.advance(FinalBlock(header, hash_, proposal.signature, proposal.transactions, votes), execution)
        recorded = set(proposal.transactions)
        self.pool = [candidate for candidate in self.pool if candidate.raw not in recorded]
        self.proposals, self.equivocated = [], False


def check_one_block_a_height(network):
    for height, hashes in network.final.items():
        assert len(hashes) == 1, f"{len(hashes)} blocks are final at height {height}"


def check_fair_turns(network):
    """In a round that lies in one epoch each delegate that acts has exactly one slot."""
    rounds = defaultdict(list)
    for epoch, slot, producer, count in network.turns:
        rounds[epoch, slot // count, count].append(producer)
    whole = [producers for (_, _, count), producers in rounds.items() if len(producers) == count]
    for producers in whole:
        assert len(set(producers)) == len(producers), producers
    return len(whole)


def check_stake(network):
    """The weights are the total; approval is the weight of those who approve."""
    overlay = network.replica.overlay
    stakes = [stake_at(overlay, key(f"holder {number}").public) for number in range(3)]
    assert sum(stake.weight for stake in stakes) == network.genesis.total_stake
    for name, member in network.keys.items():
        entry = network.delegate(name)
        if entry is not None:
            assert entry.approval == sum(stake.weight for stake in stakes if member.public in stake.votes), name


def removed(network):
    return {name for name in network.keys if (entry := network.delegate(name)) is not None and entry.standing is Standing.REMOVED}
