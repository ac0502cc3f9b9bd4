"""The history of a command, told in order from what its row holds."""

from dataclasses import replace
from datetime import timedelta

import pytest
from factories import START, claimed_command, error_info, past_attempt
from hypothesis import given
from lives import Life, lives

from durex_core.model import Ending, ErrorInfo, Recovery, State
from durex_core.rules.history import HistoryEvent, history_of
from durex_core.rules.outcomes import Cancelled, Expired, Failed, HandlerMissing, Released, Repeated, Returned

SECOND = timedelta(seconds=1)
BROKEN = error_info(type="HookError", message="the hook is broken")
VANISHED = ErrorInfo("Crashed", "the worker vanished")
FOR_GOOD = Failed(error_info(), retryable=False)


def told(life: Life) -> list[tuple[str, int]]:
    """Return the events of a command, with the attempt of each."""
    return [(event.event, event.attempt) for event in history_of(life.command)]


def test_a_new_command_was_created():
    command = claimed_command(state=State.PENDING, attempt=0, started_at=None, worker=None)

    assert history_of(command) == (HistoryEvent("created", START, 0),)


def test_a_running_command_was_created_and_started():
    command = claimed_command(started_at=START + SECOND, worker="host:1")

    assert history_of(command) == (
        HistoryEvent("created", START, 0),
        HistoryEvent("started", START + SECOND, 1, message="host:1"),
    )


def test_a_failure_and_a_success_are_told_as_the_documents_tell_them():
    life = Life(retries=1)

    life.attempt(Failed(error_info()))
    life.attempt(Returned())

    assert told(life) == [("created", 0), ("started", 1), ("failed", 1), ("started", 2), ("completed", 2)]


def test_a_finished_command_tells_how_long_its_last_attempt_took():
    command = claimed_command(
        state=State.COMPLETED, started_at=START + SECOND, finished_at=START + 3.5 * SECOND, worker="host:1"
    )

    assert history_of(command)[-1] == HistoryEvent("completed", START + 3.5 * SECOND, 1, None, 2.5)


def test_every_attempt_is_told_with_its_start_and_its_end():
    command = claimed_command(
        state=State.DEAD_LETTER,
        attempt=2,
        history=(past_attempt(started_at=START, ended_at=START + SECOND, worker="a", error=error_info()),),
        started_at=START + 5 * SECOND,
        worker="b",
        finished_at=START + 6 * SECOND,
        error=error_info(message="again"),
    )

    assert history_of(command) == (
        HistoryEvent("created", START, 0),
        HistoryEvent("started", START, 1, message="a"),
        HistoryEvent("failed", START + SECOND, 1, error_info(), 1.0),
        HistoryEvent("started", START + 5 * SECOND, 2, message="b"),
        HistoryEvent("failed", START + 6 * SECOND, 2, error_info(message="again"), 1.0),
        HistoryEvent("recovered", START + 6 * SECOND, 2, message="moved to the dead letter queue"),
    )


def test_an_attempt_whose_start_is_not_known_has_no_duration():
    past = past_attempt(started_at=None, outcome="failed")

    assert history_of(claimed_command(history=(past,), attempt=2))[1] == HistoryEvent("failed", past.ended_at, 1)


def test_a_crash_is_a_failure_of_an_attempt_whose_worker_vanished():
    life = Life(retries=1)

    life.crash()
    life.attempt(Returned())

    assert told(life) == [("created", 0), ("started", 1), ("failed", 1), ("started", 2), ("completed", 2)]
    assert history_of(life.command)[2].error == VANISHED


def test_a_crash_that_is_not_counted_is_told_and_its_attempt_has_its_number_again():
    lost = past_attempt(outcome="vanished", started_at=START, ended_at=START + SECOND)
    command = claimed_command(attempt=1, history=(lost,), started_at=START + 2 * SECOND)

    created, first, released, second = history_of(command)
    assert (first.event, released.event, released.error, second.event) == ("started", "released", VANISHED, "started")
    assert (first.attempt, released.attempt, second.attempt) == (1, 1, 1)
    assert created.event == "created"


def test_a_timeout_is_a_failure_too():
    life = Life(retries=1)

    life.attempt(Failed(ErrorInfo("TimedOut", "too long"), how="timed_out"))

    assert told(life) == [("created", 0), ("started", 1), ("failed", 1)]
    assert history_of(life.command)[2].error == ErrorInfo("TimedOut", "too long")


def test_a_retry_that_a_handler_asked_for_is_told_as_one():
    life = Life(retries=1)

    life.attempt(Failed(error_info(), how="retrying"))
    life.attempt(Failed(error_info(), how="retrying"))

    assert told(life) == [
        ("created", 0),
        ("started", 1),
        ("retrying", 1),
        ("started", 2),
        ("failed", 2),
        ("recovered", 2),
    ]


@pytest.mark.parametrize(
    ("outcome", "event"), [(Released("stopping"), "released"), (HandlerMissing(), "retrying")], ids=["stop", "handler"]
)
def test_a_claim_that_was_given_back_is_told_and_its_attempt_has_its_number_again(
    outcome: Released | HandlerMissing, event: str
):
    life = Life()

    life.attempt(outcome)
    life.attempt(Returned())

    assert told(life) == [("created", 0), ("started", 1), (event, 1), ("started", 1), ("completed", 1)]


def test_without_the_dead_letter_queue_nothing_is_told_of_it():
    life = Life(dead_letter=False)

    life.attempt(FOR_GOOD)

    assert told(life) == [("created", 0), ("started", 1), ("failed", 1)]


@pytest.mark.parametrize(
    ("recovery", "message"),
    [
        (Recovery(2), "its hook enqueued 2 commands; moved to the dead letter queue"),
        (
            Recovery(error=BROKEN),
            "its hook was given up: HookError: the hook is broken; moved to the dead letter queue",
        ),
        (None, "moved to the dead letter queue"),
    ],
    ids=["hook", "hook given up", "no hook"],
)
def test_what_was_done_about_a_failure_is_told(recovery: Recovery | None, message: str):
    life = Life()
    life.attempt(FOR_GOOD)

    *_, failed, recovered = history_of(replace(life.command, recovery=recovery))

    assert (failed.event, failed.error) == ("failed", error_info())
    assert (recovered.event, recovered.message) == ("recovered", message)


def test_a_hook_without_the_dead_letter_queue_is_told_too():
    life = Life(dead_letter=False)
    life.attempt(FOR_GOOD)

    last = history_of(replace(life.command, recovery=Recovery(1)))[-1]

    assert (last.event, last.message) == ("recovered", "its hook enqueued 1 command")


def test_a_command_that_expired_before_its_start_was_never_started():
    life = Life(retries=3, expires_after=SECOND)

    life.ending()

    assert told(life) == [("created", 0), ("expired", 0)]
    assert history_of(life.command)[-1].duration_seconds is None


def test_a_command_that_expired_between_attempts_was_not_started_again():
    life = Life(retries=3, expires_after=30 * SECOND)

    life.attempt(Failed(error_info()))
    life.ending()

    assert told(life) == [("created", 0), ("started", 1), ("failed", 1), ("expired", 1)]


def test_a_command_that_expired_mid_attempt_was_started():
    life = Life(retries=3)

    life.attempt(Expired(error_info()))

    assert told(life) == [("created", 0), ("started", 1), ("expired", 1)]
    assert history_of(life.command)[-1].error == error_info()


def test_a_command_that_was_claimed_for_its_ending_alone_was_not_started_again():
    life = Life()

    life.crash()
    life.ending()

    assert told(life) == [("created", 0), ("started", 1), ("failed", 1), ("recovered", 1)]


def test_a_command_that_waited_in_vain_was_never_started_and_failed():
    life = Life()

    life.ending(Ending.FAILED)

    assert told(life) == [("created", 0), ("failed", 0), ("recovered", 0)]


def test_a_cancelled_command_tells_why():
    life = Life()

    life.attempt(Cancelled("not wanted"))

    assert told(life) == [("created", 0), ("started", 1), ("cancelled", 1)]
    assert history_of(life.command)[-1].error == ErrorInfo("Cancelled", "not wanted")


def test_a_command_that_was_cancelled_before_its_start_was_never_started():
    command = claimed_command(
        state=State.CANCELLED, attempt=0, started_at=None, worker=None, finished_at=START + SECOND, error=error_info()
    )

    assert [event.event for event in history_of(command)] == ["created", "cancelled"]


def test_a_run_that_repeats_ends_as_completed_and_the_next_one_tells_what_it_follows():
    life = Life()

    filed = life.attempt(Repeated("so far"))
    life.attempt(Returned("done"))

    assert [event.event for event in history_of(filed)] == ["created", "started", "completed"]
    assert told(life) == [("created", 0), ("started", 1), ("repeating", 1), ("started", 1), ("completed", 1)]


def test_a_hook_that_failed_is_told_and_its_attempt_only_once():
    life = Life(retries=3)

    life.attempt(FOR_GOOD, hook_error=BROKEN)
    life.ending(hook_error=BROKEN)
    life.crash()
    life.ending()

    assert told(life) == [
        ("created", 0),
        ("started", 1),
        ("failed", 1),
        ("hook_failed", 1),
        ("hook_failed", 1),
        ("hook_failed", 1),
        ("recovered", 1),
    ]
    assert [event.error for event in history_of(life.command)][2:6] == [error_info(), BROKEN, BROKEN, VANISHED]


def test_a_hook_of_an_expiry_that_failed_is_told_before_the_expiry():
    life = Life(retries=3, expires_after=SECOND)

    life.ending(hook_error=BROKEN)
    life.crash()
    life.ending()

    assert told(life) == [("created", 0), ("hook_failed", 0), ("hook_failed", 0), ("expired", 0), ("recovered", 0)]


def test_a_hook_of_one_that_waited_in_vain_is_told_before_its_failure():
    life = Life()

    life.ending(Ending.FAILED, hook_error=BROKEN)
    life.crash()
    life.ending()

    assert told(life) == [("created", 0), ("hook_failed", 0), ("hook_failed", 0), ("failed", 0), ("recovered", 0)]


def test_a_command_left_to_its_hook_is_not_started_again():
    life = Life(retries=3)
    life.attempt(FOR_GOOD, hook_error=BROKEN)

    life.claim()

    assert told(life) == [("created", 0), ("started", 1), ("failed", 1), ("hook_failed", 1)]


@pytest.mark.parametrize("with_hook", [False, True])
def test_a_revived_command_tells_of_its_lives_in_order(with_hook: bool):
    life = Life()
    life.attempt(FOR_GOOD, hook_error=BROKEN if with_hook else None)
    if with_hook:
        life.ending()

    life.revive()
    life.attempt(Returned())

    hook = [("hook_failed", 1)] if with_hook else []
    assert told(life) == [
        ("created", 0),
        ("started", 1),
        ("failed", 1),
        *hook,
        ("retrying", 1),
        ("started", 1),
        ("completed", 1),
    ]


def test_a_revived_command_that_a_crash_had_ended_tells_of_the_crash_once():
    life = Life()
    life.crash()
    life.ending()

    life.revive()

    assert told(life) == [("created", 0), ("started", 1), ("failed", 1), ("retrying", 1)]


@pytest.mark.parametrize(("ending", "event"), [(None, "expired"), (Ending.FAILED, "failed")])
def test_a_revived_command_that_never_started_tells_how_it_had_ended(ending: Ending | None, event: str):
    life = Life(expires_after=None if ending else SECOND)
    life.ending(ending)

    life.revive()

    assert told(life) == [("created", 0), (event, 0), ("retrying", 0)]


@given(life=lives())
def test_events_come_in_the_order_in_which_they_happened(life: Life):
    events = history_of(life.command)

    assert [event.at for event in events] == sorted(event.at for event in events)
    assert events[0] == HistoryEvent("created", START, 0)
    assert all(event.event != "created" for event in events[1:])


@given(life=lives())
def test_every_attempt_of_the_newest_run_that_is_kept_is_told_once(life: Life):
    events = history_of(life.command)

    started = [event.at for event in events if event.event == "started"]
    assert started == [at for at in life.started if at >= life.first_kept]
    assert len(started) == len(set(started))


@given(life=lives())
def test_how_a_command_ended_is_told_once(life: Life):
    """Its failure stands where its attempt ended, and what its hook did about it after that."""
    command = life.command
    if not command.state.is_terminal:
        return
    word = "failed" if command.state in (State.DEAD_LETTER, State.FAILED) else command.state.value
    this_life = [event for event in history_of(command) if event.at > life.revived_at]

    ends = [event for event in this_life if (event.event, event.attempt) == (word, command.attempt)]

    assert len(ends) == 1
    assert (ends[0].error is None) == (command.state is State.COMPLETED)
