"""A job that hangs for ever gives its place back: its time is anyone's again, the history says so, and the process it hangs in ends."""

import os
import threading
import time
from contextlib import closing
from dataclasses import replace

import pytest

from gateway import founding
from gateway.bootstrap import read_genesis
from gateway.index import job_runs
from gateway.index.database import open_index
from gateway.logs import configure_logs
from gateway.settings import load_settings
from gateway.supervisor import fork
from jobs import scheduler
from jobs.at_work import AtWork
from jobs.registry import Job, jobs_of
from jobs.runs import claim, holder_of, perform_apart
from jobs.scheduler import HANGING, JobsProcess


@pytest.fixture(scope="module")
def settings(tmp_path_factory):
    home = tmp_path_factory.mktemp("hanging") / "gw"
    founding.found(home, delegates=4, slot_seconds=1, chosen={}, now=int(time.time()) - 1000, random=os.urandom)
    return load_settings(home, {})


def last(settings, job):
    with closing(open_index(settings.effective_database_url)) as index, index.reading() as connection:
        [run] = job_runs.history(connection, job)
    return run


class Production:
    """Hangs in its slot if it is told to."""

    def __init__(self, *, hangs):
        self.hangs = hangs

    def produce(self, _now):
        if self.hangs:
            threading.Event().wait()


class Once:
    """The times of a job of one time, which is past."""

    def __init__(self, at):
        self.at = at

    def latest(self, _now):
        return self.at

    def following(self, _now):
        return self.at + 100_000


def exit_code_of(settings, monkeypatch, *, job=None, slot_hangs=False):
    """Of a jobs process in which something hangs from the start on."""
    monkeypatch.setattr(scheduler, "LOOK_UP_EVERY", 0.1)
    monkeypatch.setattr(scheduler, "FIRST_LOOK", 0.5)
    monkeypatch.setattr(scheduler, "SLOT_WITHIN", 0 if slot_hangs else 600)

    def run():
        configure_logs((settings.home / "log").open("w"))
        with closing(open_index(settings.effective_database_url)) as index:
            jobs = JobsProcess(settings, read_genesis(settings), index, Production(hangs=slot_hangs), jobs=[] if job is None else [job])
            jobs.run_until_told()

    pid = fork(run)
    deadline = time.monotonic() + 30
    while (found := os.waitpid(pid, os.WNOHANG)) == (0, 0):
        if time.monotonic() > deadline:
            os.kill(pid, 9)
        time.sleep(0.02)
    return os.waitstatus_to_exitcode(found[1])


def test_a_job_that_hangs_ends_its_process_and_is_anyones_again(settings, monkeypatch):
    job = Job("sweep-orphans", "Sweeps.", Once(int(time.time()) - 100), lambda _opened: threading.Event().wait(), within=0)
    assert exit_code_of(settings, monkeypatch, job=job) == HANGING
    run = last(settings, "sweep-orphans")
    assert (run.outcome, run.attempts) == (job_runs.OVERDUE, 1)
    assert "not done after 0 seconds" in run.told
    assert '"job":"sweep-orphans"' in (settings.home / "log").read_text()
    with closing(open_index(settings.effective_database_url)) as index:
        assert claim(index, job, job.schedule.latest(0), 1, "another host")


def test_so_does_a_slot_that_hangs(settings, monkeypatch):
    assert exit_code_of(settings, monkeypatch, slot_hangs=True) == HANGING
    assert last(settings, "produce-blocks").outcome == job_runs.OVERDUE


def test_a_job_in_a_process_of_its_own_is_ended_alone(settings):
    audit = replace(next(job for job in jobs_of(settings) if job.apart), within=0)
    with closing(open_index(settings.effective_database_url)) as index:
        assert claim(index, audit, 500, 510, holder_of(settings))
    perform_apart(settings, audit, 500, threading.Event())
    assert last(settings, "audit").outcome == job_runs.OVERDUE


def test_what_ends_in_its_time_is_never_overdue():
    told = [100.0]
    at_work = AtWork(lambda: told[0])
    with at_work.on("sweep-orphans", 60, 500), at_work.on("produce-blocks", 10):
        told[0] += 10
        assert at_work.overdue() == []
        assert at_work.claimed() == {"sweep-orphans": 500}
        told[0] += 1
        assert [run.job for run in at_work.overdue()] == ["produce-blocks"]
    told[0] += 1000
    assert (at_work.overdue(), at_work.claimed()) == ([], {})


def test_every_job_has_a_deadline_within_a_day(settings):
    assert all(600 <= job.within <= 86_400 for job in jobs_of(settings))
