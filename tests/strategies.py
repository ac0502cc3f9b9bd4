"""What hypothesis may draw: backoffs, claimed commands, outcomes, plain JSON."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

from factories import START, claimed_command, compensation, error_info, new_command, new_join, past_attempt
from hypothesis import assume
from hypothesis import strategies as st

from durex_core.backoff import Backoff, Constant, Exponential, Jittered, Linear, NoBackoff
from durex_core.ids import new_id
from durex_core.model import ChildResult, Command, Ending, Extras, State
from durex_core.results import UNCHANGED
from durex_core.rules.outcomes import (
    Cancelled,
    Crashed,
    Expired,
    Failed,
    GivenUp,
    HandlerMissing,
    Outcome,
    Released,
    Repeated,
    Returned,
)
from durex_core.spec import MAX_RETRIES

durations = st.timedeltas(timedelta(0), timedelta(days=366))
randomness = st.floats(0, 1, exclude_max=True)

plain_backoffs: st.SearchStrategy[Any] = st.one_of(
    st.builds(NoBackoff),
    st.builds(Constant, delay=durations),
    st.builds(Linear, initial_delay=durations, max_delay=durations),
    st.builds(Exponential, initial_delay=durations, factor=st.floats(1, 100), max_delay=durations),
)
backoffs: st.SearchStrategy[Backoff] = plain_backoffs | st.builds(
    Jittered, backoff=plain_backoffs, rate=st.floats(0, 1)
)

children = st.sampled_from(
    [
        (),
        (new_command(),),
        (new_command(delay=timedelta(seconds=5)), new_command(queue="other")),
        new_join(2, queue="other"),
    ]
)

ends: st.SearchStrategy[Outcome] = st.one_of(
    st.builds(Returned, result=st.integers(), children=children),
    st.builds(
        Failed, error=st.just(error_info()), retryable=st.booleans(), how=st.sampled_from(["failed", "timed_out"])
    ),
    st.builds(Failed, error=st.just(error_info()), how=st.just("retrying"), delay=durations),
    st.builds(Cancelled, reason=st.just("not wanted")),
    st.builds(Expired, error=st.none() | st.just(error_info())),
    st.builds(GivenUp, error=st.just(error_info())),
    st.just(Crashed()),
    st.builds(Released, reason=st.just("the worker stopped"), delay=st.just(timedelta(0)) | durations),
    st.just(HandlerMissing()),
)
repeats: st.SearchStrategy[Outcome] = st.builds(
    Repeated, result=st.integers(), delay=st.none() | durations, payload=st.just(UNCHANGED) | st.none() | st.integers()
)
outcomes: st.SearchStrategy[Outcome] = ends | repeats
"""Whatever may come of an attempt."""

past_outcomes = st.sampled_from(
    ["failed", "timed_out", "retrying", "crashed", "released", "handler_missing", "repeating", "hook_failed"]
)
waited_for = st.sampled_from(
    [(), *((ChildResult(0, new_id(), "child", state),) for state in State if state.is_terminal)],
)
undoing = st.sampled_from(
    [
        (),
        (compensation("a"),),
        (compensation("a", delay=timedelta(seconds=1)), compensation("b"), compensation("c", queue="other")),
    ]
)


@st.composite
def claimed_commands(draw: st.DrawFn) -> Command:
    """Return a command that was just claimed, for an attempt: with some history, children, deadlines, compensations."""
    retries = draw(st.integers(0, 5) | st.integers(0, MAX_RETRIES))
    attempt = draw(st.integers(1, retries + 1))
    history = tuple(
        past_attempt(
            attempt=draw(st.integers(1, attempt)),
            lease_number=number,
            outcome=draw(past_outcomes),
            hook_error=draw(st.none() | st.just(error_info(type="HookError"))),
            revived_at=draw(st.none() | st.none() | st.just(START)),
        )
        for number in range(1, draw(st.integers(0, 4)) + 1)
    )
    command = claimed_command(
        attempt=attempt,
        retries=retries,
        history=history,
        lease_number=len(history) + 1,
        backoff=draw(st.none() | backoffs),
        dead_letter=draw(st.booleans()),
        extras=Extras(period=draw(st.none() | durations.filter(bool))),
        deadline_at=draw(st.none() | st.just(START + timedelta(hours=1))),
        children=draw(waited_for),
        compensations=draw(undoing),
    )
    assume(not command.is_overdrawn)
    return command


@st.composite
def ending_commands(draw: st.DrawFn) -> Command:
    """Return a command that was just claimed for its ending alone."""
    command = draw(claimed_commands())
    kind = draw(st.sampled_from(["failed", "expired", "overdue", "overdrawn", "overdue and failed", "both over"]))
    if draw(st.booleans()):
        command = replace(command, attempt=0)
    if kind in {"overdrawn", "both over"}:
        attempt = command.retries + 1
        crash = past_attempt(attempt=attempt, outcome="crashed", lease_number=command.lease_number)
        command = replace(command, attempt=attempt, history=(*command.history, crash))
    if kind in {"overdue", "overdue and failed", "both over"}:
        command = replace(command, expires_at=START - draw(durations))
    if kind in {"failed", "overdue and failed"}:
        command = replace(command, ending=Ending.FAILED)
    return replace(command, ending=Ending.EXPIRED) if kind == "expired" else command


def json_values() -> st.SearchStrategy[Any]:
    """Return plain JSON: text without NUL, numbers of any size."""
    text = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))
    numbers = st.integers(-(10**40), 10**40) | st.floats(allow_nan=False, allow_infinity=False)
    leaves = st.none() | st.booleans() | numbers | text
    return st.recursive(leaves, lambda inner: st.lists(inner) | st.dictionaries(text, inner), max_leaves=10)
