"""Twenty kills at random moments of everything that clients do at once: pushes, updates, deletes, grants and revokes.

A kill takes every process at once, the jobs process alone or a web worker alone. Afterwards what was acknowledged is there, once, with its
receipt; what was not is there whole or not at all; and the audit of all levels is clean. The seed of a run is printed; KILL_CAMPAIGN_SEED
repeats its choices (not its timing), KILL_CAMPAIGN_KILLS changes how many kills there are.
"""

import json
import os
import random
import threading
import time

import databases
import pytest
from gateway_process import GatewayProcess
from kill_clients import Deleter, Granter, Pusher, Updater

from gateway.settings import load_settings
from jobs.registry import opened_for
from jobs.sweep_orphans import sweep_orphans

pytestmark = [pytest.mark.campaign, pytest.mark.both_databases]
KILLS = int(os.environ.get("KILL_CAMPAIGN_KILLS", "20"))
SEED = int(os.environ.get("KILL_CAMPAIGN_SEED", "0")) or random.SystemRandom().randrange(1, 1 << 32)
PUSHERS = 2


@pytest.fixture
def gateway(tmp_path):
    """A running gateway that is gone afterwards, whatever happened."""
    gateway = GatewayProcess(tmp_path, *databases.options()).start()
    yield gateway
    if gateway.process.poll() is None:
        gateway.kill9()


@pytest.mark.timeout(1800)
def test_what_was_acknowledged_survives_every_kill(gateway):
    print(f"KILL_CAMPAIGN_SEED={SEED}")
    chance = random.Random(SEED)
    clients = clients_of(gateway)
    targets = (["all", "all", "jobs", "all", "worker"] * KILLS)[:KILLS]
    chance.shuffle(targets)
    for number, target in enumerate(targets, 1):
        stop = threading.Event()
        threads = [threading.Thread(target=client.work, args=(gateway.url, stop)) for client in clients]
        for thread in threads:
            thread.start()
        wait_busy(clients)
        time.sleep(chance.uniform(0.0, 2.0))
        print(f"kill {number}: {target}, {sum(len(client.acknowledged) for client in clients)} acknowledged")
        if target == "all":
            gateway.kill9()
        else:
            gateway.kill9_one(target, chance)
            time.sleep(chance.uniform(0.0, 2.0))  # clients go on meanwhile
        stop.set()
        for thread in threads:
            thread.join()
        if target == "all":
            gateway.start()
    assert_nothing_lost(gateway, clients)


def clients_of(gateway):
    """A party for each, so that what one has can be counted."""
    insurer = json.loads(gateway.party("agency", "Insurer").read_text())["client_id"]
    pushers = [Pusher(gateway.party("institution", f"Hospital {name}"), name) for name in range(1, PUSHERS + 1)]
    others = Updater(gateway.party("institution", "Clinic")), Deleter(gateway.party("institution", "Practice"))
    return [*pushers, *others, Granter(gateway, gateway.party(), insurer)]


def wait_busy(clients):
    """Until every client has got something done since the last kill, or a while has passed: a revoke or update may take long after one."""
    before, deadline = [client.turns for client in clients], time.monotonic() + 20
    while any(client.turns == had for client, had in zip(clients, before, strict=True)) and time.monotonic() < deadline:
        time.sleep(0.02)


def assert_nothing_lost(gateway, clients):
    assert gateway.wait_final(120)["rejected"] == []
    for client in clients:
        client.check(gateway)
    assert gateway.wait_final(120)["rejected"] == []
    gateway.stop()
    with opened_for(load_settings(gateway.home, {})) as opened:
        swept = sweep_orphans(opened.ledger, opened.index, opened.store, now=int(time.time()) + 1, grace=0)
    print(f"{swept.removed} orphans were swept")
    report = gateway.json("audit", "run")
    assert (report["findings"], report["could_not_check"], report["pending"]) == ([], [], [])
