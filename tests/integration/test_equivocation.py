"""A delegate that votes for two blocks of one height is reported by the gateway that gets the votes, and the ledger removes it."""

import pytest
from ledger_home import LedgerHome

from chain.ballot import Ballot
from chain.block import sign_header, sign_vote
from chain.kinds import Kind
from chain.stake_entries import Standing
from chain.watermark import Duty
from gateway import founding
from gateway.errors import Refused
from gateway.index import ballots, outbox
from gateway.key_files import read_key
from gateway.voting import take_ballot

OTHER = b"\x07" * 32  # a block hash that was never final


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setattr(founding, "EPOCH_BLOCKS", 2)
    home = LedgerHome(tmp_path)
    home.produce(3)
    yield home
    home.close()


def send(home, key, height, hash_=OTHER, duty=Duty.VOTE, signature=None):
    sign = sign_vote(key, home.genesis.chain_id, height, hash_) if duty is Duty.VOTE else sign_header(key, home.genesis.chain_id, hash_)
    ballot = Ballot(duty, height, hash_, key.public, signature or sign)
    with pytest.raises(Refused):
        take_ballot(home.services.index, home.ledger, ballot.to_bytes(), 5)


def waiting(home):
    with home.services.index.reading() as connection:
        return [row.kind for row in outbox.pending(connection) if row.kind != Kind.ANCHOR]


def test_it_is_removed_for_good(home):
    cheat = read_key(home.path / "keys" / "delegate-2.json")
    send(home, cheat, 2)
    send(home, cheat, 2, hash_=b"\x08" * 32)
    send(home, cheat, 1)
    assert waiting(home) == [Kind.EVIDENCE]
    home.produce(1)
    assert home.ledger.delegates.delegate(cheat.public).standing is Standing.REMOVED
    send(home, cheat, 3)
    assert waiting(home) == []


def test_who_is_to_hand_it_in_is_one_that_stands(home):
    """The first key of this process is the cheat's own: an honest one signs."""
    cheat = read_key(home.path / "keys" / "delegate-1.json")
    send(home, cheat, 2)
    home.produce(1)
    assert home.ledger.delegates.delegate(cheat.public).standing is Standing.REMOVED


def test_a_vote_that_is_kept_and_another_for_the_same_height(home):
    cheat = read_key(home.path / "keys" / "delegate-2.json")
    kept = b"\x09" * 32
    with home.services.index.atomic() as connection:
        ballots.put(connection, Ballot(Duty.VOTE, 4, kept, cheat.public, sign_vote(cheat, home.genesis.chain_id, 4, kept)))
    send(home, cheat, 4)
    assert waiting(home) == [Kind.EVIDENCE]


def test_one_that_was_set_aside_is_not_followed_by_others(home):
    """Where no delegate here stands, each vote more would leave a row for ever."""
    cheat = read_key(home.path / "keys" / "delegate-2.json")
    send(home, cheat, 2)
    with home.services.index.atomic() as connection:
        (row,) = (row for row in outbox.pending(connection) if row.kind == Kind.EVIDENCE)
        outbox.set_aside(connection, row.id, "no delegate here stands")
    send(home, cheat, 2, hash_=b"\x08" * 32)
    assert waiting(home) == []


def test_what_proves_nothing_accuses_nobody(home):
    honest = read_key(home.path / "keys" / "delegate-3.json")
    final = home.ledger.block(2)
    send(home, honest, 2, hash_=final.hash)  # its vote again, late
    send(home, honest, 2, signature=bytes(64))  # anyone may send this in its name
    send(home, honest, 9)  # no vote of that height is known
    send(home, honest, 2, duty=Duty.PRODUCE)
    assert waiting(home) == []
