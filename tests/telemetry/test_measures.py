"""What a settlement counts as, for every end that an attempt can come to."""

from datetime import timedelta

import pytest
from factories import claimed_command, error_info, past_attempt
from hypothesis import given
from hypothesis import strategies as st
from strategies import claimed_commands, outcomes, randomness

from durex_core.model import HOOK_FAILED, Command, Ending, State
from durex_core.rules.endings import hook_failed
from durex_core.rules.lifecycle import decide
from durex_core.rules.outcomes import (
    Cancelled,
    Crashed,
    Expired,
    Failed,
    HandlerMissing,
    Outcome,
    Released,
    Repeated,
    Returned,
    Settlement,
)
from durex_core.telemetry.measures import Count, Measured, measure

ERROR = error_info()
LATER = timedelta(seconds=5)
HOW = ["failed", "timed_out", "retrying", "refused"]

last_attempt = claimed_command(attempt=2, retries=1)
first_attempt = claimed_command(attempt=1, retries=1)


def decided(outcome: Outcome, command: Command = last_attempt) -> Settlement:
    return decide(command, outcome, 0.5)


def test_a_handler_that_returned_completed():
    assert measure(decided(Returned(1)), 0.5) == Measured(Count.COMPLETED, 0.5)


@pytest.mark.parametrize("delay", [timedelta(0), LATER])
def test_a_run_that_is_followed_by_another_completed(delay: timedelta):
    assert measure(decided(Repeated(delay=delay)), 0.5) == Measured(Count.COMPLETED, 0.5)


@pytest.mark.parametrize("dead_letter", [True, False])
@pytest.mark.parametrize("how", HOW)
def test_a_command_whose_last_attempt_failed_has_failed(how, dead_letter: bool):
    command = claimed_command(attempt=2, retries=1, dead_letter=dead_letter)

    assert measure(decided(Failed(ERROR, how=how), command), 0.5) == Measured(Count.FAILED, 0.5)


@pytest.mark.parametrize("delay", [timedelta(0), LATER])
@pytest.mark.parametrize("how", HOW)
def test_an_attempt_that_failed_and_is_followed_by_another_is_retried(how, delay: timedelta):
    settlement = decided(Failed(ERROR, how=how, delay=delay), first_attempt)

    assert measure(settlement, 0.5) == Measured(Count.RETRIED, 0.5)


def test_a_command_that_crashed_for_the_last_time_has_failed_in_no_time():
    assert measure(decided(Crashed()), 0) == Measured(Count.FAILED, None)


def test_a_handler_that_is_never_known_fails_its_command():
    misses = tuple(past_attempt(outcome="handler_missing") for _ in range(10))
    settlement = decided(HandlerMissing(), claimed_command(history=misses))

    assert measure(settlement, 0) == Measured(Count.FAILED, None)


def test_a_handler_that_is_not_known_yet_counts_as_nothing():
    assert measure(decided(HandlerMissing()), 0) == Measured()


@pytest.mark.parametrize("seconds", [0, 7.5])
@pytest.mark.parametrize("delay", [timedelta(0), LATER])
def test_an_attempt_that_is_given_back_counts_as_nothing_however_long_it_ran(delay: timedelta, seconds: float):
    assert measure(decided(Released("the worker stopped", delay)), seconds) == Measured()


@pytest.mark.parametrize("outcome", [Expired(ERROR), Cancelled("not wanted")])
def test_a_command_that_expired_or_was_cancelled_neither_completed_nor_failed(outcome: Outcome):
    settlement = decided(outcome)

    assert measure(settlement, 0) == Measured()
    assert measure(settlement, 0.5) == Measured(None, 0.5)


@pytest.mark.parametrize("state", [State.EXPIRED, State.CANCELLED])
def test_what_has_ended_is_not_retried_whatever_its_last_attempt_came_to(state: State):
    assert measure(Settlement(last_attempt, state, "failed", error=ERROR), 0) == Measured()


def test_a_command_whose_hook_is_tried_again_fails_once_and_is_never_retried():
    failed = decided(Failed(ERROR))
    for_its_ending_alone = claimed_command(attempt=2, retries=1, ending=Ending.FAILED)

    first = hook_failed(failed, ERROR, retryable=True)
    second = hook_failed(decided(Returned(), for_its_ending_alone), ERROR, retryable=True)
    last = decided(Returned(), for_its_ending_alone)

    assert (first.outcome, second.outcome) == ("failed", HOOK_FAILED)
    assert measure(first, 0.5) == Measured(None, 0.5)
    assert measure(second, 0) == Measured()
    assert measure(last, 0) == Measured(Count.FAILED, None)


@given(command=claimed_commands(), outcome=outcomes, chance=randomness, seconds=st.floats(0, 1000))
def test_whatever_is_decided_is_counted_once_at_most(command: Command, outcome: Outcome, chance: float, seconds: float):
    settlement = decide(command, outcome, chance)
    measured = measure(settlement, seconds)

    has_completed = settlement.state is State.COMPLETED or settlement.opens_run
    uses_up_an_attempt = not (settlement.state.is_terminal or settlement.opens_run or settlement.gives_back)
    assert (measured.count is Count.COMPLETED) == has_completed
    assert (measured.count is Count.FAILED) == (settlement.state in {State.FAILED, State.DEAD_LETTER})
    assert (measured.count is Count.RETRIED) == uses_up_an_attempt
    assert measured.seconds in {None, seconds}
