"""Tampering with ledger.db: each change is made in the rows of a sound ledger and must be named with its place,
whether or not signatures are verified ahead, whatever stretches of blocks the rows are read in.
"""

import sqlite3
from concurrent.futures import ThreadPoolExecutor

import pytest
from chain_case import DELEGATES, GATEWAY_ID, GENESIS, SmallChain, anchor, batch, grant, party, revoke
from lenient_machine import LenientMachine
from msgspec.structs import replace

from chain import stored_rows, verify
from chain.block import Header
from chain.encoding import decode, encode
from chain.entries import GrantEntry, access_batch_key, anchor_key, grant_key, party_key, sequence_key
from chain.state_machine import StateMachine
from chain.store import LedgerStore
from chain.verify import verify_chain

HEIGHTS = 9
TRANSACTIONS = 2 * HEIGHTS
CONSENTS = [(anchor(1),), (grant(1, 1), grant(2, 2)), (batch(3, 6),), (revoke(1, 7),), (batch(8, 9, leaves=2),), (revoke(2, 12),)]


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    """Nine blocks of two transactions: more than two epochs of four. The known hash of each height goes with it."""
    chain = SmallChain(tmp_path_factory.mktemp("sound"))
    for number in range(HEIGHTS):
        chain.record(anchor(number), party(client_id=f"hospital-{number:08x}", attestation=f"attest {number}"))
    chain.known_hashes = [(height, chain.ledger().block(height).hash) for height in range(1, HEIGHTS + 1)]
    assert chain.findings(chain.known_hashes) == []
    chain.close()
    return chain


@pytest.fixture
def tamper(sound, tmp_path):
    """Runs statements on a copy and returns the findings as (code, subject) pairs."""
    return tampering(sound, tmp_path)


@pytest.fixture(scope="module")
def consented(tmp_path_factory):
    """Six blocks: an anchor, then grants, a batch, a revoke, a batch, another revoke; log indices are those of `CONSENTS`."""
    chain = SmallChain(tmp_path_factory.mktemp("consented"))
    for bodies in CONSENTS:
        chain.record(*bodies)
    assert chain.findings() == []
    chain.close()
    return chain


@pytest.fixture
def tamper_consents(consented, tmp_path):
    """As `tamper`, on the chain of consents."""
    return tampering(consented, tmp_path)


def tampering(sound, tmp_path):
    with sqlite3.connect(sound.folder / "ledger.db") as original, sqlite3.connect(tmp_path / "ledger.db") as copy:
        original.backup(copy)

    def run(*statements, known=()):
        with sqlite3.connect(tmp_path / "ledger.db") as connection:
            for statement, *values in statements:
                assert connection.execute(statement, values).rowcount > 0, "the statement changed nothing"
        connection.close()
        store = LedgerStore.open(f"sqlite:///{tmp_path}/ledger.db", GENESIS, read_only=True)
        found = list(verify_chain(store, GENESIS, known))
        with ThreadPoolExecutor(1) as executor, pytest.MonkeyPatch.context() as patch:
            patch.setattr(stored_rows, "STRETCH_BLOCKS", 2)
            assert list(verify_chain(store, GENESIS, known, executor)) == found
        store.close()
        return [(finding.code.value, finding.subject) for finding in found]

    return run


def read(sound, query, *values):
    connection = sqlite3.connect(sound.folder / "ledger.db")
    (value,) = connection.execute(query, values).fetchone()
    connection.close()
    return value


def flip(data, place):
    return data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]


@pytest.mark.parametrize("place", [20, 60, 150, 190, -1])
def test_an_edited_transaction(sound, tamper, place):
    raw = read(sound, "SELECT raw FROM log_entry WHERE log_index = 6")
    found = tamper(("UPDATE log_entry SET raw = ? WHERE log_index = 6", flip(raw, place % len(raw))))
    assert found == [("transaction-invalid", "height 4"), ("log-mismatch", "height 4")]


def test_two_edited_transactions_are_both_named(sound, tamper):
    raws = {index: read(sound, "SELECT raw FROM log_entry WHERE log_index = ?", index) for index in (2, 14)}
    found = tamper(*(("UPDATE log_entry SET raw = ? WHERE log_index = ?", flip(raw, 50), index) for index, raw in raws.items()))
    assert {("log-mismatch", "height 2"), ("log-mismatch", "height 8")} <= set(found)
    assert all(subject in {"height 2", "height 8"} for _, subject in found)


def test_a_transaction_replaced_by_another_of_its_signer(sound, tamper):
    """Valid in itself; only the log tells it from what was recorded."""
    other = sound.signed(anchor(3), valid_until=999_999)
    found = tamper(("UPDATE log_entry SET raw = ? WHERE log_index = 6", other))
    assert ("log-mismatch", "height 4") in found
    assert ("index-mismatch", "transaction 6") in found


def test_a_missing_transaction(tamper):
    found = tamper(("DELETE FROM log_entry WHERE log_index = 7",))
    assert found == [("transaction-invalid", "height 4"), ("log-mismatch", "height 4")]


def test_a_transaction_that_no_block_records(sound, tamper):
    found = tamper(("INSERT INTO log_entry VALUES (?, ?)", TRANSACTIONS, sound.signed(anchor(77))))
    assert found == [("block-missing", f"height {HEIGHTS + 1}")]


HEADER_FIELDS = {
    "height": 7,
    "slot": 99,
    "time": 5,
    "previous": bytes(32),
    "log_size": 9,
    "log_root": bytes(32),
    "state_root": b"\x01" + bytes(32),
    "delegates_hash": bytes(32),
    "next_delegates_hash": bytes(32),
    "producer": DELEGATES[0].public,
    "voters": b"\x07",
    "chain_id": bytes(32),
}


@pytest.mark.parametrize("field", HEADER_FIELDS)
@pytest.mark.parametrize("height", [1, 4, HEIGHTS])
def test_an_edited_header(sound, tamper, field, height):
    header = Header.from_bytes(read(sound, "SELECT header FROM block WHERE height = ?", height))
    value = HEADER_FIELDS[field]
    if getattr(header, field) == value:
        value = DELEGATES[1].public if field == "producer" else value + 1
    found = tamper(("UPDATE block SET header = ? WHERE height = ?", replace(header, **{field: value}).to_bytes(), height))
    assert ("block-invalid", f"height {height}") in found
    allowed = {f"height {height}", f"height {height - 1}"} | ({f"height {HEIGHTS}"} if field == "state_root" else set())
    assert {subject for _, subject in found} <= allowed


def test_a_header_of_junk(tamper):
    assert tamper(("UPDATE block SET header = ? WHERE height = 4", b"junk")) == [("block-invalid", "height 4")]


def test_an_edited_producer_signature(sound, tamper):
    signature = read(sound, "SELECT signature FROM block WHERE height = 4")
    assert tamper(("UPDATE block SET signature = ? WHERE height = 4", flip(signature, 5))) == [("block-invalid", "height 4")]


def votes_changed(change):
    def apply(sound):
        return encode(change(decode(read(sound, "SELECT votes FROM block WHERE height = 4"))))

    return apply


VOTES = {
    "edited": votes_changed(lambda votes: [votes[0], [1, flip(votes[1][1], 3)], *votes[2:]]),
    "one gone, still a quorum": votes_changed(lambda votes: votes[1:]),
    "too few": votes_changed(lambda votes: votes[:2]),
    "none": votes_changed(lambda _: []),
    "out of order": votes_changed(lambda votes: votes[::-1]),
    "one twice": votes_changed(lambda votes: [votes[0], *votes]),
    "of no delegate": votes_changed(lambda votes: [*votes, [4, votes[0][1]]]),
    "of a negative delegate": votes_changed(lambda votes: [[-1, votes[3][1]], *votes[:3]]),
    "under another's name": votes_changed(lambda votes: [[0, votes[1][1]], [1, votes[0][1]], *votes[2:]]),
    "no list": votes_changed(lambda _: 7),
    "no pairs": votes_changed(lambda _: [1, 2, 3]),
    "not CBOR": lambda _: b"\xff",
}


@pytest.mark.parametrize("change", VOTES.values(), ids=VOTES)
def test_edited_votes(sound, tamper, change):
    assert tamper(("UPDATE block SET votes = ? WHERE height = 4", change(sound))) == [("vote-invalid", "height 4")]


def test_swapped_blocks(tamper):
    found = tamper(
        ("UPDATE block SET height = -1 WHERE height = 3",),
        ("UPDATE block SET height = 3 WHERE height = 5",),
        ("UPDATE block SET height = 5 WHERE height = -1",),
    )
    assert ("block-invalid", "height 3") in found
    assert ("block-invalid", "height 5") in found


@pytest.mark.parametrize("height", [1, 4, 5, 8])
def test_a_missing_block(tamper, height):
    assert tamper(("DELETE FROM block WHERE height = ?", height)) == [("block-missing", f"height {height}")]


def test_two_missing_blocks_at_an_epochs_end(tamper):
    assert tamper(("DELETE FROM block WHERE height IN (3, 4)",)) == [("block-missing", "height 3"), ("block-missing", "height 4")]


def test_a_row_far_beyond_the_others_keeps_no_audit_busy(tamper, monkeypatch):
    monkeypatch.setattr(verify, "_MISSING", 5)
    row = "INSERT INTO block SELECT ?, log_size, header, signature, votes FROM block WHERE height = 9"
    assert tamper((row, (1 << 63) - 1)) == [("block-missing", f"height {height}") for height in range(10, 10 + 5 + 2)]


def test_a_truncated_chain(tamper):
    found = tamper(("DELETE FROM block WHERE height > 6",))
    assert ("block-missing", "height 7") in found


def test_a_chain_truncated_with_all_that_is_derived(sound, tamper):
    """By itself a valid shorter ledger; a delegate's watermark knows better."""
    shorter = SmallChain(sound.folder.parent / "shorter") if (sound.folder.parent / "shorter").mkdir() is None else None
    for number in range(6):
        shorter.record(anchor(number), party(client_id=f"hospital-{number:08x}", attestation=f"attest {number}"))
    assert shorter.findings() == []
    assert shorter.findings(sound.known()) == [("block-missing", f"height {HEIGHTS}")]
    assert shorter.findings([(5, bytes(32))]) == [("block-invalid", "height 5")]
    shorter.close()


def test_a_block_that_its_delegate_did_not_own(tmp_path):
    """Signed, voted and executed, but out of turn: a whole quorum that broke the schedule."""

    class Disordered(StateMachine):
        def producer(self, tip, slot):
            return (super().producer(tip, slot) + (tip.height == 1)) % 4

    chain = SmallChain(tmp_path)
    chain.engine._committed.machine = Disordered(GENESIS)
    chain.record(anchor(1))
    chain.record(anchor(2))
    chain.record(anchor(3))
    assert chain.findings() == [("schedule-invalid", "height 2")]
    chain.close()


@pytest.mark.parametrize(
    "statement",
    ["UPDATE state_entry SET value = X'00' WHERE entry_key = ?", "DELETE FROM state_entry WHERE entry_key = ?"],
)
@pytest.mark.parametrize("key", [anchor_key(anchor(2).digest), party_key("hospital-00000003"), party_key("gateway-00000000")])
def test_an_edited_or_missing_state_row(tamper, statement, key):
    assert tamper((statement, key)) == [("state-mismatch", f"state entry {key.hex()}")]


def test_a_foreign_state_row(tamper):
    key = bytes(32)
    assert tamper(("INSERT INTO state_entry VALUES (0, ?, X'00')", key)) == [("state-mismatch", f"state entry {key.hex()}")]


def test_a_state_row_in_the_wrong_bucket(tamper):
    key = anchor_key(anchor(2).digest)
    found = tamper(("UPDATE state_entry SET bucket = bucket + 1 WHERE entry_key = ?", key))
    assert ("state-mismatch", f"state entry {key.hex()}") in found


def test_an_edited_tile(sound, tamper):
    hashes = read(sound, "SELECT hashes FROM log_tile")
    for changed in (flip(hashes, 70), hashes[:-32], hashes + bytes(32)):
        assert tamper(("UPDATE log_tile SET hashes = ?", changed)) == [("log-mismatch", "log tile 0/0")]


def test_missing_and_foreign_tiles(tamper):
    assert tamper(("DELETE FROM log_tile",)) == [("log-mismatch", "log tile 0/0"), ("log-mismatch", "log tiles")]
    found = tamper(("INSERT INTO log_tile VALUES (0, 5, X'00')",))
    assert ("log-mismatch", "log tiles") in found or ("log-mismatch", "log tile 0/0") in found


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE transaction_index SET log_index = log_index + 1 WHERE log_index = 7",
        "UPDATE party_history SET party = X'00' WHERE log_index = 7",
        "DELETE FROM party_history WHERE log_index = 7",
        "DELETE FROM transaction_index WHERE log_index = 7",
    ],
)
def test_an_edited_or_missing_index_row(tamper, statement):
    assert tamper((statement,)) == [("index-mismatch", "transaction 7")]


def test_an_index_row_under_another_identity(tamper):
    found = tamper(("UPDATE transaction_index SET tx_prefix = X'00' WHERE log_index = 7",))
    assert found == [("index-mismatch", "transaction 7"), ("index-mismatch", "transaction index")]


def test_a_foreign_index_row_beside_one_of_the_same_prefix(tamper):
    found = tamper(("INSERT INTO transaction_index SELECT tx_prefix, 999 FROM transaction_index WHERE log_index = 7",))
    assert found == [("index-mismatch", "transaction index")]


def test_an_edited_log_size_column(tamper):
    assert tamper(("UPDATE block SET log_size = log_size + 1 WHERE height = 4",)) == [("index-mismatch", "height 4")]


@pytest.mark.parametrize("size", [0, 1, 1 << 40, -5])
def test_an_impossible_log_size_is_survived(sound, tamper, size):
    signature = read(sound, "SELECT signature FROM block WHERE height = 4")
    found = tamper(("UPDATE block SET log_size = ?, signature = ? WHERE height = 4", size, flip(signature, 0)))
    assert ("block-invalid", "height 4") in found
    assert ("log-mismatch", "height 4") in found


CONSENT_PLACES = {1: "height 2", 2: "height 2", 3: "height 3", 4: "height 4", 5: "height 5", 6: "height 6"}


@pytest.mark.parametrize("place", [20, 60, 75, 130, -80, -1])
@pytest.mark.parametrize("index", CONSENT_PLACES)
def test_an_edited_consent_or_batch(consented, tamper_consents, index, place):
    raw = read(consented, "SELECT raw FROM log_entry WHERE log_index = ?", index)
    found = tamper_consents(("UPDATE log_entry SET raw = ? WHERE log_index = ?", flip(raw, place % len(raw)), index))
    assert {("transaction-invalid", CONSENT_PLACES[index]), ("log-mismatch", CONSENT_PLACES[index])} <= set(found)


REPLACED = {
    "a grant under another number": (1, grant(1, 2)),
    "a grant of another key": (1, grant(3, 1)),
    "a batch of fewer leaves": (3, batch(3, 6, leaves=2)),
    "a batch that begins earlier": (5, batch(1, 9)),
    "a batch that ends later": (5, batch(8, 11)),
    "a revoke under a later number": (4, revoke(1, 9)),
    "a revoke of another grant": (4, revoke(2, 7)),
}


@pytest.mark.parametrize(("index", "body"), REPLACED.values(), ids=REPLACED)
def test_a_consent_or_batch_that_its_gateway_signed_anew(consented, tamper_consents, index, body):
    """The gateway itself would have it otherwise, with valid signatures: what is final says no."""
    raw = consented.signed(body)
    found = tamper_consents(("UPDATE log_entry SET raw = ? WHERE log_index = ?", raw, index))
    assert ("log-mismatch", CONSENT_PLACES[index]) in found


@pytest.mark.parametrize("index", CONSENT_PLACES)
def test_a_missing_consent_or_batch(tamper_consents, index):
    found = tamper_consents(("DELETE FROM log_entry WHERE log_index = ?", index))
    assert {("transaction-invalid", CONSENT_PLACES[index]), ("log-mismatch", CONSENT_PLACES[index])} <= set(found)


CONSENT_ENTRIES = {
    "grant": grant_key(grant(1, 1).grant_id),
    "batch": access_batch_key(GATEWAY_ID, 0),
    "last batch": access_batch_key(GATEWAY_ID, 1),
    "sequence": sequence_key(GATEWAY_ID),
}


@pytest.mark.parametrize(
    "statement", ["UPDATE state_entry SET value = X'00' WHERE entry_key = ?", "DELETE FROM state_entry WHERE entry_key = ?"]
)
@pytest.mark.parametrize("key", CONSENT_ENTRIES.values(), ids=CONSENT_ENTRIES)
def test_an_edited_or_missing_state_row_of_a_consent(tamper_consents, statement, key):
    assert tamper_consents((statement, key)) == [("state-mismatch", f"state entry {key.hex()}")]


def test_a_revoke_taken_out_of_the_state(consented, tamper_consents):
    """The row that would bring a revoked grant back to life."""
    key = CONSENT_ENTRIES["grant"]
    entry = GrantEntry.from_value(read(consented, "SELECT value FROM state_entry WHERE entry_key = ?", key))
    alive = entry._replace(revoked=None).to_value()
    found = tamper_consents(("UPDATE state_entry SET value = ? WHERE entry_key = ?", alive, key))
    assert found == [("state-mismatch", f"state entry {key.hex()}")]


BROKEN_RULES = {
    "a grant of no one-time key": grant(1, 6, gateway="gateway-00000001"),
    "a grant a second time": grant(7, 6),
    "an access before what is recorded": batch(1, 5),
    "a revoke before the grant": revoke(7, 2),
    "a revoke of no one-time key": replace(revoke(7, 6), signature=bytes(64)),
}


@pytest.mark.parametrize("body", BROKEN_RULES.values(), ids=BROKEN_RULES)
def test_a_quorum_that_broke_a_rule_of_consent(tmp_path, body):
    """All delegates agreed on what the rules refuse; the replay does not."""
    chain = SmallChain(tmp_path)
    chain.record(grant(7, 5))
    chain.engine._committed.machine = LenientMachine(GENESIS)
    assert len(chain.record(body).votes) == 4
    found = chain.findings()
    assert found[0] == ("transaction-invalid", "height 2")
    assert all(code in {"transaction-invalid", "state-mismatch", "index-mismatch"} for code, _ in found)
    chain.close()
