"""What the end of an attempt leads to, and the drawing of it in docs/lifecycle.md."""

import re
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from factories import QUEUE, START, claimed_command, error_info, new_command, past_attempt
from hypothesis import given
from hypothesis import strategies as st
from strategies import claimed_commands, ending_commands, outcomes, randomness, repeats

from durex_core.backoff import Backoff, Constant, Jittered, NoBackoff
from durex_core.model import DEFAULT_PERIOD, Command, Ending, ErrorInfo, Extras, State
from durex_core.rules.endings import ending_of
from durex_core.rules.lifecycle import MAX_HANDLER_MISSES, TRANSITIONS, decide, first_state, starting_state
from durex_core.rules.outcomes import Crashed, Failed, HandlerMissing, Outcome, Released, Repeated, Returned
from durex_core.rules.saga import unwind
from durex_core.rules.wakes import Due

SECOND = timedelta(seconds=1)
DRAWING = Path(__file__).parents[2] / "docs" / "lifecycle.md"
KEPT_HISTORY = 50

overdrawn = claimed_command(attempt=2, retries=1, history=(past_attempt(attempt=2, outcome="crashed"),))


@given(command=claimed_commands() | ending_commands(), outcome=outcomes, chance=randomness)
def test_every_end_of_an_attempt_is_a_move_that_is_allowed(command: Command, outcome: Outcome, chance: float):
    settlement = decide(command, outcome, chance)

    assert settlement.command is command
    assert settlement.state in TRANSITIONS[State.STARTED] - {State.STARTED}


@given(command=claimed_commands() | ending_commands(), outcome=outcomes, chance=randomness)
def test_a_command_waits_exactly_if_it_goes_on_after_a_delay(command: Command, outcome: Outcome, chance: float):
    settlement = decide(command, outcome, chance)

    assert settlement.delay >= timedelta(0)
    waits = State.REPEATING if settlement.opens_run else State.SCHEDULED
    assert (settlement.state is waits) == (settlement.delay > timedelta(0))


@given(command=claimed_commands(), outcome=outcomes, chance=randomness)
def test_there_are_never_more_attempts_than_the_budget_allows(command: Command, outcome: Outcome, chance: float):
    settlement = decide(command, outcome, chance)

    if not (settlement.state.is_terminal or settlement.opens_run):
        counted = command.attempt - settlement.gives_back
        assert counted >= 0
        assert counted + 1 <= command.retries + 1


@given(command=ending_commands(), outcome=outcomes, chance=randomness)
def test_a_command_that_was_claimed_for_its_ending_ends_whatever_its_attempt_says(
    command: Command, outcome: Outcome, chance: float
):
    due = ending_of(command)
    assert due is not None

    settlement = decide(command, outcome, chance)

    assert settlement == decide(command, due, 0.5)
    assert settlement.state in {State.DEAD_LETTER, State.FAILED, State.EXPIRED}
    assert settlement.error is not None


@given(command=claimed_commands())
def test_a_command_that_was_claimed_for_an_attempt_has_no_ending(command: Command):
    assert ending_of(command) is None


@given(command=claimed_commands() | ending_commands(), outcome=outcomes, chance=randomness)
def test_only_success_has_a_result_and_only_failure_an_error(command: Command, outcome: Outcome, chance: float):
    settlement = decide(command, outcome, chance)

    if settlement.state is State.COMPLETED or settlement.opens_run:
        assert isinstance(outcome, Returned | Repeated)
        assert (settlement.result, settlement.error) == (outcome.result, None)
    else:
        assert settlement.result is None
        assert settlement.error is not None


@given(command=claimed_commands() | ending_commands(), outcome=outcomes, chance=randomness)
def test_children_come_of_success_and_compensations_of_failure_for_good(
    command: Command, outcome: Outcome, chance: float
):
    settlement = decide(command, outcome, chance)

    if settlement.state is State.COMPLETED:
        assert isinstance(outcome, Returned)
        assert settlement.children == outcome.children
    elif settlement.hook is not None:
        assert settlement.children == unwind(command)
    else:
        assert settlement.children == ()


@given(command=claimed_commands() | ending_commands(), outcome=outcomes, chance=randomness)
def test_only_a_command_that_opted_out_fails_outside_of_the_dead_letter_queue(
    command: Command, outcome: Outcome, chance: float
):
    state = decide(command, outcome, chance).state

    assert state is not State.FAILED or not command.dead_letter
    assert state is not State.DEAD_LETTER or command.dead_letter


@given(command=claimed_commands() | ending_commands(), outcome=outcomes, chance=randomness)
def test_wakes_name_every_queue_that_has_work_and_no_other(command: Command, outcome: Outcome, chance: float):
    settlement = decide(command, outcome, chance)

    work = [
        (child.queue, child.delay)
        for child in settlement.children
        if first_state(child) is not State.WAITING or child.may_expire
    ]
    if not settlement.state.is_terminal:
        has_time = command.deadline_at and command.started_at and not (settlement.opens_run or settlement.ending)
        left = command.deadline_at - command.started_at if has_time else settlement.delay
        work.append((command.queue, max(min(settlement.delay, left), timedelta(0))))
    soonest = {queue: min(delay for named, delay in work if named == queue) for queue, _ in work}
    assert settlement.wakes == {queue: Due(delay, work.count((queue, delay))) for queue, delay in soonest.items()}


@given(command=claimed_commands() | ending_commands(), outcome=outcomes, chance=randomness)
def test_only_a_failure_for_good_and_an_expiry_have_a_hook(command: Command, outcome: Outcome, chance: float):
    settlement = decide(command, outcome, chance)

    assert settlement.hook == {
        State.DEAD_LETTER: Ending.FAILED,
        State.FAILED: Ending.FAILED,
        State.EXPIRED: Ending.EXPIRED,
    }.get(settlement.state)


@given(command=claimed_commands(), outcome=repeats, chance=randomness)
def test_a_run_that_repeats_opens_the_next_one_after_its_delay_or_the_period(
    command: Command, outcome: Repeated, chance: float
):
    settlement = decide(command, outcome, chance)

    period = command.extras.period or DEFAULT_PERIOD
    assert settlement.opens_run
    assert settlement.delay == (period if outcome.delay is None else outcome.delay)
    assert settlement.next_payload is outcome.payload
    assert not settlement.gives_back


@given(outcome=outcomes, dead_letter=st.booleans(), chance=randomness)
def test_a_command_whose_budget_a_crash_has_spent_ends_whatever_its_attempt_says(
    outcome: Outcome, dead_letter: bool, chance: float
):
    settlement = decide(replace(overdrawn, dead_letter=dead_letter), outcome, chance)

    assert settlement.state is (State.DEAD_LETTER if dead_letter else State.FAILED)
    assert settlement.outcome == "crashed"
    assert settlement.children == ()


@pytest.mark.parametrize(
    ("history", "is_overdrawn"),
    [
        ((), False),
        ((past_attempt(attempt=2, outcome="failed"),), False),
        ((past_attempt(attempt=2, outcome="released"),), False),
        ((past_attempt(attempt=1, outcome="crashed"),), False),
        ((past_attempt(attempt=2, outcome="crashed"), past_attempt(attempt=2, outcome="released")), False),
        ((past_attempt(attempt=2, outcome="crashed"),), True),
        ((past_attempt(attempt=1, outcome="failed"), past_attempt(attempt=2, outcome="crashed")), True),
    ],
)
def test_a_budget_is_overdrawn_if_the_newest_attempt_crashed_under_the_present_number(
    history: tuple[object, ...], is_overdrawn: bool
):
    assert claimed_command(attempt=2, retries=1, history=history).is_overdrawn is is_overdrawn


@pytest.mark.parametrize(
    ("attempt", "retries", "state"),
    [(1, 0, State.DEAD_LETTER), (1, 1, State.PENDING), (2, 1, State.DEAD_LETTER), (3, 1000, State.PENDING)],
)
def test_a_failure_is_tried_again_while_retries_are_left(attempt: int, retries: int, state: State):
    settlement = decide(claimed_command(attempt=attempt, retries=retries), Failed(error_info()), 0.5)

    assert (settlement.state, settlement.outcome) == (state, "failed")
    assert settlement.error == error_info()
    assert not settlement.gives_back


def test_a_failure_for_good_is_not_tried_again():
    settlement = decide(claimed_command(retries=9), Failed(error_info(), retryable=False), 0.5)

    assert settlement.state is State.DEAD_LETTER


@pytest.mark.parametrize(
    ("backoff", "state", "delay"),
    [
        (None, State.PENDING, timedelta(0)),
        (NoBackoff(), State.PENDING, timedelta(0)),
        (Constant(timedelta(0)), State.PENDING, timedelta(0)),
        (Constant(SECOND), State.SCHEDULED, SECOND),
        (Jittered(Constant(SECOND), rate=1), State.SCHEDULED, SECOND / 2),
    ],
)
def test_a_retry_waits_as_its_backoff_says(backoff: Backoff | None, state: State, delay: timedelta):
    settlement = decide(claimed_command(retries=1, backoff=backoff), Failed(error_info(), how="timed_out"), 0.25)

    assert (settlement.state, settlement.delay, settlement.outcome) == (state, delay, "timed_out")


def test_a_released_attempt_is_given_back_at_once():
    settlement = decide(claimed_command(backoff=Constant(SECOND)), Released("the worker stopped"), 0.5)

    assert (settlement.state, settlement.delay, settlement.gives_back) == (State.PENDING, timedelta(0), True)
    assert settlement.error == ErrorInfo("Released", "the worker stopped")


def test_a_command_without_a_handler_is_put_back_a_bounded_number_of_times():
    command = claimed_command(retries=5)
    delays = []

    for lease_number in range(1, 100):
        settlement = decide(command, HandlerMissing(), 0.5)
        if settlement.state.is_terminal:
            break
        assert (settlement.state, settlement.gives_back) == (State.SCHEDULED, True)
        delays.append(settlement.delay.total_seconds())
        line = past_attempt(outcome=settlement.outcome, lease_number=lease_number)
        command = replace(command, history=(*command.history, line)[-KEPT_HISTORY:])

    assert settlement.state is State.DEAD_LETTER
    assert delays == [1, 2, 4, 8, 16, 32, 60, 60, 60, 60]
    assert len(delays) == MAX_HANDLER_MISSES


@given(others=st.lists(st.sampled_from(["failed", "crashed", "timed_out", "released"]), max_size=30))
def test_misses_are_counted_whatever_came_between_them(others: list[str]):
    misses = [past_attempt(outcome="handler_missing")] * MAX_HANDLER_MISSES
    between = [past_attempt(outcome=outcome, attempt=1) for outcome in others]
    command = claimed_command(attempt=2, retries=9, history=(*misses[:5], *between, *misses[5:]))

    assert decide(command, HandlerMissing(), 0.5).state is State.DEAD_LETTER


def test_misses_before_a_revival_do_not_count():
    misses = [past_attempt(outcome="handler_missing")] * MAX_HANDLER_MISSES
    revived = past_attempt(outcome="dead_letter", revived_at=START)
    command = claimed_command(history=(*misses, revived, *misses[1:]))

    assert decide(command, HandlerMissing(), 0.5).state is State.SCHEDULED
    assert decide(replace(command, history=(*command.history, misses[0])), HandlerMissing(), 0.5).state.is_terminal


def test_the_error_of_a_missing_handler_names_what_to_look_for():
    settlement = decide(claimed_command(name="pack", queue=QUEUE), HandlerMissing(), 0.5)

    assert settlement.error is not None
    assert settlement.error.message == "no handler named 'pack' is registered in the worker of queue 'parcels'"


def test_the_error_of_a_crash_counts_the_crashes():
    crashes = tuple(past_attempt(attempt=number, outcome="crashed") for number in (1, 2))

    settlement = decide(claimed_command(attempt=2, retries=1, history=crashes), Crashed(), 0.5)

    assert settlement.error is not None
    assert "vanished during attempt 2 (crashes in all: 2)" in settlement.error.message


def test_a_delay_decides_where_a_command_starts():
    assert starting_state(timedelta(0)) is State.PENDING
    assert starting_state(timedelta(microseconds=1)) is State.SCHEDULED


def test_a_settlement_wakes_its_own_queue_if_the_command_goes_on():
    retry = decide(claimed_command(queue="q", retries=1, backoff=Constant(SECOND)), Failed(error_info()), 0.5)

    assert retry.wakes == {"q": Due(SECOND)}
    assert decide(claimed_command(queue="q"), Returned(), 0.5).wakes == {}
    assert decide(claimed_command(queue="q"), Released("stopping"), 0.5).wakes == {"q": Due()}


def test_a_retry_that_outlasts_the_deadline_has_a_wake_at_the_deadline():
    times = {"started_at": START, "deadline_at": START + 5 * SECOND}
    late = claimed_command(queue="q", retries=1, backoff=Constant(9 * SECOND), **times)
    soon = claimed_command(queue="q", retries=1, backoff=Constant(SECOND), **times)

    assert decide(late, Failed(error_info()), 0.5).wakes == {"q": Due(5 * SECOND)}
    assert decide(soon, Failed(error_info()), 0.5).wakes == {"q": Due(SECOND)}


def test_a_settlement_wakes_the_queues_of_the_children_at_their_soonest():
    children = (
        new_command(queue="a", delay=2 * SECOND),
        new_command(queue="a", delay=SECOND),
        new_command(queue="b"),
        new_command(queue="b"),
    )

    assert decide(claimed_command(), Returned(None, children), 0.5).wakes == {"a": Due(SECOND), "b": Due(count=2)}


def test_a_child_that_waits_has_a_wake_only_if_its_time_may_be_over_before_that_of_the_others():
    waiting = new_command(queue="a", awaits=1)
    expiring = new_command(queue="b", awaits=1, extras=Extras(start_within=SECOND))

    assert decide(claimed_command(), Returned(None, (waiting, expiring)), 0.5).wakes == {"b": Due()}


def test_what_has_ended_goes_on_only_if_somebody_revives_it_and_what_succeeded_never():
    unsuccessful = {state for state in State if state.is_terminal} - {State.COMPLETED}

    assert State.COMPLETED not in TRANSITIONS
    assert all(TRANSITIONS[state] == {State.PENDING} for state in unsuccessful)


def test_every_state_that_may_be_left_can_be_reached():
    reached = frozenset().union(*TRANSITIONS.values())

    assert reached == {state for state in TRANSITIONS if state} | {State.COMPLETED}


def test_every_live_state_in_use_leads_to_an_attempt_and_may_be_cancelled():
    for state in {state for state in TRANSITIONS if state and not state.is_terminal}:
        assert TRANSITIONS[state] >= {State.STARTED, State.CANCELLED}


def test_the_drawing_shows_the_moves_of_the_code_and_no_others():
    (drawing,) = re.findall(r"```mermaid\nstateDiagram-v2\n(.*?)```", DRAWING.read_text(), re.DOTALL)
    moves = re.findall(r"^ +(\S+) --> (\w+|\[\*\])(: .+)?$", drawing, re.MULTILINE)
    starting = {(start, end) for start, end, _ in moves if end != "[*]"}
    ending = {start for start, end, _ in moves if end == "[*]"}

    assert len(moves) == len(drawing.strip().splitlines())
    assert starting == {
        (start.value if start else "[*]", end.value) for start, ends in TRANSITIONS.items() for end in ends
    }
    assert ending == {end for _, end in starting if State(end).is_terminal}
    assert all(label for _, end, label in moves if end != "[*]"), "say what causes each move"
