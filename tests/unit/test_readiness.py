"""When the chain counts as stalled: it leaves work lie for longer than it may."""

import pytest
from chain_case import genesis_bytes

from chain.genesis import Genesis
from gateway.readiness import STALLED_SECONDS, STALLED_SLOTS, ChainWatch

GENESIS = Genesis.parse(genesis_bytes(heartbeat_slots=30))
NOW = GENESIS.slot_time(1000)
PATIENCE = max(STALLED_SECONDS, STALLED_SLOTS * GENESIS.slot_seconds)


@pytest.fixture
def watch():
    return ChainWatch(GENESIS)


def look(watch, after, height=5, slot=990, waiting=0):
    return watch.look(NOW + after, height=height, slot=slot, waiting=waiting)


def test_an_idle_chain_is_in_order_until_a_heartbeat_is_overdue(watch):
    due = (990 + 30 - 1000) * GENESIS.slot_seconds
    assert look(watch, due - 1) is None
    assert look(watch, due) is None
    assert look(watch, due + PATIENCE) is None
    assert "no heartbeat block" in look(watch, due + PATIENCE + 1)


def test_work_that_lies_at_one_height_for_too_long_is_a_stall(watch):
    assert look(watch, 0, waiting=1) is None
    assert look(watch, PATIENCE, waiting=2) is None
    assert look(watch, PATIENCE + 1, waiting=2) == f"no block for {PATIENCE + 1} seconds, with 2 transactions waiting"
    assert look(watch, PATIENCE + 2, height=6, slot=1000, waiting=2) is None, "it moves again"


def test_a_block_or_nothing_to_do_starts_the_clock_anew(watch):
    look(watch, 0, waiting=1)
    assert look(watch, PATIENCE, height=6, slot=1000, waiting=1) is None
    assert look(watch, PATIENCE + 2, height=6, slot=1000, waiting=1) is None
    assert look(watch, PATIENCE + 3, height=6, slot=1000) is None
    assert look(watch, 2 * PATIENCE + 4, height=6, slot=1010, waiting=1) is None


def test_a_gateway_that_was_off_for_long_has_time_to_catch_up(watch):
    assert look(watch, 100_000 * GENESIS.slot_seconds, waiting=3) is None
