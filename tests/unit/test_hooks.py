"""The rules of endings: when a hook that failed is tried again or given up, and what its command then ends with."""

from dataclasses import replace
from datetime import timedelta

import pytest
from factories import START, claimed_command, compensation, error_info, new_command, past_attempt
from hypothesis import given
from hypothesis import strategies as st
from lives import Life
from strategies import claimed_commands, ending_commands, outcomes, randomness

from durex_core.model import ChildResult, Command, Ending, ErrorInfo, Extras, Recovery, State
from durex_core.rules.endings import MAX_HOOK_TRIES, ending_of, hook_failed, recovered
from durex_core.rules.lifecycle import TRANSITIONS, decide
from durex_core.rules.outcomes import Crashed, Expired, Failed, GivenUp, Outcome
from durex_core.rules.saga import unwind
from durex_core.rules.wakes import Due

SECOND = timedelta(seconds=1)
HOUR = timedelta(hours=1)
BROKEN = error_info(type="HookError", message="the hook is broken")
FOR_GOOD = Failed(error_info(), retryable=False)


@given(command=claimed_commands() | ending_commands(), outcome=outcomes, chance=randomness, retryable=st.booleans())
def test_a_hook_that_failed_is_tried_again_or_given_up(
    command: Command, outcome: Outcome, chance: float, retryable: bool
):
    due = decide(command, outcome, chance)
    if due.hook is None:
        return

    settlement = hook_failed(due, BROKEN, retryable=retryable)

    assert settlement.state in TRANSITIONS[State.STARTED]
    if settlement.state.is_terminal:
        assert settlement == replace(due, recovery=Recovery(error=BROKEN))
    else:
        assert retryable
        assert (settlement.state, settlement.ending, settlement.hook_error) == (State.SCHEDULED, due.hook, BROKEN)
        assert SECOND <= settlement.delay <= 60 * SECOND
        assert (settlement.error, settlement.children, settlement.gives_back) == (due.error, (), False)
        assert settlement.wakes == {command.queue: Due(settlement.delay)}


@given(command=claimed_commands(), outcome=outcomes, chance=randomness, crashes=st.sets(st.integers(1, 12)))
def test_no_attempt_follows_once_a_hook_has_failed_and_the_ending_stays_the_same(
    command: Command, outcome: Outcome, chance: float, crashes: set[int]
):
    command = replace(command, history=())
    due = decide(command, outcome, chance)
    if due.hook is None:
        return
    life = Life()
    life.end(command, outcome, hook_error=BROKEN)
    tries = 1

    while not life.command.state.is_terminal:
        tries += 1
        assert tries <= MAX_HOOK_TRIES
        if tries in crashes and tries < MAX_HOOK_TRIES:
            life.crash()
        else:
            life.ending(hook_error=BROKEN)
        assert life.command.attempt == command.attempt

    assert (life.command.state, life.command.error) == (due.state, due.error)
    assert life.command.recovery == Recovery(error=BROKEN)
    assert (life.started, tries) == ([], MAX_HOOK_TRIES)


def test_the_tries_of_a_hook_wait_ever_longer():
    life = Life()
    life.attempt(FOR_GOOD, hook_error=BROKEN)
    delays = []

    while not life.command.state.is_terminal:
        command = life.claim()
        delays.append(hook_failed(decide(command, FOR_GOOD, 0.5), BROKEN, retryable=True).delay / SECOND)
        life.end(command, FOR_GOOD, hook_error=BROKEN)

    assert delays == [2, 4, 8, 16, 32, 60, 60, 60, 0]


def test_a_revived_command_has_all_tries_of_its_hook_again():
    life = Life()
    life.attempt(FOR_GOOD, hook_error=BROKEN)
    while not life.command.state.is_terminal:
        life.ending(hook_error=BROKEN)
    life.revive()

    life.attempt(FOR_GOOD, hook_error=BROKEN)
    tries = 1
    while not life.command.state.is_terminal:
        life.ending(hook_error=BROKEN)
        tries += 1

    assert tries == MAX_HOOK_TRIES


def test_a_revived_command_ends_with_the_error_of_its_present_life():
    life = Life()
    life.attempt(FOR_GOOD, hook_error=BROKEN)
    life.ending()
    life.revive()
    life.crash()
    life.ending(hook_error=BROKEN)

    life.ending()

    assert life.command.error is not None
    assert life.command.error.type == "Crashed"


@given(command=ending_commands())
def test_what_a_hook_asked_for_comes_after_what_undoes_the_steps(command: Command):
    due = decide(command, FOR_GOOD, 0.5)
    follow_ups = (new_command(queue="follow-ups"), new_command(queue="follow-ups", delay=SECOND))

    settlement = recovered(due, follow_ups)

    assert settlement.children == (*unwind(command), *follow_ups)
    assert settlement.recovery == Recovery(enqueued=2)
    assert settlement.wakes == due.wakes | {"follow-ups": Due()}
    assert (settlement.state, settlement.error) == (due.state, due.error)


def test_what_undoes_the_steps_is_kept_until_the_hook_is_done_with():
    command = claimed_command(compensations=(compensation(),))

    put_back = hook_failed(decide(command, FOR_GOOD, 0.5), BROKEN, retryable=True)
    given_up = hook_failed(decide(command, FOR_GOOD, 0.5), BROKEN, retryable=False)

    assert put_back.children == ()
    assert given_up.children == unwind(command)


@pytest.mark.parametrize(
    ("outcome", "told"),
    [
        (FOR_GOOD, "failed"),
        (Failed(error_info(), how="timed_out"), "timed_out"),
        (Failed(error_info(), how="retrying"), "failed"),
        (Expired(error_info()), "expired"),
    ],
    ids=["failed", "timed out", "retry with none left", "expired"],
)
def test_the_first_failure_of_a_hook_tells_how_the_attempt_ended_and_the_later_ones_do_not(outcome: Outcome, told: str):
    life = Life()

    life.attempt(outcome, hook_error=BROKEN)
    life.ending(hook_error=BROKEN)

    assert [past.outcome for past in life.command.history] == [told, "hook_failed"]
    assert [past.error for past in life.command.history] == [error_info(), error_info()]


ENDINGS = [
    (claimed_command(ending=Ending.FAILED, history=(past_attempt(error=error_info(), hook_error=BROKEN),)), GivenUp),
    (claimed_command(ending=Ending.EXPIRED, history=(past_attempt(error=error_info(), hook_error=BROKEN),)), Expired),
    (claimed_command(history=(past_attempt(outcome="crashed"),)), Crashed),
    (claimed_command(history=(past_attempt(outcome="crashed"),), expires_at=START), Crashed),
    (claimed_command(expires_at=START), Expired),
    (claimed_command(attempt=0, expires_at=START - HOUR), Expired),
    (claimed_command(attempt=0, ending=Ending.FAILED, expires_at=START), GivenUp),
]


@pytest.mark.parametrize(("command", "kind"), ENDINGS, ids=range(len(ENDINGS)))
def test_what_a_command_is_claimed_for_is_read_from_its_row(command: Command, kind: type[Outcome]):
    assert isinstance(ending_of(command), kind)


@pytest.mark.parametrize("expires_at", [None, START + timedelta(microseconds=1), START + HOUR])
def test_a_command_that_was_claimed_in_time_is_not_overdue(expires_at):
    assert not claimed_command(expires_at=expires_at).is_overdue
    assert ending_of(claimed_command(expires_at=expires_at)) is None


def test_a_command_that_is_left_to_end_ends_with_the_error_that_was_noted():
    history = (past_attempt(error=error_info(message="first"), hook_error=BROKEN), past_attempt(outcome="crashed"))

    for ending in Ending:
        command = claimed_command(ending=ending, history=history)
        assert decide(command, Failed(BROKEN), 0.5).error == error_info(message="first")


def child(position: int, state: State) -> ChildResult:
    return ChildResult(position, claimed_command().id, "child", state)


@pytest.mark.parametrize(
    ("states", "told", "ending"),
    [
        ([State.COMPLETED, State.EXPIRED], "1 of the 2", [1]),
        ([State.DEAD_LETTER] * 3, "3 of the 3", [0, 1, 2]),
        ([State.CANCELLED] * 5, "5 of the 5", [0, 1, 2]),
    ],
    ids=["one", "three", "five"],
)
def test_a_command_that_waited_in_vain_names_the_first_three_that_did_not_complete(
    states: list[State], told: str, ending: list[int]
):
    children = tuple(child(position, state) for position, state in enumerate(states))

    error = decide(claimed_command(attempt=0, ending=Ending.FAILED, children=children), FOR_GOOD, 0.5).error

    assert error is not None
    assert error.type == "ChildrenFailed"
    named = ", ".join(f"{position} (child {children[position].id}) {states[position]}" for position in ending)
    more = " and 2 more" if len(states) == 5 else ""
    assert error.message == f"{told} commands that it waited for did not complete: {named}{more}"


@pytest.mark.parametrize(
    ("command", "error"),
    [
        (
            claimed_command(deadline_at=START, expires_at=START),
            ErrorInfo("DeadlinePassed", "it had not ended by its deadline, 2026-03-01 12:00:00+00:00"),
        ),
        (
            claimed_command(deadline_at=START + HOUR, expires_at=START, extras=Extras(start_within=SECOND)),
            ErrorInfo("StartedTooLate", "it had not started within 0:00:01 of being due"),
        ),
        (
            claimed_command(deadline_at=START + HOUR, expires_at=START + HOUR),
            ErrorInfo("DeadlinePassed", "it had not ended by its deadline, 2026-03-01 13:00:00+00:00"),
        ),
    ],
    ids=["overdue", "started too late", "mid attempt"],
)
def test_the_error_of_an_expiry_says_what_was_too_late(command: Command, error: ErrorInfo):
    assert decide(command, Expired(), 0.5).error == error
