from gateway.supervisor import MAX_FAILURES, STEADY_AFTER, Child


def test_a_child_that_keeps_dying_is_tried_ever_later_and_then_no_more():
    child = Child("jobs", lambda: None, started_at=100.0)
    waits = []
    while child.died(now=101.0):
        waits.append(child.start_at - 101.0)
    assert waits == [0.5, 1.0, 2.0, 4.0, 8.0]
    assert len(waits) == MAX_FAILURES


def test_a_child_that_ran_long_starts_counting_anew():
    child = Child("jobs", lambda: None, started_at=100.0, failures=MAX_FAILURES)
    assert child.died(now=100.0 + STEADY_AFTER)
    assert child.failures == 1
