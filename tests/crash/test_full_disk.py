"""The disk of the ledger, or that of the marks, is full or read-only: one clear sentence, no damage, and it goes on when there is room again."""

from contextlib import closing, contextmanager

import pytest
from chain_case import DELEGATES, GENESIS, SmallChain, anchor
from chain_with_outbox import ChainWithOutbox
from delegate_case import Round
from small_disk import mounted
from sqlalchemy import text

from chain.database import LedgerUnreachable
from chain.engine import EmbeddedEngine, NoQuorum
from chain.store import LedgerStore
from chain.watermark import Duty, WatermarkUnusable, create_watermark
from gateway.readiness import ROOM_FOR_MARKS, _room_in


@pytest.fixture
def disk(tmp_path):
    with mounted(tmp_path / "disk") as disk:
        yield disk


@contextmanager
def gateway_of(tmp_path, ledger, marks):
    with closing(ChainWithOutbox(tmp_path, ledger, marks)) as gateway:
        gateway.put(0)
        assert gateway.slot_job()[0].header.height == 1
        yield gateway


def assert_whole(gateway, anchors):
    while gateway.waiting() or gateway.store.proposal():
        assert gateway.slot_job()[1] == []
    ledger = gateway.ledger()
    assert ledger.head().log_size == anchors
    assert sorted(ledger.anchor_of(anchor(number).digest) for number in range(anchors)) == list(range(anchors))
    assert ledger.rejected() == []
    assert gateway.findings(gateway.known()) == []


def test_a_full_disk_of_the_ledger_pauses_the_chain(tmp_path, disk):
    with gateway_of(tmp_path, disk.folder, tmp_path) as gateway:
        disk.fill()
        number = 1
        told = []
        while not told:  # what the write-ahead log has allocated still takes something
            assert number < 200
            gateway.put(number)
            number, told = number + 1, gateway.slot_job()[1]
        assert told == [("error", "no block in this slot", "the ledger cannot be written: its disk is full")]
        assert gateway.slot_job() == (None, told)
        assert gateway.findings(gateway.known()) == []
        disk.empty()
        assert_whole(gateway, number)


def test_a_full_disk_of_the_marks_pauses_the_chain(tmp_path, disk):
    with gateway_of(tmp_path, tmp_path, disk.folder) as gateway:
        disk.fill()
        assert _room_in(disk.folder, ROOM_FOR_MARKS) == "the disk is full"
        gateway.put(1)
        for _ in range(2):
            block, [(level, event, reason)] = gateway.slot_job()
            assert (block, level, event) == (None, "error", "no block in this slot")
            assert "watermark cannot be written, so nothing was signed: No space left on device" in reason
        disk.empty()
        assert _room_in(disk.folder, ROOM_FOR_MARKS) is None
        assert_whole(gateway, 2)
        assert not list(disk.folder.glob("*.new"))


def test_marks_of_voters_that_cannot_be_written_are_told_one_by_one(tmp_path, disk):
    """The producer has signed already, so the block waits for its votes."""
    with gateway_of(tmp_path, tmp_path, disk.folder) as gateway:
        gateway.put(1)
        producer = gateway.engine._delegates[gateway.engine._committed.tip.acting.keys[_producer_after(gateway)]]
        write = producer._watermark.advance
        producer._watermark.advance = lambda *mark: (write(*mark), disk.fill())
        block, [(level, event, reason)] = gateway.slot_job()
        assert (block, level, event) == (None, "error", "no quorum in this slot")
        assert reason.count("No space left on device") >= 2
        producer._watermark.advance = write
        signed = gateway.store.proposal()
        disk.empty()
        final, told = gateway.slot_job()
        assert (final.header.to_bytes(), final.signature, told) == (signed.header, signed.signature, [])
        assert_whole(gateway, 2)


def _producer_after(gateway):
    committed = gateway.engine._committed
    return committed.machine.producer(committed.tip, gateway.slot + 1)


def test_nothing_starts_on_a_disk_that_is_read_only(tmp_path, disk):
    with gateway_of(tmp_path, disk.folder, disk.folder) as gateway:
        gateway.close()
        disk.make_read_only()
        assert _room_in(disk.folder, 0) == "the disk is read-only"
        with pytest.raises(LedgerUnreachable):
            gateway.open()
        disk.make_writable()
        gateway.open()
        gateway.put(1)
        assert_whole(gateway, 2)


def test_a_key_whose_mark_cannot_be_locked_does_not_start(tmp_path, disk):
    chain = SmallChain(tmp_path)
    chain.close()
    path = disk.folder / "key.watermark"
    create_watermark(path, GENESIS.chain_id, DELEGATES[0].public)
    disk.make_read_only()
    store = LedgerStore.open(chain.url, GENESIS)
    with pytest.raises(WatermarkUnusable, match=r"key\.watermark cannot be locked: Read-only file system"):
        EmbeddedEngine.open(store, GENESIS, [(DELEGATES[0], path)])
    store.close()


def test_a_ledger_that_became_read_only_is_told_in_words(tmp_path):
    chain = SmallChain(tmp_path)
    with chain.store.engine.connect() as connection:
        connection.execute(text("PRAGMA query_only=ON"))
    with pytest.raises(LedgerUnreachable, match="its file or its disk is read-only"):
        chain.submit(anchor(1))
    with chain.store.engine.connect() as connection:
        connection.execute(text("PRAGMA query_only=OFF"))
    assert chain.record(anchor(1)).header.height == 1
    chain.close()


class Enough(BaseException):
    """Ends the work of a delegate."""


def test_a_delegate_elsewhere_pauses_and_goes_on(tmp_path, disk):
    """First its copy cannot take a block, then, of the next one, its mark cannot be written."""
    with closing(Round(tmp_path)) as round_:
        other, absent = round_.others[:2]
        moved(other, disk.folder)
        round_.record()
        other.is_up = False
        record_without(round_, 2)
        disk.fill()
        work(other, disk, lambda: other.replica.height == 2)
        assert {one["reason"] for one in other.events("paused")} == {"the ledger cannot be written: its disk is full"}
        absent.is_up = False
        with pytest.raises(NoQuorum):
            record_without(round_, 3)
        disk.fill()
        work(other, disk, lambda: (Duty.VOTE, 3) in [(one["duty"], one["height"]) for one in other.events("signed")])
        assert "so nothing was signed: No space left on device" in other.events("paused")[-1]["reason"]
        other.is_up = True
        assert [vote.delegate for vote in round_.chain.produce().votes] == [0, 1, 3]


def record_without(round_, height):
    """Slots until a block of this height is final: the slot of one that is away passes."""
    while round_.chain.ledger().height() < height:
        round_.number += 1
        round_.chain.submit(anchor(round_.number))
        round_.chain.slot += 1
        try:
            round_.chain.engine.produce(round_.chain.now())
        except NoQuorum:
            if round_.chain.store.proposal().signature is not None:
                raise


def work(other, disk, is_done):
    """Until it is done; the disk has room again after two pauses."""
    told = len(other.events("paused"))

    def sleep(_):
        if len(other.events("paused")) == told + 2 and (disk.folder / "ballast").exists():
            disk.empty()
        if is_done():
            raise Enough

    other.delegation._sleep = sleep
    with pytest.raises(Enough):
        other.delegation.run()
    assert len(other.events("paused")) >= told + 2


def moved(other, folder):
    other.close()
    for path in other.folder.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    other.folder, other.url = folder, f"sqlite:///{folder}/ledger.db"
    other.open()
