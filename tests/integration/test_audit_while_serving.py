"""The audits of content and conduct beside a gateway at work, and on several cores: they find nothing that is not so."""

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from itertools import count

import pytest
from audit_case import AuditedHome, audit, patient, shards_of, submission
from conduct_case import audit_conduct, make_conduct
from intake_case import delete, post, put, transaction

from gateway.index import schema as t
from jobs.audit_content import Turn
from jobs.audit_report import Report

pytestmark = pytest.mark.both_databases(slow=True)


@pytest.fixture
def busy(tmp_path):
    made = AuditedHome.make(tmp_path)
    yield made
    made.close()


@contextmanager
def again_and_again(step):
    """Beside the block, as fast as it goes; what went wrong is raised at its end."""
    stop = threading.Event()

    def go_on():
        while not stop.is_set():
            step()

    with ThreadPoolExecutor(1) as pool:
        going = pool.submit(go_on)
        try:
            yield lambda: not going.done()
        finally:
            stop.set()
        going.result()


def test_an_audit_during_pushes_is_clean(busy):
    hospital = busy.party()
    post(busy.services, hospital, submission(0, 5))
    busy.block()
    numbers = count(1)

    def push():
        """Versions of the same records again and again, and new ones."""
        number = next(numbers)
        post(busy.services, hospital, submission(0, 5, value=number))
        post(busy.services, hospital, patient(1000 + number), "Patient")
        busy.block()

    with again_and_again(push) as is_going_on:
        reports = [audit(busy.home, leaves=leaves) for leaves in (100_000, 1, 100)]
        while reports[-1].checked["records"] < 60 and is_going_on():
            reports.append(audit(busy.home))
    assert {(report.findings, report.could_not_check) for report in reports} == {((), ())}


def test_an_audit_during_grants_reads_and_revokes_is_clean(tmp_path):
    home = make_conduct(tmp_path)
    rounds = []

    def live():
        consent = home.grant(home.anna, "Observation", until=f"2031-01-{len(rounds) % 28 + 1:02}")
        home.read("o1")
        home.read("o9")
        home.revoke(home.anna, consent)
        home.block()
        rounds.append(consent)

    with closing(home.made), again_and_again(live) as is_going_on:
        reports = [audit_conduct(home.made.home, numbers=numbers) for numbers in (10_000, 1, 5)]
        while len(rounds) < 10 and is_going_on():
            reports.append(audit_conduct(home.made.home, numbers=3))
    assert {(report.findings, report.could_not_check) for report in reports} == {((), ())}


def test_several_processes_find_what_one_finds_in_the_same_order(busy):
    hospital = busy.party()
    for value in range(4):
        post(busy.services, hospital, submission(0, 3, value=value))
        busy.block()
    assert len(shards_of(busy.home, 1)) == 4
    with busy.services.index.atomic() as connection:
        connection.exec_driver_sql("UPDATE history SET updated_ms = 1 WHERE version < 3")
    alone, together = audit(busy.home, processes=1), audit(busy.home, processes=2, leaves=1)
    assert len(alone.findings) == 12
    assert together == Report(alone.checked, (), alone.findings, ())


def test_a_ledger_without_blocks_is_clean(busy):
    assert audit(busy.home) == Report({}, (), (), ())


def test_every_kind_of_write_leaves_it_clean(busy):
    hospital = busy.party()
    post(busy.services, hospital, submission(0, 5))
    put(busy.services, hospital, "Patient/p0", patient(0, active=True))
    put(busy.services, hospital, "Patient/by-put", patient(5) | {"id": "by-put"})
    delete(busy.services, hospital, "Observation/o1")
    delete(busy.services, hospital, "Patient/p1")
    busy.block()
    post(busy.services, hospital, submission(0, 5, value=7))  # what was deleted lives again
    elsewhere = "https://source.example.org/Patient/p0"
    update = transaction((elsewhere, patient(9) | {"id": "other"}), request={"method": "PUT", "url": "Patient/other"})
    post(busy.services, hospital, update)  # its fullUrl leads to another patient, and its address decides
    post(busy.services, hospital, transaction((None, patient(10)), request={"method": "POST", "url": "Patient"}))
    gone = {"resourceType": "Bundle", "type": "batch", "entry": [{"request": {"method": "DELETE", "url": "Observation/o2"}}]}
    post(busy.services, hospital, gone)
    busy.block()
    report = audit(busy.home)
    assert (report.findings, report.could_not_check) == ((), ())
    assert report.checked["records"] > report.checked["source names"] > 20


def test_an_updates_address_must_lead_to_its_record(busy):
    hospital = busy.party()
    request = {"method": "PUT", "url": "Patient/by-put"}
    post(busy.services, hospital, transaction(("urn:uuid:x", patient(1) | {"id": "by-put"}), request=request))
    busy.block()
    token = busy.services.tokens.sources(hospital.row, ["by-put"])[0]
    with busy.services.index.atomic() as connection:
        connection.execute(t.source_map.delete().where(t.source_map.c.token == token))
    assert [finding.code for finding in audit(busy.home).findings] == ["index-row-missing"]


def test_in_turns_every_containers_originals_are_opened_once(busy):
    hospital = busy.party()
    for number in range(6):
        post(busy.services, hospital, patient(number), "Patient")
    busy.block()
    turns = [audit(busy.home, originals=Turn(number, 3)) for number in range(100, 103)]
    assert {report.findings for report in turns} == {()}
    assert {report.checked["records"] for report in turns} == {6}
    assert sum(report.checked["original entries"] for report in turns) == 6
    assert audit(busy.home).checked["original entries"] == 6


def test_shards_hold_every_container_once_in_order(busy):
    hospital = busy.party()
    for number in range(3):
        post(busy.services, hospital, patient(number), "Patient")
        post(busy.services, hospital, patient(10 + number), "Patient")
        busy.block()
    whole = [anchored for shard in shards_of(busy.home, 100_000) for anchored in shard.containers]
    assert len(whole) == 6
    assert [anchored.log_index for anchored in whole] == sorted({anchored.log_index for anchored in whole})
    for leaves in (1, 60, 120, 200):
        runs = shards_of(busy.home, leaves)
        assert [anchored for shard in runs for anchored in shard.containers] == whole
        assert [shard.last_height for shard in runs] == sorted(shard.last_height for shard in runs)
    assert len(shards_of(busy.home, 1)) == 6
