"""Ahead: a worker claims what it will have run a moment later, and nothing that would have to wait for long."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from durex_core.rules.ahead import MOST_AHEAD, MOST_AT_ONCE, Pace, Tally, to_claim


@pytest.mark.parametrize(
    ("concurrency", "unsettled", "pace", "wanted"),
    [
        (10, 0, 0.0, 10),  # nothing is known yet: as many as can run
        (10, 7, 0.0, 3),
        (10, 10, 0.0, 0),
        (10, 10, 5.0, 0),  # handlers of two seconds: nothing is claimed that would have to wait
        (10, 10, 1000.0, 100),  # 100 of them end within the tenth of a second for which one may wait
        (10, 50, 1000.0, 60),
        (10, 61, 1000.0, 0),  # less than half of what is ahead is missing
        (10, 0, 1e9, MOST_AT_ONCE),  # no claim takes more than that
        (10, MOST_AHEAD + 11 - MOST_AT_ONCE, 1e9, 0),
        (10, MOST_AHEAD + 10 - MOST_AT_ONCE, 1e9, MOST_AT_ONCE),  # what one may take is missing
    ],
)
def test_what_is_claimed_waits_for_a_tenth_of_a_second_at_most(concurrency, unsettled, pace, wanted):
    assert to_claim(concurrency, unsettled, pace) == wanted


@given(st.integers(1, 200), st.integers(0, 3000), st.floats(0, 1e7))
def test_there_are_never_more_than_can_run_and_the_most_ahead(concurrency, unsettled, pace):
    wanted = to_claim(concurrency, unsettled, pace)
    assert wanted >= 0
    assert wanted == 0 or unsettled + wanted <= concurrency + MOST_AHEAD
    # Who has nothing to do claims.
    assert unsettled > 0 or wanted > 0


def test_the_pace_is_what_ended_since_the_last_look_in_the_time_in_which_there_was_work():
    pace = Pace()
    assert pace.look(Tally(0, 0.0), 100.0) == 0.0
    assert pace.look(Tally(10, 0.001), 100.2) == 10_000.0  # the first ones say something at once
    assert pace.look(Tally(11, 0.002), 100.3) == 10_000.0  # too soon to say
    assert pace.look(Tally(110, 0.101), 101.0) == 1000.0
    assert pace.look(Tally(110, 1.101), 102.0) == 0.0  # all are slow now


def test_the_pace_of_who_was_idle_is_forgotten():
    pace = Pace()
    assert pace.look(Tally(100, 0.1), 100.0) == 1000.0
    assert pace.look(Tally(100, 0.1), 100.9) == 1000.0
    assert pace.look(Tally(100, 0.1), 101.1) == 0.0


def test_a_pace_that_does_not_hold_any_more_is_forgotten_with_all_that_it_came_from():
    pace = Pace()
    assert pace.look(Tally(100, 0.1), 100.0) == 1000.0
    pace.forget(Tally(150, 1.0), 101.0)
    assert pace.look(Tally(150, 1.25), 101.1) == 0.0
    assert pace.look(Tally(160, 2.25), 102.1) == 10.0
