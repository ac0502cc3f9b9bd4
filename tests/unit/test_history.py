"""The history of a command, told in order from what its row holds."""

from datetime import timedelta

from factories import START, claimed_command, error_info, past_attempt
from hypothesis import given
from hypothesis import strategies as st
from strategies import past_outcomes

from durex_core.model import Command, PastAttempt, State
from durex_core.rules.history import HistoryEvent, history_of

SECOND = timedelta(seconds=1)


def test_a_new_command_was_created():
    command = claimed_command(state=State.PENDING, attempt=0, started_at=None, worker=None)

    assert history_of(command) == (HistoryEvent("created", START, 0),)


def test_a_running_command_was_created_and_started():
    command = claimed_command(started_at=START + SECOND, worker="host:1")

    assert history_of(command) == (
        HistoryEvent("created", START, 0),
        HistoryEvent("started", START + SECOND, 1, message="host:1"),
    )


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
        HistoryEvent("dead_letter", START + 6 * SECOND, 2, error_info(message="again"), 1.0),
    )


def test_an_attempt_whose_start_is_not_known_has_no_duration():
    past = past_attempt(started_at=None, outcome="crashed")

    assert history_of(claimed_command(history=(past,)))[1] == HistoryEvent("crashed", past.ended_at, 1)


def test_a_command_that_was_claimed_for_its_ending_alone_was_not_started_again():
    crash = past_attempt(attempt=1, outcome="crashed", worker="a")
    ending = claimed_command(
        state=State.DEAD_LETTER,
        attempt=1,
        history=(crash,),
        started_at=START + 9 * SECOND,
        finished_at=START + 9 * SECOND,
    )

    assert [event.event for event in history_of(ending)] == ["created", "started", "crashed", "dead_letter"]
    assert history_of(ending)[-1].duration_seconds is None


@given(outcomes=st.lists(past_outcomes, max_size=20), is_finished=st.booleans())
def test_events_come_in_the_order_in_which_they_happened(outcomes: list[str], is_finished: bool):
    command = lived_through(outcomes, is_finished=is_finished)

    events = history_of(command)

    assert [event.at for event in events] == sorted(event.at for event in events)
    assert events[0] == HistoryEvent("created", START, 0)
    assert [event.event for event in events if event.event in set(outcomes)] == outcomes
    assert (events[-1].event == "completed") == is_finished
    started = sum(event.event == "started" for event in events)
    assert started == len(outcomes) + (not command.is_overdrawn)


def lived_through(outcomes: list[str], *, is_finished: bool) -> Command:
    """Return a command that was created at the start and had an attempt every ten seconds."""
    history: list[PastAttempt] = []
    attempt = 1
    for number, outcome in enumerate(outcomes):
        begun = START + (10 * number + 1) * SECOND
        history.append(
            past_attempt(
                attempt=attempt, lease_number=number + 1, outcome=outcome, started_at=begun, ended_at=begun + SECOND
            )
        )
        attempt += outcome not in {"released", "handler_missing"}
    begun = START + (10 * len(outcomes) + 1) * SECOND
    return claimed_command(
        state=State.COMPLETED if is_finished else State.STARTED,
        attempt=attempt,
        retries=100,
        lease_number=len(outcomes) + 1,
        history=tuple(history),
        started_at=begun,
        finished_at=begun + SECOND if is_finished else None,
    )
