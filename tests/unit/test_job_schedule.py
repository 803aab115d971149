"""When a job is due, over changes of the clock, too."""

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.schedule import Cron, Every

OSLO = ZoneInfo("Europe/Oslo")
NIGHTLY = Cron("15 2 * * *", "Europe/Oslo")


def oslo(*parts, fold=0):
    return int(datetime(*parts, tzinfo=OSLO, fold=fold).timestamp())


def test_every_so_many_seconds_is_the_same_on_every_host():
    assert (Every(600).latest(1_199), Every(600).following(1_199)) == (600, 1_200)
    assert (Every(600).latest(1_200), Every(600).following(1_200)) == (1_200, 1_800)
    assert (str(Every(600)), str(Every(10))) == ("every 10 min", "every 10 s")


@pytest.mark.parametrize(
    ("now", "latest", "following"),
    [
        (oslo(2026, 6, 1, 2, 14, 59), oslo(2026, 5, 31, 2, 15), oslo(2026, 6, 1, 2, 15)),
        (oslo(2026, 6, 1, 2, 15), oslo(2026, 6, 1, 2, 15), oslo(2026, 6, 2, 2, 15)),
        # the night in which 2:15 does not exist: right after the gap
        (oslo(2026, 3, 29, 1, 59, 59), oslo(2026, 3, 28, 2, 15), oslo(2026, 3, 29, 3, 0)),
        (oslo(2026, 3, 29, 3, 0), oslo(2026, 3, 29, 3, 0), oslo(2026, 3, 30, 2, 15)),
        # the night in which it comes twice: once
        (oslo(2026, 10, 25, 2, 15), oslo(2026, 10, 25, 2, 15), oslo(2026, 10, 26, 2, 15)),
        (oslo(2026, 10, 25, 2, 15, fold=1), oslo(2026, 10, 25, 2, 15), oslo(2026, 10, 26, 2, 15)),
    ],
)
def test_a_nightly_job_where_the_clock_changes(now, latest, following):
    assert (NIGHTLY.latest(now), NIGHTLY.following(now)) == (latest, following)


@given(now=st.integers(1_600_000_000, 2_000_000_000), expression=st.sampled_from(["15 2 * * *", "*/7 * * * *", "0 3 * * 7", "30 2 1 * *"]))
def test_latest_and_following_enclose_the_present(now, expression):
    schedule = Cron(expression, "Europe/Oslo")
    latest, following = schedule.latest(now), schedule.following(now)
    assert latest <= now < following
    assert schedule.latest(following) == following
    assert schedule.following(following - 1) == following
