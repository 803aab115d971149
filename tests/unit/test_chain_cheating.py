"""Ways to cheat, a row each: what a quorum or a minority signs against the rules, and what a proof pretends. Each is named with its place.

A quorum that cheats agrees with itself, so its blocks are written past the engine: signed, voted for, and with all that follows from them.
"""

import shutil
import sqlite3
from contextlib import closing
from copy import copy
from functools import cache

import pytest
from chain_case import DELEGATES, GATEWAY, GENESIS, SLOT_SECONDS, SmallChain, anchor, genesis_bytes, key, party
from lenient_machine import LenientMachine
from msgspec.structs import replace

from chain.block import BlockInvalid, FinalBlock, Header, Proposal, Vote, block_hash, sign_header, sign_vote
from chain.delegate_set import DelegateSet
from chain.format import LATEST
from chain.genesis import Genesis, GenesisInvalid
from chain.keys import VOTE, SignatureInvalid, verify
from chain.merkle import ProofError, leaf_hash, node_hash, root
from chain.proof import Known, verify_log_proof
from chain.transactions import TransactionInvalid, sign_transaction
from chain.watermark import read_marks

LAST = 5
OTHER_CHAIN = Genesis.parse(genesis_bytes(heartbeat_slots=11))
IDENTITY = b"\x01" + bytes(31)
MEMBERS = {member.public: member for member in DELEGATES}


class Cheats(SmallChain):
    """Four honest blocks of two transactions; `forge` makes the fifth."""

    machine = LenientMachine(GENESIS)

    def __init__(self, folder):
        super().__init__(folder)
        self.honest = [self.record(anchor(2 * number), anchor(2 * number + 1)) for number in range(LAST - 1)]

    def copy(self, folder):
        """Another chain with what is on disk here; this one is closed."""
        copied = copy(self)
        copied.folder, copied.url = folder, f"sqlite:///{folder}/ledger.db"
        for name in ("ledger.db", *(self.watermark(member).name for member in DELEGATES)):
            shutil.copy(self.folder / name, folder)
        copied.open()
        return copied

    @property
    def tip(self):
        return self.engine._committed.tip

    def forged(self, *raws, slot=None, signer=None, **header):
        """A block after the last one, with other values in its header: as a proposal, and what it does."""
        slot = self.tip.slot + 1 if slot is None else slot
        execution = self.machine.execution(self.tip, self.engine._committed.state)
        for raw in raws or (self.signed(anchor(90)),):
            execution.record(execution.read([raw])[0])
        log = execution.log()
        due = self.machine._due(self.tip, slot)
        roots = {"log_size": log.size, "log_root": log.root(), "state_root": execution.overlay.root()}
        made = replace(Header(version=LATEST, **due, **roots), **header)
        signature = sign_header(signer or MEMBERS[made.producer], made.chain_id, made.to_bytes())
        return Proposal(made.to_bytes(), tuple(raws or (self.signed(anchor(90)),)), signature), execution

    def forge(self, *raws, voters=DELEGATES, **changes):
        """The same, final by the votes of `voters`."""
        proposal, execution = self.forged(*raws, **changes)
        header = Header.from_bytes(proposal.header)
        hash_ = block_hash(header.chain_id, proposal.header)
        votes = [Vote(DELEGATES.index(member), sign_vote(member, GENESIS.chain_id, header.height, hash_)) for member in voters]
        self.store.finalise(FinalBlock(header, hash_, proposal.signature, proposal.transactions, tuple(votes)), execution)

    def whose_not(self, slot):
        """A delegate whose slot it is not."""
        owner = self.tip.acting.keys[self.machine.producer(self.tip, slot)]
        return next(member.public for member in DELEGATES if member.public != owner)


@pytest.fixture(scope="module")
def honest(tmp_path_factory):
    chain = Cheats(tmp_path_factory.mktemp("honest"))
    chain.close()
    with closing(sqlite3.connect(chain.folder / "ledger.db")) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return chain


@pytest.fixture
def chain(honest, tmp_path):
    with closing(honest.copy(tmp_path)) as chain:
        yield chain


@pytest.fixture(scope="module")
def voting(honest, tmp_path_factory):
    """For those who refuse, since nothing changes then."""
    with closing(honest.copy(tmp_path_factory.mktemp("voting"))) as chain:
        chain.slot += 1
        yield chain


def execute(chain, *statements):
    with chain.store.engine.begin() as connection:
        for statement in statements:
            assert connection.exec_driver_sql(statement).rowcount > 0


def broken(raw, place=-1):
    place %= len(raw)
    return raw[:place] + bytes([raw[place] ^ 1]) + raw[place + 1 :]


def swapped(chain, table, column, one, other):
    far = 1_000_000
    steps = ((far, one), (one, other), (other, far))
    execute(chain, *(f"UPDATE {table} SET {column} = {to} WHERE {column} = {of}" for to, of in steps))


def replay(chain):
    """A second time in the log; the index has room for it once."""
    execute(chain, "DELETE FROM transaction_index WHERE log_index = 2")
    chain.forge(chain.honest[1].transactions[0])


HERE = f"height {LAST}"
ROWS = {
    "forged producer": (lambda c: c.forge(producer=c.whose_not(c.tip.slot + 1)), ("schedule-invalid", HERE)),
    "a producer's name under another's signature": (
        lambda c: c.forge(signer=MEMBERS[c.whose_not(c.tip.slot + 1)]),
        ("block-invalid", HERE),
    ),
    "wrong slot": (
        lambda c: c.forge(
            slot=c.tip.slot + 2,
            producer=c.machine._due(c.tip, c.tip.slot + 1)["producer"],
        ),
        ("schedule-invalid", HERE),
    ),
    "past slot": (lambda c: c.forge(slot=c.tip.slot), ("block-invalid", HERE)),
    "a time that is not the slot's": (lambda c: c.forge(time=c.honest[-1].header.time + SLOT_SECONDS + 1), ("block-invalid", HERE)),
    "wrong order of transactions": (lambda c: swapped(c, "log_entry", "log_index", 4, 5), ("log-mismatch", "height 3")),
    "reordered chain": (lambda c: swapped(c, "block", "height", 2, 3), ("block-invalid", "height 2")),
    "truncated chain": (lambda c: execute(c, "DELETE FROM block WHERE height = 4"), ("block-missing", "height 4")),
    "bad signature of a transaction": (lambda c: c.forge(broken(c.signed(anchor(90)))), ("transaction-invalid", HERE)),
    "bad signature of a vote": (
        lambda c: execute(c, "UPDATE block SET votes = (SELECT votes FROM block WHERE height = 2) WHERE height = 4"),
        ("vote-invalid", "height 4"),
    ),
    "replayed transaction": (replay, ("transaction-invalid", HERE)),
    "expired transaction": (lambda c: c.forge(c.signed(anchor(90), valid_until=LAST - 1)), ("transaction-invalid", HERE)),
    "edited transaction": (
        lambda c: execute(c, "UPDATE log_entry SET raw = (SELECT raw FROM log_entry WHERE log_index = 0) WHERE log_index = 5"),
        ("log-mismatch", "height 3"),
    ),
    "transaction of another chain": (
        lambda c: c.forge(sign_transaction(anchor(90), 1000, GATEWAY, OTHER_CHAIN.chain_id).raw),
        ("transaction-invalid", HERE),
    ),
    "transaction of no gateway": (lambda c: c.forge(c.signed(anchor(90), signer=key("stranger"))), ("transaction-invalid", HERE)),
    "header of another chain": (lambda c: c.forge(chain_id=OTHER_CHAIN.chain_id), ("block-invalid", HERE)),
    "history signed by a minority": (lambda c: c.forge(voters=DELEGATES[:2]), ("vote-invalid", HERE)),
    "another set of delegates": (
        lambda c: c.forge(delegates_hash=DelegateSet.of(GENESIS.chain_id, [key("x").public]).hash),
        ("block-invalid", HERE),
    ),
}


@pytest.mark.parametrize(("cheat", "expected"), ROWS.values(), ids=ROWS)
def test_what_is_stored_against_the_rules_is_named_with_its_place(chain, cheat, expected):
    cheat(chain)
    found = chain.findings()
    assert expected in found
    near = {int(expected[1].split()[1]) + step for step in (-1, 0, 1)}  # a neighbour commits to it
    assert {int(subject.split()[1]) for _, subject in found if subject.startswith("height")} <= near | {LAST - 1}


def test_an_honest_block_that_is_made_this_way_is_clean(chain):
    """So what the rows find is the cheat and not the way it was made."""
    chain.forge()
    assert chain.findings(chain.known()) == []


def edited(chain):
    proposal, execution = chain.forged()
    return replace(proposal, transactions=(chain.signed(anchor(91)),)), execution


def reordered(chain):
    proposal, execution = chain.forged(chain.signed(anchor(90)), chain.signed(anchor(91)))
    return replace(proposal, transactions=proposal.transactions[::-1]), execution


VOTERS = {
    "forged producer": lambda c: c.forged(producer=c.whose_not(c.tip.slot + 1)),
    "a producer's name under another's signature": lambda c: c.forged(signer=MEMBERS[c.whose_not(c.tip.slot + 1)]),
    "past slot": lambda c: c.forged(slot=c.tip.slot),
    "future slot": lambda c: c.forged(slot=c.tip.slot + 4),
    "bad signature of a transaction": lambda c: c.forged(broken(c.signed(anchor(90)))),
    "replayed transaction": lambda c: c.forged(c.honest[1].transactions[0]),
    "expired transaction": lambda c: c.forged(c.signed(anchor(90), valid_until=LAST - 1)),
    "edited transaction": edited,
    "transaction of another chain": lambda c: c.forged(sign_transaction(anchor(90), 1000, GATEWAY, OTHER_CHAIN.chain_id).raw),
    "header of another chain": lambda c: c.forged(chain_id=OTHER_CHAIN.chain_id),
    "wrong order of transactions": reordered,
    "a height that is final": lambda c: c.forged(height=LAST - 1),
    "a height to come": lambda c: c.forged(height=LAST + 1),
}


@pytest.mark.parametrize("cheat", VOTERS.values(), ids=VOTERS)
def test_nobody_votes_for_it(voting, cheat):
    """Nor is a mark moved by what is refused."""
    proposal, _ = cheat(voting)
    for member in DELEGATES:
        path = voting.watermark(member)
        before = read_marks(path, GENESIS.chain_id, member.public)
        with pytest.raises((BlockInvalid, SignatureInvalid)):
            voting.engine._delegates[member.public].vote(proposal, voting.now())
        assert read_marks(path, GENESIS.chain_id, member.public) == before


def test_the_voters_vote_for_the_honest_one(chain):
    chain.slot += 1
    assert len({chain.engine._delegates[member.public].vote(chain.forged()[0], chain.now()) for member in DELEGATES}) == 4


@cache
def leaves(count):
    return tuple(leaf_hash(b"%d" % number) for number in range(count))


def doubled_root(count):
    """As trees do that pair an odd leaf with itself: two lists of leaves would have one root."""
    level = list(leaves(count))
    while len(level) > 1:
        level += level[-1:] * (len(level) % 2)
        level = [node_hash(*level[place : place + 2]) for place in range(0, len(level), 2)]
    return level[0]


@pytest.mark.parametrize("count", [3, 5, 6, 7, 9])
def test_an_odd_leaf_is_not_paired_with_itself(count):
    twice = [*leaves(count), leaves(count)[-1]]
    assert doubled_root(count) != root(list(leaves(count)))
    assert root(twice) != root(list(leaves(count)))


PROOFS = {
    "swapped branch": (lambda p: replace(p, path=(p.path[1], p.path[0], *p.path[2:])), "log path does not lead"),
    "a branch from the other side": (lambda p: replace(p, index=p.index ^ 1), "log path does not lead"),
    "proof for another size": (lambda p: revoted(p, log_size=p.index + 1), "path is too long"),
    "proof for a size that is too large": (lambda p: revoted(p, log_size=1 << 40), "path is too short"),
    "an inner node as a leaf": (lambda p: replace(p, path=p.path[1:], index=p.index // 2), "path is too short"),
    "an extra sibling": (lambda p: replace(p, path=(*p.path, p.path[-1])), "path is too long"),
    "an extra vote": (lambda p: replace(p, votes=(*p.votes, vote_for(p, 3))), "votes is 4, where exactly 3"),
    "an extra field": (lambda p: replace(p, header=b"\xae" + p.header[1:] + b"\x0d\x00"), "header"),
    "an extra handover": (lambda p: replace(p, handovers=(p,)), "handover 0"),
    "votes of a minority": (lambda p: replace(p, votes=p.votes[:1]), "votes is 1, where exactly 3"),
    "a vote of the identity": (lambda p: replace(p, votes=(Vote(0, IDENTITY + bytes(32)), *p.votes[1:])), "the vote of delegate 0"),
    "header of another chain": (lambda p: revoted(p, chain_id=OTHER_CHAIN.chain_id), "another chain"),
    "edited transaction": (lambda p: replace(p, transaction=broken(p.transaction, 20)), "log path does not lead"),
}


def vote_for(proof, index):
    header = Header.from_bytes(proof.header)
    return Vote(index, sign_vote(DELEGATES[index], GENESIS.chain_id, header.height, block_hash(GENESIS.chain_id, proof.header)))


def revoted(proof, **changes):
    proof = replace(proof, header=replace(Header.from_bytes(proof.header), **changes).to_bytes())
    return replace(proof, votes=tuple(vote_for(proof, index) for index in range(3)))


@pytest.fixture(scope="module")
def proof(voting):
    made = voting.ledger().prove(2, at_height=4)
    verify_log_proof(revoted(made), GENESIS)
    return made


@pytest.mark.parametrize(("cheat", "place"), PROOFS.values(), ids=PROOFS)
def test_a_proof_that_pretends_is_refused_where_it_does(proof, cheat, place):
    with pytest.raises(ProofError, match=place):
        verify_log_proof(cheat(proof), GENESIS)


def test_a_set_with_the_identity_as_a_delegate_is_none():
    with pytest.raises(GenesisInvalid, match="key"):
        Genesis.parse(genesis_bytes().replace(DELEGATES[2].public.hex().encode(), IDENTITY.hex().encode()))


def test_the_identity_signs_nothing(proof):
    """Over any message S = 0 and R = identity would hold for the identity as a key."""
    for label, signature in ((VOTE, IDENTITY + bytes(32)), (VOTE, bytes(64))):
        with pytest.raises(SignatureInvalid):
            verify(IDENTITY, label, GENESIS.chain_id, b"anything", signature)
    producer = Header.from_bytes(proof.header).producer
    place = next(index for index, member in enumerate(DELEGATES) if member.public != producer)
    keys = [IDENTITY if index == place else member.public for index, member in enumerate(DELEGATES)]
    votes = tuple(Vote(index, IDENTITY + bytes(32)) if index == place else vote for index, vote in enumerate(proof.votes))
    with pytest.raises(ProofError, match=f"vote of delegate {place}"):
        verify_log_proof(replace(proof, votes=votes), GENESIS, Known(0, replace(GENESIS.first_set, keys=tuple(keys))))


def test_a_party_with_the_identity_as_its_key_is_recorded_by_nobody(chain):
    raw = chain.signed(party(signing="hospital"))
    chain.engine.submit_all([(chain.signed(anchor(95)), 100)])
    with pytest.raises(TransactionInvalid):
        chain.engine.submit(raw.replace(key("hospital").public, IDENTITY), 101)
