"""Old transactions on their way into the bucket: whole at every crash, readable and proven afterwards, and found when they are altered."""

import sys
from contextlib import suppress
from types import SimpleNamespace

import pytest
import structlog
from chain_case import DELEGATES, SmallChain, anchor, genesis_bytes, party

from chain import archive
from chain.archive import Packs, pack_name, pack_of_name
from chain.database import LedgerDamaged
from chain.genesis import Genesis
from chain.ledger import Ledger
from chain.proof import verify_log_proof
from chain.store import LedgerStore
from gateway.logs import configure_logs
from gateway.metrics import Metrics
from gateway.storage.file_store import FileObjectStore
from gateway.storage.packs import object_reader
from gateway.web.app import create_app
from gateway.web.media_type import FHIR_JSON
from jobs.archive_blocks import Archived, archive_blocks

pytestmark = pytest.mark.both_databases(slow=True)

GENESIS = Genesis.parse(genesis_bytes(delegates=DELEGATES[:1]))
BLOCKS = 14  # three epochs of four, and two blocks; two transactions each
MOVED = Archived(4, 16)  # what comes before the last whole epoch but one, four transactions a pack


class Crash(Exception):
    """As kill -9 would end it."""


class Bucket(FileObjectStore):
    """Crashes at the given step: before or after the object is durable, or before it is read back."""

    crash_at = None

    def put_if_absent(self, name, body):
        if self.crash_at == "before the object":
            raise Crash
        super().put_if_absent(name, body)
        if self.crash_at == "after the object":
            raise Crash

    def get(self, name):
        if self.crash_at == "before it is read back":
            raise Crash
        return super().get(name)


class Store(LedgerStore):
    crash_at = None

    def put_pack(self, number, digest, indices):
        if self.crash_at == "before the row":
            raise Crash
        super().put_pack(number, digest, indices)
        if self.crash_at == "after the row":
            raise Crash


@pytest.fixture
def chain(tmp_path, monkeypatch):
    monkeypatch.setattr(archive, "PACK", 4)
    chain = SmallChain(tmp_path, genesis=GENESIS, keys=DELEGATES[:1], store=Store)
    for number in range(BLOCKS):
        chain.record(anchor(number), party(client_id=f"hospital-{number:08x}", attestation=f"attest {number}"))
    (tmp_path / "bucket").mkdir()
    chain.bucket = Bucket(tmp_path / "bucket")
    reader = Ledger(chain.store, GENESIS)
    chain.blocks = [reader.block(height) for height in range(1, BLOCKS + 1)]
    chain.proofs = [reader.prove(index) for index in range(2 * BLOCKS)]
    chain.store.packs = Packs(object_reader((tmp_path / "bucket").as_uri()))
    yield chain
    chain.close()


def moved(chain, keep=1):
    return archive_blocks(chain.store, GENESIS, chain.bucket, keep)


def rows(chain, table):
    with chain.store.engine.connect() as connection:
        return connection.exec_driver_sql(f"SELECT count(*) FROM {table}").scalar()


def is_as_before(chain):
    reader = Ledger(chain.store, GENESIS)
    return (
        [reader.block(height) for height in range(1, BLOCKS + 1)] == chain.blocks
        and [reader.prove(index) for index in range(2 * BLOCKS)] == chain.proofs
        and chain.findings(chain.known()) == []
    )


def test_what_is_old_is_moved_and_all_stays_as_it_was(chain):
    assert moved(chain, keep=3) == Archived(0, 0)
    assert moved(chain) == MOVED
    assert moved(chain) == Archived(0, 0), "once"
    assert (rows(chain, "pack"), rows(chain, "log_entry")) == (4, 2 * BLOCKS - 16)
    assert is_as_before(chain)
    for proof in chain.proofs:
        verify_log_proof(proof, GENESIS)
    assert [pack_of_name(item.name)[0] for item in chain.bucket.list()] == [0, 1, 2, 3]
    chain.reopen()  # the engine needs none of it
    chain.record(anchor(99))
    assert Ledger(chain.store, GENESIS).block(BLOCKS + 1).transactions


@pytest.mark.parametrize("where", ["before the object", "after the object", "before it is read back", "before the row", "after the row"])
def test_a_crash_loses_nothing_and_the_next_run_ends_it(chain, where):
    chain.bucket.crash_at = chain.store.crash_at = where
    with pytest.raises(Crash):
        moved(chain)
    chain.bucket.crash_at = chain.store.crash_at = None
    assert is_as_before(chain)
    assert rows(chain, "log_entry") == 2 * BLOCKS - 4 * rows(chain, "pack"), "each is in one place"
    moved(chain)
    assert is_as_before(chain)
    assert (rows(chain, "pack"), rows(chain, "log_entry")) == (4, 2 * BLOCKS - 16)
    assert len(list(chain.bucket.list())) == 4, "nothing is left over"


def object_of(chain, number):
    with chain.store.engine.connect() as connection:
        digest = connection.exec_driver_sql(f"SELECT digest FROM pack WHERE number = {number}").scalar()
    return chain.folder / "bucket" / pack_name(number, bytes(digest))


def test_altered_and_missing_objects_are_found_and_never_shown(chain):
    moved(chain)
    path = object_of(chain, 1)
    body = path.read_bytes()
    for altered, code in (
        (body[:-20] + bytes([body[-20] ^ 1]) + body[-19:], "pack-altered"),
        (body[:40], "pack-altered"),
        (b"", "pack-altered"),
        (None, "pack-missing"),
    ):
        path.unlink()
        if altered is not None:
            path.write_bytes(altered)
        chain.store.packs = Packs(object_reader((chain.folder / "bucket").as_uri()))
        found = chain.findings()
        assert (code, "pack 1") in found
        assert not [one for one in found if one[1] in {"pack 0", "pack 2", "transaction 0", "transaction 8"}]
        reader = Ledger(chain.store, GENESIS)
        with pytest.raises(LedgerDamaged):
            reader.block(3)
        with pytest.raises(LedgerDamaged):
            reader.prove(4)
        assert reader.block(1) == chain.blocks[0]
        path.write_bytes(body)
    chain.store.packs = Packs()
    assert ("pack-missing", "pack 0") in chain.findings(), "without a bucket"


@pytest.mark.sqlite_only  # one process alarms once of the same object
def test_who_asks_for_a_block_in_a_damaged_pack_is_told_so_and_the_log_hears_it_once(chain, capsys):
    moved(chain)
    object_of(chain, 1).write_bytes(b"")
    configure_logs(sys.stderr)
    try:
        services = SimpleNamespace(
            settings=SimpleNamespace(base_url=None, home=chain.folder), store=chain.bucket, clock=None, metrics=Metrics()
        )
        client = create_app(services, Ledger(chain.store, GENESIS)).test_client()
        answers = [client.get(path) for path in ("/ledger/blocks/3", "/ledger/blocks/3", "/ledger/tile/entries/000.p/28")]
        assert client.get("/ledger/blocks/1").status_code == client.get("/ledger/tile/0/000.p/28").status_code == 200
    finally:
        structlog.reset_defaults()
    assert [answer.status_code for answer in answers] == [500] * 3
    [issue] = answers[0].json["issue"]
    assert (answers[0].content_type, answers[0].json["resourceType"], issue["code"]) == (FHIR_JSON, "OperationOutcome", "exception")
    assert "ledger/000000000001-" in issue["diagnostics"]
    lines = [line for line in capsys.readouterr().err.splitlines() if "alarm" in line]
    assert len(lines) == 1
    assert "Traceback" not in lines[0]


def test_rows_that_name_other_packs_are_found(chain):
    moved(chain)
    with chain.store.engine.begin() as connection:
        digests = [bytes(row.digest) for row in connection.exec_driver_sql("SELECT digest FROM pack ORDER BY number")]
        connection.execute(archive.pack.insert(), [{"number": 99, "digest": digests[0]}])
    assert chain.findings() == [("index-mismatch", "pack 99")]
    with chain.store.engine.begin() as connection:
        connection.execute(archive.pack.delete().where(archive.pack.c.number == 99))
        connection.execute(archive.pack.delete().where(archive.pack.c.number == 2))
    assert ("log-mismatch", "height 5") in chain.findings()
    with chain.store.engine.begin() as connection:
        connection.execute(archive.pack.insert(), [{"number": 2, "digest": digests[3]}])
    assert ("pack-missing", "pack 2") in chain.findings()


def test_nothing_altered_is_archived_and_nothing_is_deleted_that_the_bucket_has_not(chain):
    name = next(iter(_names(chain)))
    chain.bucket.put_if_absent(name, b"something else")
    with pytest.raises(LedgerDamaged, match="holds something else"):
        moved(chain)
    assert rows(chain, "log_entry") == 2 * BLOCKS
    with chain.store.engine.begin() as connection:
        connection.execute(archive.log_entry.update().where(archive.log_entry.c.log_index == 5).values(raw=b"x"))
    chain.bucket.delete(name)
    with pytest.raises(LedgerDamaged, match="transaction 5 is not the one"):
        moved(chain)
    assert (rows(chain, "pack"), rows(chain, "log_entry")) == (1, 2 * BLOCKS - 4)


def _names(chain):
    """Of the first object that will be written, found out by a run that ends before it is."""
    seen = []

    class Looks(FileObjectStore):
        def put_if_absent(self, name, body):
            seen.append(name)
            raise Crash

    with suppress(Crash):
        archive_blocks(chain.store, GENESIS, Looks(chain.folder / "bucket"), 1)
    return seen
