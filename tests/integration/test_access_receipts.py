"""GET /ledger/accesses/{sequence}: who may ask, and when there is something to give."""

import time

import pytest
import web_gateway
from search_world import KEY, UNKNOWN, World, of_type

from chain.engine import EmbeddedEngine
from chain.store import LedgerStore
from gateway.access_receipts import assemble_access_receipt
from gateway.access_verification import verify_access_receipt
from gateway.index import accesses
from gateway.index import schema as t
from gateway.key_files import delegate_key_paths, read_key
from gateway.vault.errors import LeafMismatch
from jobs.produce_blocks import BlockProduction

PAID = {"X_Purpose_Of_Use": "HPAYMT"}


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    with web_gateway.gateway(tmp_path_factory.mktemp("home"), jwks=[KEY]) as gateway:
        yield gateway


@pytest.fixture(scope="module")
def world(running):
    return World(running)


def produce(running):
    genesis, settings = running.ledger.genesis, running.services.settings
    store = LedgerStore.open(settings.effective_ledger_url, genesis)
    keys = [(read_key(path), path.with_suffix(".watermark")) for path in delegate_key_paths(settings.keys_path)]
    engine = EmbeddedEngine.open(store, genesis, keys)
    gateway_key = read_key(settings.keys_path / "gateway.json")
    head = running.ledger.head()
    due = genesis.slot_time(head.slot + 1) if head else 0  # a block a slot
    BlockProduction(running.services.index, engine, running.ledger, gateway_key).produce(max(time.time(), due))
    engine.close()
    store.close()


def receipt(world, who, number, token=None):
    return world.client.ask("GET", f"/ledger/accesses/{number}", token=token or world.tokens[who])


def close_batch(running):
    with running.services.index.atomic() as connection:
        accesses.close_batch(connection, int(time.time()))


def test_reader_and_patient_get_it_once_it_is_final_and_nobody_else_ever(running, world):
    world.grant("anna", types=("Observation",))
    observations = of_type(world.records["anna"], "Observation")
    numbers = [int(world.ask("insurer", one, **PAID).headers["x-access-sequence"]) for one in observations[:3]]
    waiting = receipt(world, "insurer", numbers[1])
    assert (waiting.status, waiting.headers["retry-after"]) == (202, "1")
    assert "in no batch yet" in waiting.outcome[0]["diagnostics"]
    close_batch(running)
    assert "not final" in receipt(world, "anna", numbers[1]).outcome[0]["diagnostics"]
    produce(running)
    genesis = (running.services.settings.home / "genesis.json").read_bytes()
    for number, reference in zip(numbers, observations, strict=False):
        mine, hers = receipt(world, "insurer", number), receipt(world, "anna", number)
        assert (mine.status, mine.body) == (200, hers.body)
        verdict = verify_access_receipt(mine.body, genesis)
        assert (verdict.client_id, verdict.sequence, verdict.purpose) == (world.insurer, number, "HPAYMT")
        assert verdict.records == (f"{reference.partition('/')[2]}/_history/1",)
    for who in ("hospital", "other", "bert"):
        others, none = receipt(world, who, numbers[0]), receipt(world, who, 10**9)
        assert (others.status, others.body) == (403, none.body)
    assert receipt(world, "insurer", 10**9).status == 403, "nor for who may have others"
    assert receipt(world, "anna", "x").status == receipt(world, "anna", 1 << 63).status == 404
    assert world.client.ask("GET", f"/ledger/accesses/{numbers[0]}").status == 401
    for scope, status in (("system/Observation.rs", 403), ("system/AuditEvent.rs", 200)):
        token = world.client.token(KEY, world.insurer, scope)
        assert receipt(world, None, numbers[0], token).status == status
    check_altered_rows_are_noticed(running, numbers)


def check_altered_rows_are_noticed(running, numbers):
    """A row that says something else than its leaf, and a batch whose rows are not those that the ledger has."""
    services = running.services
    insurer = services.parties.by_client_id(running.agency)
    for number, changes in ((numbers[0], {"purpose": "TREAT"}), (numbers[1], {"leaf": bytes(32)})):
        with services.index.atomic() as connection:
            before = connection.execute(t.access.select().where(t.access.c.sequence == number)).one()
            connection.execute(t.access.update().where(t.access.c.sequence == number).values(**changes))
        for asked in numbers[:2] if "leaf" in changes else [number]:
            with pytest.raises(LeafMismatch):
                assemble_access_receipt(services, running.ledger, insurer, asked)
        with services.index.atomic() as connection:
            connection.execute(t.access.update().where(t.access.c.sequence == number).values(**before._asdict()))


def test_unknown_is_not_confused_with_a_record(world):
    assert receipt(world, "insurer", UNKNOWN).status == 403, "a number, if a long one: zero"
