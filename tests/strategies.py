"""What hypothesis may draw: backoffs, claimed commands, outcomes, plain JSON."""

from datetime import timedelta
from typing import Any

from factories import claimed_command, error_info, new_command, past_attempt
from hypothesis import strategies as st

from durex_core.backoff import Backoff, Constant, Exponential, Jittered, Linear, NoBackoff
from durex_core.model import MAX_RETRIES, Command
from durex_core.rules.lifecycle import Crashed, Failed, HandlerMissing, Outcome, Released, Returned

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

outcomes: st.SearchStrategy[Outcome] = st.one_of(
    st.builds(Returned, result=st.integers(), children=st.sampled_from([(), (new_command(),)])),
    st.builds(
        Failed,
        error=st.just(error_info()),
        retryable=st.booleans(),
        how=st.sampled_from(["failed", "timed_out"]),
    ),
    st.just(Crashed()),
    st.just(Released("the worker stopped")),
    st.just(HandlerMissing()),
)

past_outcomes = st.sampled_from(["failed", "timed_out", "crashed", "released", "handler_missing"])


@st.composite
def claimed_commands(draw: st.DrawFn) -> Command:
    """Return a command that was just claimed, with some history, overdrawn or not."""
    retries = draw(st.integers(0, MAX_RETRIES))
    attempt = draw(st.integers(1, retries + 1))
    history = tuple(
        past_attempt(attempt=draw(st.integers(1, attempt)), lease_number=number, outcome=draw(past_outcomes))
        for number in range(1, draw(st.integers(0, 12)) + 1)
    )
    return claimed_command(
        attempt=attempt,
        retries=retries,
        history=history,
        lease_number=len(history) + 1,
        backoff=draw(st.none() | backoffs),
        dead_letter=draw(st.booleans()),
    )


def json_values() -> st.SearchStrategy[Any]:
    """Return plain JSON: text without NUL, numbers of any size."""
    text = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))
    numbers = st.integers(-(10**40), 10**40) | st.floats(allow_nan=False, allow_infinity=False)
    leaves = st.none() | st.booleans() | numbers | text
    return st.recursive(leaves, lambda inner: st.lists(inner) | st.dictionaries(text, inner), max_leaves=10)
