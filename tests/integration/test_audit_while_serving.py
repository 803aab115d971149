"""The content audit beside a gateway at work, and on several cores: it finds nothing that is not so, and the same as one process."""

import threading

import pytest
from audit_case import AuditedHome, audit, patient, shards_of, submission
from intake_case import post

from jobs.audit_report import Report


@pytest.fixture
def busy(tmp_path):
    made = AuditedHome.make(tmp_path)
    yield made
    made.close()


def test_an_audit_during_pushes_is_clean(busy):
    hospital = busy.party()
    post(busy.services, hospital, submission(0, 5))
    busy.block()
    stop, faults = threading.Event(), []

    def push():
        """Versions of the same records again and again, and new ones, as fast as they go in."""
        try:
            for number in range(1, 10_000):
                if stop.is_set():
                    return
                post(busy.services, hospital, submission(0, 5, value=number))
                post(busy.services, hospital, patient(1000 + number), "Patient")
                busy.block()
        except Exception as error:
            faults.append(error)
            raise

    pusher = threading.Thread(target=push)
    pusher.start()
    reports = [audit(busy.home, leaves=leaves) for leaves in (100_000, 1, 100)]
    while reports[-1].checked["records"] < 60:
        reports.append(audit(busy.home))
    stop.set()
    pusher.join()
    assert faults == []
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
