"""A copy that begins with a snapshot: what it proves, what of a forged one is found, and that it votes and verifies like the others."""

import io
import shutil

import pytest
from chain_case import DELEGATES, ELECTED, GENESIS, HOLDERS, NEW, SmallChain, anchor, genesis_bytes, party, registration, vote
from delegate_case import Elsewhere, Shown
from msgspec.structs import replace

from chain.block import Header, block_hash, sign_vote
from chain.encoding import decode, encode
from chain.genesis import Genesis
from chain.ledger import Ledger
from chain.record_file import FileInvalid, read_records, write_record
from chain.snapshot import begin_copy, load_base, write_snapshot
from chain.store import LedgerStore
from chain.verify import verify_chain
from gateway.client.delegate import ChainContradicted

BLOCKS = 9  # two epochs of four, and one block


def written(chain, genesis=GENESIS):
    file = io.BytesIO()
    header = write_snapshot(chain.store, genesis, file, lambda _done, _total: None)
    return header, file.getvalue()


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    chain = SmallChain(tmp_path_factory.mktemp("sound"))
    for number in range(BLOCKS):
        chain.record(anchor(number), party(client_id=f"hospital-{number:08x}", attestation=f"attest {number}"))
    chain.snapshot = written(chain)[1]
    chain.close()
    return chain


def copy_from(snapshot, tmp_path, genesis=GENESIS):
    url = f"sqlite:///{tmp_path}/copy.db"
    begin_copy(url, genesis, io.BytesIO(snapshot))
    return LedgerStore.open(url, genesis)


def records(snapshot):
    return list(read_records(io.BytesIO(snapshot)))


def joined(listed):
    file = io.BytesIO()
    for record in listed:
        write_record(file, record)
    return file.getvalue()


class Newcomer(Elsewhere):
    """A delegate elsewhere whose copy began with a snapshot."""

    def __init__(self, folder, member, chain, snapshot):
        super().__init__(folder, member, Shown(chain), chain.now)
        self.close()
        (folder / "ledger.db").unlink()
        begin_copy(self.url, GENESIS, io.BytesIO(snapshot))
        self.open()

    def findings(self, snapshot):
        return list(verify_chain(self.store, GENESIS, base=load_base(io.BytesIO(snapshot), GENESIS)))


@pytest.fixture
def running(sound, tmp_path):
    """The sound chain, going on; three keys with the gateway, so that the fourth is elsewhere."""
    shutil.copytree(sound.folder, tmp_path / "gateway")
    chain = SmallChain.__new__(SmallChain)
    chain.__dict__.update(sound.__dict__, folder=tmp_path / "gateway", url=f"sqlite:///{tmp_path}/gateway/ledger.db", number=BLOCKS)
    chain.keys = DELEGATES[:3]
    chain.open()
    yield chain
    chain.close()


def go_on(chain, blocks):
    """Empty slots are the newcomer's, who produces nothing here."""
    made = []
    while len(made) < blocks:
        chain.number += 1
        chain.submit(anchor(chain.number))
        if block := chain.produce():
            made.append(block)
    return made


def test_a_copy_that_began_with_a_snapshot_follows_votes_and_verifies(running, sound, tmp_path):
    newcomer = Newcomer(tmp_path / "new", DELEGATES[3], running, sound.snapshot)
    assert (newcomer.replica.first, newcomer.replica.beginning, newcomer.replica.height) == (1, BLOCKS, BLOCKS)
    assert newcomer.findings(sound.snapshot) == []
    blocks = go_on(running, 5)  # the log's edge grows beyond what the snapshot had
    newcomer.delegation.turn()
    assert (newcomer.replica.height, newcomer.replica.hash) == (BLOCKS + 5, blocks[-1].hash)
    assert newcomer.findings(sound.snapshot) == []
    reader = Ledger(newcomer.store, GENESIS)
    assert reader.block(BLOCKS) is None, "its transactions are not here"
    assert reader.header(BLOCKS) == running.ledger().header(BLOCKS)
    assert reader.block(BLOCKS + 1) == running.ledger().block(BLOCKS + 1)
    running.submit(anchor(500))
    proposal = None
    while proposal is None:
        running.slot += 1
        proposal = running.engine._propose(running.slot)
    signed = replace(proposal, signature=running.engine._signed(proposal).signature)
    assert newcomer.replica.sign(signed, running.now()).delegate == DELEGATES[3].public
    newcomer.close()
    newcomer.open()  # what is stored is enough to go on
    newcomer.close()


def test_what_a_copy_cannot_check_is_compared_as_far_as_headers_go(running, sound, tmp_path):
    newcomer = Newcomer(tmp_path / "new", DELEGATES[3], running, sound.snapshot)
    go_on(running, 1)
    newcomer.delegation.turn()
    old = running.ledger().block(2)
    newcomer.shown.blocks = {2: replace(old, transactions=())}
    newcomer.delegation._compare(2)
    header = replace(old.header, log_root=bytes(32))
    newcomer.shown.blocks = {2: replace(old, header=header, hash=header.hash())}
    with pytest.raises(ChainContradicted, match=r"height 2: the header is not the one .* another log_root"):
        newcomer.delegation.run()
    newcomer.close()


def test_rows_before_the_beginning_are_verified(sound, tmp_path):
    base = load_base(io.BytesIO(sound.snapshot), GENESIS)
    for statement, found in {
        "UPDATE beginning SET height = height - 1": ("index-mismatch", f"height {BLOCKS}"),
        "DELETE FROM beginning": ("index-mismatch", f"height {BLOCKS}"),
        "UPDATE block SET header = zeroblob(8) WHERE height = 3": ("block-invalid", "height 3"),
        "DELETE FROM block WHERE height = 1": ("block-invalid", "height 1"),
        "INSERT INTO log_entry VALUES (4, x'00')": ("log-mismatch", f"transaction {2 * BLOCKS - 1}"),
        "UPDATE log_tile SET hashes = zeroblob(length(hashes))": ("log-mismatch", "log tile 0/0"),
    }.items():
        store = copy_from(sound.snapshot, tmp_path)
        with store.engine.begin() as connection:
            connection.exec_driver_sql(statement)
        assert [(one.code.value, one.subject) for one in verify_chain(store, GENESIS, base=base)] == [found], statement
        store.close()
        (tmp_path / "copy.db").unlink()


def test_a_whole_ledger_that_says_it_began_later_is_found(sound, tmp_path):
    shutil.copytree(sound.folder, tmp_path / "other")
    store = LedgerStore.open(f"sqlite:///{tmp_path}/other/ledger.db", GENESIS)
    with store.engine.begin() as connection:
        connection.exec_driver_sql("INSERT INTO beginning VALUES (5)")
    assert [(one.code.value, one.subject) for one in verify_chain(store, GENESIS)] == [("index-mismatch", "height 0")]
    store.close()


def entry_changed(listed):
    listed[-2][1][0][1] = encode([1])


def entry_missing(listed):
    del listed[-2][1][3]
    listed[-1][1] -= 1


def entry_added(listed):
    listed[-2][1].append([b"\xff" * 32, b"\x00"])
    listed[-1][1] += 1


def entries_out_of_order(listed):
    listed[-2][1].reverse()


def entry_twice(listed):
    listed[-2][1].insert(0, listed[-2][1][0])
    listed[-1][1] += 1


def end_missing(listed):
    del listed[-1]


def something_behind_the_end(listed):
    listed.append(listed[-1])


def too_few_votes(listed):
    last_block(listed)[3] = last_block(listed)[3][:2]


def a_vote_that_does_not_hold(listed):
    last_block(listed)[3][0][1] = bytes(64)


def a_header_that_was_not_final(listed):
    """Another state root, voted for by one key alone."""
    header = {**decode(last_block(listed)[1]), 8: b"\x01" + bytes(32)}
    raw = encode(header)
    last_block(listed)[1] = raw
    last_block(listed)[3] = [[0, sign_vote(DELEGATES[0], GENESIS.chain_id, BLOCKS, block_hash(GENESIS.chain_id, raw))]] * 3


def another_block_before(listed):
    blocks(listed)[4][1] = encode({**decode(blocks(listed)[4][1]), 3: 77})


def another_voter_before(listed):
    blocks(listed)[4][3] = blocks(listed)[4][3][:3]


def a_vote_before_that_does_not_hold(listed):
    blocks(listed)[4][3][1][1] = bytes(64)


def a_producers_signature_that_does_not_hold(listed):
    blocks(listed)[4][2] = bytes(64)


def more_blocks_than_there_can_be(listed):
    for _ in range(5):
        listed.insert(1, blocks(listed)[0])


def a_voter_before_all_others(listed):
    blocks(listed)[4][3][0][0] = -1


def a_tile_before_the_last_block(listed):
    listed[1:] = [record for record in listed if record[0] == 3]


def a_handover_that_holds_nothing(listed):
    """Before anything else is read: a file of such has no end."""
    listed[1:] = [[1, blocks(listed)[3][1], [], [bytes(32)]]]


def blocks_missing_at_the_beginning(listed):
    listed.remove(blocks(listed)[0])


def tile_changed(listed):
    tile = next(record for record in listed if record[0] == 3)
    tile[3] = bytes(32) + tile[3][32:]


def tile_missing(listed):
    listed.remove(next(record for record in listed if record[0] == 3))


def of_another_height(listed):
    listed[0][2] -= 1


def blocks(listed):
    return [record for record in listed[1:] if record[0] == 2]


def last_block(listed):
    return blocks(listed)[-1]


FORGERIES = {
    entry_changed: "entries do not give the state root",
    entry_missing: "entries do not give the state root",
    entry_added: "entries do not give the state root",
    entries_out_of_order: "not in order",
    entry_twice: "not in order",
    end_missing: "ends before it is whole",
    something_behind_the_end: "goes on behind its end",
    too_few_votes: "not final: the number of votes is 2",
    a_vote_that_does_not_hold: "not final: the vote of delegate 0",
    a_header_that_was_not_final: "not final",
    another_block_before: "height 5 is not the one before its successor",
    another_voter_before: "votes of height 5 are not those",
    a_vote_before_that_does_not_hold: "height 5: the vote of delegate 1",
    a_producers_signature_that_does_not_hold: "height 5: ",
    a_voter_before_all_others: "a vote of a delegate that cannot be",
    a_tile_before_the_last_block: "another kind than is due",
    more_blocks_than_there_can_be: "not the one that it is of",
    a_handover_that_holds_nothing: "not final: handover 0",
    blocks_missing_at_the_beginning: "do not begin at height 1",
    tile_changed: "do not give the log root",
    tile_missing: "another kind than is due",
    of_another_height: "not the one that it is of",
}


@pytest.mark.parametrize("forge", FORGERIES, ids=lambda forge: forge.__name__)
def test_a_forged_snapshot_is_refused(sound, tmp_path, forge):
    listed = records(sound.snapshot)
    forge(listed)
    with pytest.raises(FileInvalid, match=FORGERIES[forge]):
        copy_from(joined(listed), tmp_path)


def test_a_snapshot_of_another_chain_or_no_snapshot_is_refused(sound, tmp_path):
    other = Genesis.parse(genesis_bytes(heartbeat_slots=11))
    for snapshot, genesis, reason in (
        (sound.snapshot, other, "of another chain"),
        (b"", GENESIS, "is no snapshot"),
        (sound.snapshot[:-1], GENESIS, "is cut off"),
        (b"\x5a\xff\xff\xff\xff", GENESIS, "is cut off, or is none"),
        (b"{}", GENESIS, "is cut off, or is none"),
        (b"\x41\xff", GENESIS, "does not decode"),
    ):
        with pytest.raises(FileInvalid, match=reason):
            copy_from(snapshot, tmp_path, genesis)


def test_where_delegates_are_elected_the_handovers_lead_to_those_who_act(tmp_path, monkeypatch):
    monkeypatch.setattr("chain.snapshot_edge.ATTENDANCE_BLOCKS", 3)
    monkeypatch.setattr("chain.committed.ATTENDANCE_BLOCKS", 3)
    monkeypatch.setattr("chain.election.ATTENDANCE_BLOCKS", 3)
    monkeypatch.setattr("chain.state_machine.ATTENDANCE_BLOCKS", 3)
    chain = SmallChain(tmp_path, genesis=ELECTED)
    for delegate in NEW[:3]:
        chain.add_delegate(delegate)
        chain.submit(registration(delegate), signer=HOLDERS[0])
    chain.reopen()
    for number in range(14):
        for holder in HOLDERS if number == 1 else ():
            chain.submit(vote(*DELEGATES, *NEW[:3]), signer=holder)
        chain.record(anchor(number))
    header, file = written(chain, ELECTED)
    first = next(record[1] for record in records(file) if record[0] == 2)
    assert (header.height, Header.from_bytes(first).height) == (14, 12)
    assert [record[0] for record in records(file)].count(1) == 1
    copy = copy_from(file, tmp_path, ELECTED)
    assert Ledger(copy, ELECTED).delegates.acting() == chain.ledger().delegates.acting() != ELECTED.first_set
    assert list(verify_chain(copy, ELECTED, base=load_base(io.BytesIO(file), ELECTED))) == []
    (tmp_path / "other").mkdir()
    with pytest.raises(FileInvalid, match="not those that act"):
        copy_from(joined([record for record in records(file) if record[0] != 1]), tmp_path / "other", ELECTED)
    copy.close()
    chain.close()
