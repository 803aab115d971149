"""Single bits flipped at random in what a chain has on disk: each is found with its place, or every value of the chain reads as before.

Bits of the database's file, where they hit pages, indices, the layout and the kinds of values as well as the values; bits of its write-ahead
log; bits of a delegate's watermark. FLIPS_SEED repeats a run.
"""

import os
import random
import re
import shutil
import sqlite3
from contextlib import closing, suppress

import pytest
from chain_case import DELEGATES, GENESIS, SmallChain, anchor, batch, grant, party, revoke

from chain.block import block_hash
from chain.database import LedgerMissing
from chain.errors import LedgerError
from chain.store import LedgerStore
from chain.tables import block, log_entry, log_tile, party_history, state_entry, state_tile, transaction_index
from chain.verify import verify_chain
from chain.watermark import Watermark, WatermarkUnusable, read_marks

CAMPAIGN = (1000, 300, 3000)  # flips in the file, the log and a watermark
BLOCKS = [
    (anchor(1), party(signing="hospital")),
    (grant(1, 1), grant(2, 2)),
    (batch(3, 6),),
    (revoke(1, 7),),
    (anchor(2), anchor(3)),
]
LAST = len(BLOCKS)
PLACE = re.compile(
    r"height \d+|transaction \d+|state entry [0-9a-f]+|state tile \d+|log tile \d+/\d+|log tiles|transaction index|table \w+|ledger\.db"
)


class Stored:
    """A small chain at rest: the bytes of its file, and those of a file and a log as a killed process leaves them."""

    def __init__(self, folder):
        chain = SmallChain(folder)
        blocks = [chain.record(*bodies) for bodies in BLOCKS[:-1]]
        checkpoint(folder)
        blocks.append(chain.record(*BLOCKS[-1]))
        self.killed = {name: (folder / name).read_bytes() for name in ("ledger.db", "ledger.db-wal")}
        self.mark = chain.watermark(DELEGATES[0]).read_bytes()
        self.known = chain.known()
        self.blocks = [(final.header.height, final.hash) for final in blocks]
        chain.close()
        checkpoint(folder)
        self.file = (folder / "ledger.db").read_bytes()
        self.values = values(folder / "ledger.db")
        self.entries_at = {index: height for height, first, last in self._spans() for index in range(first, last)}

    def _spans(self):
        ends = [0, *(row[1] for row in self.values["block"])]
        return [(height, ends[height - 1], ends[height]) for height in range(1, LAST + 1)]


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    return Stored(tmp_path_factory.mktemp("stored"))


def checkpoint(folder):
    with closing(sqlite3.connect(folder / "ledger.db")) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def values(path):
    """Every value of what is recorded and derived; which outbox row a transaction came from is neither."""
    with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as connection:
        tables = {
            table.name: [column.name for column in table.columns]
            for table in (block, log_entry, log_tile, party_history, state_entry, state_tile, transaction_index)
        }
        return {
            name: sorted(connection.execute(f"SELECT {', '.join(of)} FROM {name} NOT INDEXED"), key=repr) for name, of in tables.items()
        }


def chance_of(flips):
    """The same in every short run, another in each campaign."""
    seed = int(os.environ.get("FLIPS_SEED", "0")) or (random.SystemRandom().randrange(1, 1 << 32) if flips in CAMPAIGN else 1)
    print(f"FLIPS_SEED={seed}")
    return random.Random(seed)


def flipped(data, chance):
    """Half of the bits anywhere, half where something is written."""
    anywhere = chance.random() < 0.5
    at = chance.randrange(len(data))
    while not anywhere and not data[at]:
        at = chance.randrange(len(data))
    return data[:at] + bytes([data[at] ^ 1 << chance.randrange(8)]) + data[at + 1 :]


def verified(folder, known):
    """The findings' places, or the sentence with which the ledger was not opened."""
    try:
        with closing(LedgerStore.open(f"sqlite:///{folder / 'ledger.db'}", GENESIS, read_only=True)) as store:
            return [finding.subject for finding in verify_chain(store, GENESIS, known)], None
    except LedgerError as error:
        return [], str(error) if not isinstance(error, LedgerMissing) else f"table chain: {error}"


def proposed(folder):
    """The hash of the block that is still to become final."""
    with closing(LedgerStore.open(f"sqlite:///{folder / 'ledger.db'}", GENESIS)) as store:
        return block_hash(GENESIS.chain_id, store.proposal().header)


def fresh(folder):
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    return folder


def check_flip(stored, folder):
    """Whether it was found."""
    subjects, sentence = verified(folder, stored.blocks)
    if sentence is not None:
        assert re.search(r"damaged( in table \w+)?:|table chain|newer version", sentence), sentence
        return True
    assert all(PLACE.fullmatch(subject) for subject in subjects), subjects
    if not subjects:
        assert values(folder / "ledger.db") == stored.values, "a value is another and nothing was found"
        return False
    check_place(stored, folder, subjects)
    return True


def check_place(stored, folder, subjects):
    """Of a value that reads as another, one finding names the table or the very place."""
    try:
        now = values(folder / "ledger.db")
    except sqlite3.DatabaseError:
        assert any(subject.startswith("table") or subject == "ledger.db" for subject in subjects)
        return
    different = [(name, row) for name in now for row in set(map(repr, now[name])) ^ set(map(repr, stored.values[name]))]
    if not different:
        return
    name = different[0][0]
    rows = [row for row in stored.values[name] if row not in now[name]]
    expected = {f"table {name}", "ledger.db"}
    for row in rows:
        expected |= places(stored, name, row)
    assert expected & set(subjects), (different, subjects)


def places(stored, name, row):
    """How a finding may name a row; what a block commits to is also seen at its neighbours."""
    if name == "block":
        return {f"height {row[0] + step}" for step in (-1, 0, 1)}
    if name == "log_entry":
        return {f"transaction {row[0]}", f"height {stored.entries_at[row[0]]}"}
    if name == "state_entry":
        return {f"state entry {row[1].hex()}"}
    if name == "state_tile":
        return {f"state tile {row[0]}"}
    if name in {"transaction_index", "party_history"}:
        return {f"transaction {row[1]}", "transaction index"}
    return {f"log tile {row[0]}/{row[1]}", "log tiles"}


@pytest.mark.parametrize("flips", [60, pytest.param(CAMPAIGN[0], marks=pytest.mark.campaign)])
def test_every_flip_in_the_database_is_found_or_touches_nothing(stored, tmp_path, flips):
    chance, found = chance_of(flips), 0
    for _ in range(flips):
        folder = fresh(tmp_path / "flipped")
        (folder / "ledger.db").write_bytes(flipped(stored.file, chance))
        found += check_flip(stored, folder)
    assert found > flips / 5


@pytest.mark.parametrize("flips", [20, pytest.param(CAMPAIGN[1], marks=pytest.mark.campaign)])
def test_every_flip_in_the_write_ahead_log_costs_whole_blocks_or_nothing(stored, tmp_path, flips):
    """SQLite drops what follows a damaged frame: the chain is shorter, and each voter's mark says so, or the block is still proposed."""
    chance, found = chance_of(flips), 0
    for _ in range(flips):
        folder = fresh(tmp_path / "flipped")
        (folder / "ledger.db").write_bytes(stored.killed["ledger.db"])
        (folder / "ledger.db-wal").write_bytes(flipped(stored.killed["ledger.db-wal"], chance))
        subjects, sentence = verified(folder, stored.known)
        assert sentence is None
        if subjects:
            assert subjects == [f"height {LAST}"]
        elif values(folder / "ledger.db") != stored.values:
            assert proposed(folder) == stored.blocks[-1][1], "a block is gone, and will not be made again as it was"
        found += bool(subjects)
    assert found


@pytest.mark.parametrize("flips", [200, pytest.param(CAMPAIGN[2], marks=pytest.mark.campaign)])
def test_every_flip_in_a_watermark_stops_its_key_or_touches_nothing(stored, tmp_path, flips):
    chance, member, path = chance_of(flips), DELEGATES[0], tmp_path / "key.watermark"
    path.write_bytes(stored.mark)
    before = read_marks(path, GENESIS.chain_id, member.public)
    for _ in range(flips):
        path.write_bytes(flipped(stored.mark, chance))
        with suppress(WatermarkUnusable):
            Watermark(path, GENESIS.chain_id, member.public).close()
            assert read_marks(path, GENESIS.chain_id, member.public) == before
