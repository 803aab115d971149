"""Reports and the runner of shards: merging is associative, order is kept, and the collector works again afterwards."""

import gc
import itertools
import multiprocessing
from pathlib import Path

import pytest

from gateway.settings import Settings
from jobs.audit_notes import Notes
from jobs.audit_report import FINDING_CODES, Finding, Report, merge, to_json
from jobs.audit_shards import ShardRunner

SETTINGS = Settings(home=Path("nowhere"))
PARTS = [
    Report({"records": 3}, ("a",), (Finding("leaf-mismatch", "x", "y"),), ()),
    Report({"records": 4, "bundles": 1}, (), (), ("z",)),
    Report({}, ("b",), (Finding("bundle-invalid", "x", "y"),), ()),
]


def test_merging_is_associative_and_an_empty_report_changes_nothing():
    for left, middle, right in itertools.product([*PARTS, Report()], repeat=3):
        assert merge(merge(left, middle), right) == merge(left, merge(middle, right))
        assert merge(left, Report()) == merge(Report(), left) == left


def test_a_finding_has_a_code_of_the_list_and_says_what_to_do():
    with pytest.raises(ValueError):
        Finding("something-odd", "x", "y")
    for code in FINDING_CODES:
        (told,) = to_json(Report(findings=(Finding(code, "x", "y"),)))["findings"]
        assert told["advice"]


def test_notes_keep_each_finding_once_and_in_order():
    notes = Notes()
    for subject in ("b", "a", "b"):
        notes.found("leaf-mismatch", subject, "why")
        notes.could_not_check(subject)
        notes.count("things", 2)
    report = notes.report()
    assert [finding.subject for finding in report.findings] == ["b", "a"]
    assert (report.could_not_check, report.checked) == (("b", "a"), {"things": 6})


def open_counting(settings):
    assert settings == SETTINGS

    def verify(shard):
        assert not gc.isenabled()
        return Report({"shards": 1}, (str(shard),))

    return verify


def open_failing(settings):
    def verify(shard):
        raise ValueError(shard)

    return verify


def open_failing_here(settings):
    def verify(shard):
        if multiprocessing.parent_process() is None:
            raise ValueError("here")
        return Report({"elsewhere": 1})

    return verify


@pytest.mark.parametrize(("count", "processes"), [(0, 2), (1, 2), (9, 1), (9, 2)])
def test_shards_come_back_in_order_however_they_are_run(count, processes):
    done = list(ShardRunner(SETTINGS, open_counting, processes).run(range(count)))
    assert done == [(shard, Report({"shards": 1}, (str(shard),))) for shard in range(count)]
    assert gc.isenabled()


@pytest.mark.parametrize("processes", [1, 2])
def test_what_goes_wrong_in_a_shard_is_raised(processes):
    with pytest.raises(ValueError, match="0"):
        list(ShardRunner(SETTINGS, open_failing, processes).run(range(5)))
    assert gc.isenabled()


def test_the_process_that_hands_out_works_too_and_what_goes_wrong_in_it_waits_for_its_turn():
    done = []
    with pytest.raises(ValueError, match="here"):
        done += (report for _, report in ShardRunner(SETTINGS, open_failing_here, 2).run(range(9)))
    assert done
    assert all(report.checked == {"elsewhere": 1} for report in done)


def test_no_more_shards_are_taken_than_keep_the_processes_busy():
    taken = []
    runner = ShardRunner(SETTINGS, open_counting, 2).run(taken.append(shard) or shard for shard in range(100))
    next(runner)
    assert len(taken) <= 6
    runner.close()
