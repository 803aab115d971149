"""Proofs as the ledger makes them: of any size, of one moment, from a few rows."""

import random
import time
from types import SimpleNamespace

import pytest
from chain_case import ELECTED, SmallChain, anchor
from proof_case import ELECTED_BYTES, SHARED, Grown, digest, is_in_one_bucket
from proof_vectors import FILE, document, to_text
from sqlalchemy import event

from chain import log, merkle
from chain.block import Header
from chain.database import LedgerDamaged
from chain.entries import EntryKind, anchor_key, natural_key_named
from chain.merkle import EMPTY_ROOT, ProofError, leaf_hash
from chain.proof import Known, verify_begins_with, verify_finality
from chain.state import BUCKETS, EMPTY_BY_DEPTH, State, bucket_of, entry_leaf
from chain.state_proof import ProvenEntry, are_neighbours, verify_state
from chain.state_tiles import branch_of, tiles_of, tree_root
from gateway.independent.faults import Invalid
from gateway.independent.state import value_of
from gateway.proof_format import inclusion_of
from gateway.proof_verification import verify_proof
from gateway.receipt_json import to_json
from gateway.vault.submission import to_base64url


@pytest.fixture(scope="module")
def grown(tmp_path_factory):
    return Grown(tmp_path_factory.mktemp("grown"))


def test_the_vectors_are_what_the_generator_makes(grown):
    assert is_in_one_bucket()
    assert FILE.read_text() == to_text(document(grown))


@pytest.mark.parametrize("old", [1, 2, 3, 255, 256, 257, 511, 512, 600])
def test_the_log_proves_from_tiles_what_the_tree_proves_from_leaves(old):
    leaves = [leaf_hash(b"%d" % number) for number in range(600)]
    tiles = log.extended_tiles(lambda *_: b"", 0, leaves)

    def read(level, number):
        return tiles.get((level, number), b"")

    for size in (old, 512, 513, 600):
        if old <= size:
            path = log.consistency_path(read, old, size)
            assert path == merkle.consistency_path(leaves[:size], old)
            merkle.verify_consistency(merkle.root(leaves[:old]), old, merkle.root(leaves[:size]), size, path)


def test_a_long_log_takes_few_tiles():
    """Of 10^7 transactions: what a proof reads is a few rows of 8 kB."""
    seen = []

    def read(level, number):
        seen.append((level, number))
        return bytes(log.TILE_WIDTH * merkle.HASH_SIZE)

    started = time.process_time()
    log.consistency_path(read, 6_543_210, 9_999_999)
    log.inclusion_path(read, 1_234_567, 9_999_999)
    assert len(set(seen)) < 16
    assert time.process_time() - started < 0.2


def test_what_is_not_there_is_not_proven(grown):
    prover = grown.prover
    for ask in (
        lambda: prover.finality(0),
        lambda: prover.finality(11),
        lambda: prover.inclusion(16),
        lambda: prover.inclusion(-1),
        lambda: prover.inclusion(2, size=10_000),
        lambda: prover.inclusion(14, size=9),
        lambda: prover.inclusion(2, size=5),
        lambda: prover.inclusion(2, size=0),
        lambda: prover.inclusion(2, start=11),
        lambda: prover.consistency(0),
        lambda: prover.consistency(17),
        lambda: prover.consistency(10, 9),
        lambda: prover.consistency(3, start=11),
        lambda: prover.state(EntryKind.ROLL, b"", start=11),
        lambda: prover.index_of(bytes(32)),
    ):
        with pytest.raises(ProofError):
            ask()


def test_a_transaction_is_found_by_its_identity(grown):
    said = verify_proof(to_json(inclusion_of(grown.prover.inclusion(5), ELECTED.chain_id)), ELECTED_BYTES).says
    assert grown.prover.index_of(bytes.fromhex(said["transaction"])) == said["index"] == 5


def test_a_state_proof_is_true_at_every_turn_of_a_growing_bucket(tmp_path):
    """Each of the shared anchors, there or not, after each block that adds one."""
    chain = SmallChain(tmp_path)
    ledger = chain.ledger()
    recorded = set()
    for number in (SHARED[5], SHARED[1], SHARED[9], SHARED[6]):
        chain.record(anchor(number))
        recorded.add(number)
        for asked in SHARED:
            proof = ledger.prover.state(EntryKind.ANCHOR, digest(asked))
            header = verify_finality(proof.header, proof.votes, chain.genesis, Known.at_genesis(chain.genesis))
            value = verify_state(anchor_key(digest(asked)), proof.entries, proof.branch, header)
            assert (value is not None) == (asked in recorded)
            assert len(proof.entries) <= (1 if asked in recorded else 2)
    chain.close()


@pytest.mark.parametrize("size", range(1, 18))
def test_neighbours_are_known_by_their_sides(size):
    sides = [merkle.sides_of(index, size) for index in range(size)]
    for lower in range(size):
        for upper in range(size):
            assert are_neighbours(sides[lower], sides[upper]) == (upper == lower + 1)
    assert [index for index in range(size) if all(side == "left" for side in sides[index])] == [size - 1]
    assert [index for index in range(size) if all(side == "right" for side in sides[index])] == [0]


def checked(key, entries, branch, root):
    """What each of the two checkers says of a state of this root."""
    header = SimpleNamespace(state_root=root)
    files = [{"key": one.key.hex(), "value": to_base64url(one.value), "path": [[side, h.hex()] for side, h in one.path]} for one in entries]
    for check, fault in (
        (lambda: verify_state(key, entries, branch, header), ProofError),
        (lambda: value_of(key, files, branch, root), Invalid),
    ):
        try:
            yield check()
        except fault:
            yield "invalid"


def test_where_a_bucket_ends_and_the_tree_begins_is_not_for_the_prover_to_say():
    """In the first bucket every hash of the branch stands on the right, so that one could go over to the entry's path."""
    key, value = bytes(32), b"\x00"
    state = State(lambda _: (), [(key, value), (b"\x00\x01" + bytes(30), value)])
    tiles = tiles_of(state.nodes)
    branch = branch_of(lambda number: tiles.get(number, b""), 0)
    assert list(checked(key, [ProvenEntry(key, value, ())], branch, state.root())) == [value, value]
    moved = ProvenEntry(key, value, (("right", branch[0]),))
    assert list(checked(key, [moved], branch[1:], state.root())) == ["invalid", "invalid"]


def test_an_entry_in_another_bucket_than_its_keys_shows_nothing():
    """Only delegates could make such a state."""
    key, stranger, value = b"\x00\x01" + bytes(30), b"\x00\x02" + bytes(30), b"\x00"
    branch = EMPTY_BY_DEPTH[:0:-1]
    root = b"\x01" + tree_root(1, entry_leaf(stranger, value), branch)
    assert list(checked(key, [ProvenEntry(stranger, value, ())], branch, root)) == ["invalid", "invalid"]
    assert list(checked(stranger, [ProvenEntry(stranger, value, ())], branch, root)) == ["invalid", "invalid"]


def test_tiles_give_the_branches_of_the_tree():
    seeded = random.Random(1)
    entries = sorted({seeded.randbytes(2) + bytes([number]) * 30: b"\x00" for number in range(60)}.items())
    state = State(lambda _: (), entries)
    tiles = tiles_of(state.nodes)
    for bucket in [*(bucket_of(key) for key, _ in entries), 0, 1, BUCKETS - 1]:
        branch = branch_of(lambda number: tiles.get(number, b""), bucket)
        assert b"\x01" + tree_root(bucket, state.nodes.get(BUCKETS + bucket, EMPTY_ROOT), branch) == state.root()


@pytest.mark.parametrize("which", ["", " WHERE number = 1"])
def test_the_first_block_after_the_migration_writes_all_tiles(tmp_path, which):
    chain = SmallChain(tmp_path)
    chain.record(anchor(1))
    with chain.store.engine.begin() as connection:
        connection.exec_driver_sql(f"DELETE FROM state_tile{which}")
    with pytest.raises(LedgerDamaged):
        chain.ledger().prover.state(EntryKind.ANCHOR, digest(1))
    assert bool(chain.findings()) == bool(which), "without any it is as in a ledger of an earlier version"
    chain.produce(slots=20)
    assert chain.findings() == []
    assert chain.ledger().prover.state(EntryKind.ANCHOR, digest(1)).entries
    chain.close()


@pytest.mark.parametrize("statement", ["UPDATE state_tile SET hashes = X'00' WHERE number = 1", "INSERT INTO state_tile VALUES (3, X'00')"])
def test_an_altered_tile_is_found_and_proves_nothing(tmp_path, statement):
    chain = SmallChain(tmp_path)
    chain.record(anchor(1))
    with chain.store.engine.begin() as connection:
        connection.exec_driver_sql(statement)
    assert [code for code, _ in chain.findings()] == ["state-mismatch"]
    if "= 1" in statement:
        with pytest.raises(LedgerDamaged):
            chain.ledger().prover.state(EntryKind.ANCHOR, digest(1))
    chain.close()


def test_a_proof_reads_one_moment_of_the_ledger(tmp_path):
    """A block that becomes final between two of its statements is not seen by either."""
    chain = SmallChain(tmp_path)
    chain.record(anchor(SHARED[2]))
    ledger = chain.ledger()
    rest = [anchor(SHARED[at]) for at in (3, 4, 6, 9)]

    @event.listens_for(ledger._store.engine, "before_cursor_execute")
    def between(*_):
        if rest:
            chain.record(rest.pop())

    proof = ledger.prover.state(EntryKind.ANCHOR, digest(SHARED[4]))
    consistency = ledger.prover.consistency(1)
    verify_begins_with(1, consistency.root, consistency.path, Header.from_bytes(consistency.header))
    assert not rest
    assert Header.from_bytes(proof.header).height < ledger.height()
    chain.close()


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        (EntryKind.ANCHOR, ""),
        (EntryKind.ANCHOR, "00" * 31),
        (EntryKind.ANCHOR, "AB" * 32),
        (EntryKind.ANCHOR, "zz" * 32),
        (EntryKind.ANCHOR, " ".join(["00"] * 32)),
        (EntryKind.ROLL, "x"),
        (EntryKind.ACCESS_BATCH, "gateway"),
        (EntryKind.ACCESS_BATCH, "gateway/-1"),
        (EntryKind.ACCESS_BATCH, "gateway/٣"),
        (EntryKind.ACCESS_BATCH, "gateway/" + "9" * 30),
    ],
)
def test_a_name_that_is_none_is_refused(kind, name):
    with pytest.raises(ValueError):
        natural_key_named(kind, name)
