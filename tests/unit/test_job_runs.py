"""A job's time is served once, whoever asks, and again only after it failed."""

import threading

import databases
import pytest

from gateway.index import job_runs
from gateway.index.database import open_index
from gateway.index.job_runs import DONE, FAILED, INTERRUPTED, KEPT, MAX_ATTEMPTS, OVERDUE, RUNNING, SILENT_FOR
from gateway.settings import Settings
from jobs.registry import Job, Result
from jobs.runs import claim, due_at, holder_of, perform
from jobs.schedule import Every

pytestmark = pytest.mark.both_databases
JOB = Job("sweep", "Sweeps.", Every(100), lambda _opened: Result())


@pytest.fixture
def index(tmp_path):
    url = databases.new_gateway(tmp_path)
    index = open_index(url)
    yield index
    index.close()


def end(index, outcome, scheduled_for=500):
    with index.atomic() as connection:
        job_runs.ended(connection, JOB.name, scheduled_for, 590, outcome, "{}", "host")


def test_one_of_many_gets_a_time(index):
    won = []
    start = threading.Barrier(16)

    def ask(name):
        start.wait()
        if claim(index, JOB, 500, 510, name):
            won.append(name)

    threads = [threading.Thread(target=ask, args=(f"host-{number}",)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1
    assert not claim(index, JOB, 500, 520, "late")
    assert claim(index, JOB, 600, 610, "late")


@pytest.mark.parametrize("outcome", [FAILED, INTERRUPTED, OVERDUE])
def test_what_failed_is_tried_again_but_not_for_ever(index, outcome):
    for _ in range(MAX_ATTEMPTS):
        assert due_at(index, JOB, 599, 0) == 500
        assert claim(index, JOB, 500, 510, "host")
        assert due_at(index, JOB, 599, 0) is None
        end(index, outcome)
    assert due_at(index, JOB, 599, 0) is None
    assert not claim(index, JOB, 500, 510, "host")


def test_after_a_downtime_the_last_time_is_due_once(index):
    assert claim(index, JOB, 500, 510, "host")
    end(index, DONE)
    assert due_at(index, JOB, 599, 0) is None
    assert due_at(index, JOB, 99_950, 0) == 99_900
    assert claim(index, JOB, 99_900, 99_950, "host")
    assert due_at(index, JOB, 99_999, 0) is None


def test_nothing_was_due_before_the_gateway_was(index):
    assert due_at(index, JOB, 599, 501) is None
    assert due_at(index, JOB, 600, 501) == 600


def test_a_restart_says_what_it_interrupted_and_only_of_its_own(index):
    assert claim(index, JOB, 500, 510, "here")
    assert claim(index, JOB, 600, 610, "elsewhere")
    with index.atomic() as connection:
        assert job_runs.interrupt(connection, "here") == 1
        assert [(run.scheduled_for, run.outcome) for run in job_runs.history(connection)] == [(600, RUNNING), (500, INTERRUPTED)]
        assert job_runs.forget(connection, 550 + KEPT) == 1
        assert [run.scheduled_for for run in job_runs.history(connection, JOB.name)] == [600]


def test_what_a_host_that_never_comes_back_had_claimed_is_anothers_in_time(index):
    """And what the first says of it afterwards, should it come back, is not believed."""
    assert claim(index, JOB, 500, 510, "lost")
    with index.atomic() as connection:
        assert job_runs.is_any_running(connection)
        for at in (600, 1100):
            job_runs.seen(connection, "lost", {JOB.name: 500}, at)
            job_runs.seen(connection, "another", {JOB.name: 500}, at + 5000)
        assert job_runs.interrupt_silent(connection, 1100 + SILENT_FOR) == 0
        assert job_runs.history(connection)[0].ended_at is None
        assert job_runs.interrupt_silent(connection, 1101 + SILENT_FOR) == 1
    assert claim(index, JOB, 500, 1800, "other")
    with index.atomic() as connection:
        job_runs.ended(connection, JOB.name, 500, 1810, DONE, "{}", "lost")
        [run] = job_runs.history(connection)
        assert (run.outcome, run.attempts) == (RUNNING, 2)
        assert job_runs.interrupt_silent(connection, 1799 - SILENT_FOR) == 1, "its clock was ahead, or ours was put back"
        assert not job_runs.is_any_running(connection)


@pytest.mark.sqlite_only
def test_what_nobody_foresaw_leaves_no_time_claimed(index, tmp_path):
    settings = Settings(home=tmp_path)
    assert claim(index, JOB, 500, 510, holder_of(settings))
    perform(settings, JOB, 500)  # there is no genesis.json
    with index.reading() as connection:
        [run] = job_runs.history(connection)
    assert (run.outcome, run.told.partition(";")[0]) == (FAILED, "FileNotFoundError")
    assert claim(index, JOB, 500, 520, "there")
