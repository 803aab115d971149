"""Tampering with a ledger whose delegates were elected: as in test_chain_verify, on a chain of two elections."""

import sqlite3

import pytest
from chain_case import ELECTED, HOLDERS, NEW, SmallChain, anchor, vote
from elected_case import elect_new, grow
from msgspec.structs import replace

from chain.block import Header
from chain.encoding import decode, encode
from chain.entries import anchor_key
from chain.stake_entries import ELECTED_KEY, ROLL_KEY, delegate_key, delegate_set_key, stake_key
from chain.store import LedgerStore
from chain.verify import verify_chain


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    """Eighteen blocks: seven delegates from block 9 on, four of them from block 17 on."""
    chain = SmallChain(tmp_path_factory.mktemp("sound"), ELECTED)
    elect_new(chain)
    grow(chain, 9)
    for holder in HOLDERS:
        chain.submit(vote(*NEW[:3], *chain.keys[:1]), signer=holder)
    grow(chain, 18)
    assert chain.findings(chain.known()) == []
    chain.close()
    return chain


@pytest.fixture
def tamper(sound, tmp_path):
    with sqlite3.connect(sound.folder / "ledger.db") as original, sqlite3.connect(tmp_path / "ledger.db") as copy:
        original.backup(copy)

    def run(*statements):
        with sqlite3.connect(tmp_path / "ledger.db") as connection:
            for statement, *values in statements:
                assert connection.execute(statement, values).rowcount > 0, "the statement changed nothing"
        connection.close()
        store = LedgerStore.open(f"sqlite:///{tmp_path}/ledger.db", ELECTED, read_only=True)
        found = [(finding.code.value, finding.subject) for finding in verify_chain(store, ELECTED)]
        store.close()
        return found

    return run


def read(sound, query, *values):
    connection = sqlite3.connect(sound.folder / "ledger.db")
    (value,) = connection.execute(query, values).fetchone()
    connection.close()
    return value


@pytest.mark.parametrize("height", [1, 2, 4, 5, 8, 9, 12, 13, 16, 17])
def test_a_missing_block(tamper, height):
    """The last one of an epoch as well: what it elected follows from the rest."""
    found = tamper(("DELETE FROM block WHERE height = ?", height))
    assert found == [("block-missing", f"height {height}")]


@pytest.mark.parametrize("height", [4, 8, 12, 16])
def test_a_missing_end_of_an_epoch_with_the_blocks_before_it(tamper, height):
    found = tamper(("DELETE FROM block WHERE height IN (?, ?)", height - 1, height))
    assert found[:2] == [("block-missing", f"height {height - 1}"), ("block-missing", f"height {height}")]
    assert {code for code, _ in found[2:]} <= {"state-mismatch"}


@pytest.mark.parametrize("field", ["delegates_hash", "next_delegates_hash"])
@pytest.mark.parametrize("height", [4, 8, 9, 18])
def test_a_header_that_names_another_set(sound, tamper, field, height):
    header = Header.from_bytes(read(sound, "SELECT header FROM block WHERE height = ?", height))
    forged = replace(header, **{field: bytes(32)}).to_bytes()
    found = tamper(("UPDATE block SET header = ? WHERE height = ?", forged, height))
    assert ("block-invalid", f"height {height}") in found
    assert {subject for _, subject in found} <= {f"height {height}", f"height {height - 1}"}


def test_votes_under_another_number(sound, tamper):
    """Each is of a delegate, none of the delegate that it says."""
    votes = decode(read(sound, "SELECT votes FROM block WHERE height = 10"))
    moved = [[number, signature] for (number, _), (_, signature) in zip(votes, votes[1:] + votes[:1], strict=True)]
    assert tamper(("UPDATE block SET votes = ? WHERE height = 10", encode(moved))) == [("vote-invalid", "height 10")]


def test_a_quorum_of_the_set_before_is_none(sound, tamper):
    votes = decode(read(sound, "SELECT votes FROM block WHERE height = 9"))
    assert tamper(("UPDATE block SET votes = ? WHERE height = 9", encode(votes[:4]))) == [("vote-invalid", "height 9")]


ENTRIES = {
    "stake": stake_key(HOLDERS[0].public),
    "delegate": delegate_key(NEW[0].public),
    "roll": ROLL_KEY,
    "elected": ELECTED_KEY,
    "first set": delegate_set_key(ELECTED.first_set.hash),
    "anchor": anchor_key(anchor(1003).digest),
}


@pytest.mark.parametrize(
    "statement", ["UPDATE state_entry SET value = X'00' WHERE entry_key = ?", "DELETE FROM state_entry WHERE entry_key = ?"]
)
@pytest.mark.parametrize("key", ENTRIES.values(), ids=ENTRIES)
def test_an_edited_or_missing_state_row(tamper, statement, key):
    assert tamper((statement, key)) == [("state-mismatch", f"state entry {key.hex()}")]


def test_more_weight_than_there_is(tamper):
    key = stake_key(HOLDERS[0].public)
    assert tamper(("UPDATE state_entry SET value = ? WHERE entry_key = ?", encode([999, [], 0]), key)) == [
        ("state-mismatch", f"state entry {key.hex()}")
    ]
