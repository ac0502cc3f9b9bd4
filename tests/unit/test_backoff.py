"""Backoff: bounded, never shorter after more failures, never negative, and spread by jitter as far as it says."""

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError
from strategies import backoffs, durations, plain_backoffs, randomness

from durex_core.backoff import Backoff, Constant, Exponential, Jittered, Linear, NoBackoff
from durex_core.rules.backoff import delay_before
from durex_core.spec import MAX_RETRIES

BACKOFF: TypeAdapter[Backoff] = TypeAdapter(Backoff)
SECOND = timedelta(seconds=1)
MICROSECOND = timedelta(microseconds=1)

attempts = st.integers(1, MAX_RETRIES + 1)


def delays(backoff: Backoff, number: int) -> list[float]:
    return [delay_before(backoff, attempt, 0.5).total_seconds() for attempt in range(1, number + 1)]


def test_no_backoff_tries_again_at_once():
    assert delays(NoBackoff(), 3) == [0, 0, 0]


def test_a_constant_backoff_waits_the_same_each_time():
    assert delays(Constant(SECOND), 3) == [1, 1, 1]


def test_a_linear_backoff_waits_longer_by_the_same_each_time_up_to_its_maximum():
    assert delays(Linear(2 * SECOND, 7 * SECOND), 5) == [2, 4, 6, 7, 7]


def test_an_exponential_backoff_waits_longer_by_its_factor_up_to_its_maximum():
    assert delays(Exponential(SECOND, 3, 30 * SECOND), 5) == [1, 3, 9, 27, 30]


def test_the_defaults_double_up_to_five_minutes():
    assert delays(Exponential(), 11) == [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]


@pytest.mark.parametrize("factor", [1.01, 1.05, 1.1, 1.5])
def test_a_small_factor_reaches_the_maximum_too(factor: float):
    backoff = Exponential(SECOND, factor, timedelta(minutes=5))

    assert delay_before(backoff, MAX_RETRIES, 0.5) == timedelta(minutes=5)
    assert delay_before(backoff, 101, 0.5) == timedelta(seconds=min(factor**100, 300))


@pytest.mark.parametrize(("chance", "delay"), [(0.0, 9.0), (0.25, 9.5), (0.5, 10.0), (0.75, 10.5), (1 - 2**-53, 11.0)])
def test_jitter_spreads_a_delay_to_both_sides_by_its_rate(chance: float, delay: float):
    assert delay_before(Jittered(Constant(10 * SECOND), rate=0.1), 1, chance) == timedelta(seconds=delay)


@given(backoff=plain_backoffs, attempt=attempts, chance=randomness)
def test_a_delay_is_never_negative_nor_longer_than_its_maximum(backoff: Any, attempt: int, chance: float):
    longest = {"none": timedelta(0), "constant": getattr(backoff, "delay", None)}.get(
        backoff.kind, getattr(backoff, "max_delay", None)
    )
    assert longest is not None

    assert timedelta(0) <= delay_before(backoff, attempt, chance) <= longest


@given(backoff=plain_backoffs, attempt=attempts)
def test_a_delay_does_not_fall_from_one_failure_to_the_next(backoff: Any, attempt: int):
    assert delay_before(backoff, attempt, 0.5) <= delay_before(backoff, attempt + 1, 0.5)


@given(backoff=plain_backoffs, attempt=attempts, first=randomness, second=randomness)
def test_without_jitter_chance_plays_no_part(backoff: Any, attempt: int, first: float, second: float):
    assert delay_before(backoff, attempt, first) == delay_before(backoff, attempt, second)


@given(backoff=plain_backoffs, rate=st.floats(0, 1), attempt=attempts, chance=randomness)
def test_jitter_stays_within_its_rate_and_is_never_negative(backoff: Any, rate: float, attempt: int, chance: float):
    plain = delay_before(backoff, attempt, chance)

    jittered = delay_before(Jittered(backoff, rate), attempt, chance)

    assert jittered >= timedelta(0)
    assert plain * (1 - rate) - MICROSECOND <= jittered <= plain * (1 + rate) + MICROSECOND


@given(backoff=plain_backoffs, attempt=attempts)
def test_the_middle_of_chance_is_the_plain_delay(backoff: Any, attempt: int):
    assert delay_before(Jittered(backoff), attempt, 0.5) == delay_before(backoff, attempt, 0.5)


@given(initial=durations, attempt=attempts)
def test_the_thousandth_failure_overflows_nothing(initial: timedelta, attempt: int):
    delay_before(Exponential(initial, 100, timedelta(days=366)), attempt, 0.5)
    delay_before(Linear(initial, timedelta(days=366)), attempt, 0.5)


def test_a_zero_initial_delay_stays_zero():
    assert delays(Exponential(timedelta(0), 100), 500) == [0] * 500


@given(backoff=backoffs)
def test_a_backoff_survives_its_way_through_json(backoff: Backoff):
    assert BACKOFF.validate_json(BACKOFF.dump_json(backoff)) == backoff
    assert BACKOFF.validate_python(BACKOFF.dump_python(backoff, mode="json")) == backoff


def test_a_stored_backoff_keeps_its_delays_to_the_microsecond():
    backoff = Exponential(timedelta(microseconds=249), 1.5, timedelta(days=366) - MICROSECOND)

    assert BACKOFF.validate_json(BACKOFF.dump_json(backoff)) == backoff


@pytest.mark.parametrize(
    "make",
    [
        lambda: Constant(-MICROSECOND),
        lambda: Constant(timedelta(days=366) + MICROSECOND),
        lambda: Linear(initial_delay=-SECOND),
        lambda: Linear(max_delay=timedelta(days=367)),
        lambda: Exponential(factor=0.99),
        lambda: Exponential(factor=100.1),
        lambda: Exponential(factor=float("nan")),
        lambda: Exponential(factor=float("inf")),
        lambda: Jittered(rate=-0.01),
        lambda: Jittered(rate=1.01),
        lambda: Jittered(rate=float("nan")),
        lambda: Jittered(Jittered()),  # type: ignore[arg-type]
        lambda: BACKOFF.validate_python({"kind": "fibonacci"}),
        lambda: BACKOFF.validate_python({"kind": "constant", "delay": 1, "jitter": 0.1}),
        lambda: BACKOFF.validate_python({"delay": 1}),
    ],
)
def test_a_backoff_out_of_range_cannot_be_made(make: Any):
    with pytest.raises(ValidationError):
        make()
