"""When wakes, echoes and alarms ring: early enough for what they stand for, and shared where that is safe."""

from datetime import UTC, datetime, timedelta

import pytest
from factories import START
from hypothesis import given
from hypothesis import strategies as st

from durex_core.aws.promises import Promises
from durex_core.aws.wake import BY_MESSAGE
from durex_core.rules.wakes import (
    BUCKET,
    ECHO_AFTER,
    LEAD,
    LONGEST_DELAY,
    Due,
    bucket_of,
    due_by_queue,
    echo_of,
    fires_at,
    next_bucket,
)

SECOND = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)
# By how much two clocks of AWS, or the scheduler and a clock, may differ.
SKEW = MINUTE

moments = st.datetimes(datetime(2000, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001  it is UTC
delays = st.sampled_from([timedelta(0), SECOND, MINUTE])
work = st.lists(st.tuples(st.sampled_from("abc"), delays))


@given(moment=moments)
def test_a_bucket_is_the_ten_minutes_that_a_moment_is_in(moment: datetime):
    bucket = bucket_of(moment)

    assert bucket <= moment < bucket + BUCKET
    assert (bucket.minute % 10, bucket.second, bucket.microsecond) == (0, 0, 0)
    assert bucket_of(bucket) == bucket


@given(moment=moments)
def test_an_alarm_fires_before_its_moment_and_late_enough_for_a_wake_at_it(moment: datetime):
    fired = fires_at(bucket_of(moment))

    assert fired <= moment - LEAD
    # Whatever its clock says, the tick has messages for the moment and its echo.
    assert moment - fired + SKEW <= BY_MESSAGE
    assert echo_of(moment) - fired + SKEW <= LONGEST_DELAY


@given(now=moments, more=st.timedeltas(timedelta(microseconds=1), timedelta(days=1)))
def test_what_is_due_too_late_for_messages_has_an_alarm_that_can_still_be_set(now: datetime, more: timedelta):
    assert fires_at(bucket_of(now + BY_MESSAGE + more)) > now + SKEW


@given(now=moments)
def test_the_next_bucket_is_the_first_whose_alarm_can_still_be_set(now: datetime):
    bucket = next_bucket(now)

    assert bucket == bucket_of(bucket)
    assert now + MINUTE <= fires_at(bucket)
    assert fires_at(bucket - BUCKET) < now + MINUTE
    assert bucket <= now + 13 * MINUTE


@given(moment=moments)
def test_an_echo_comes_on_a_half_minute_that_many_wakes_share(moment: datetime):
    echo = echo_of(moment)

    assert ECHO_AFTER <= echo - moment < 2 * ECHO_AFTER
    assert (echo.second % 30, echo.microsecond) == (0, 0)


@given(work=work, data=st.data())
def test_of_each_queue_the_soonest_counts_and_how_many_are_due_with_it(
    work: list[tuple[str, timedelta]], data: st.DataObject
):
    due = due_by_queue(work)

    assert set(due) == {queue for queue, _ in work}
    for queue, each in due.items():
        own = [delay for named, delay in work if named == queue]
        assert each == Due(min(own), own.count(min(own)))
    assert due_by_queue(data.draw(st.permutations(work))) == due


def test_work_of_several_queues():
    later = [("a", SECOND), ("b", 2 * SECOND), ("a", timedelta(0)), ("a", timedelta(0)), ("b", MINUTE)]

    assert due_by_queue([]) == {}
    assert due_by_queue(iter(later)) == {"a": Due(count=2), "b": Due(2 * SECOND)}


@pytest.fixture
def promises() -> Promises:
    """A process that has a wake come to one queue, in a minute."""
    made = Promises()
    made.add("q", [START + MINUTE])
    return made


@pytest.mark.parametrize("before", [timedelta(0), SECOND, 30 * SECOND])
def test_a_wake_at_the_moment_or_a_little_before_it_will_do(promises: Promises, before: timedelta):
    assert promises.holds("q", START, START + MINUTE + before)


def test_rounding_delays_a_wake_by_less_than_a_second(promises: Promises):
    assert promises.holds("q", START, START + MINUTE - SECOND)


@pytest.mark.parametrize("off", [-2 * SECOND, -MINUTE, 31 * SECOND, timedelta(hours=1)])
def test_one_that_is_late_or_much_too_early_will_not(promises: Promises, off: timedelta):
    assert not promises.holds("q", START, START + MINUTE + off)


def test_nor_will_one_of_another_queue(promises: Promises):
    assert not promises.holds("other", START, START + MINUTE)


def test_one_that_may_come_before_the_commit_will_not_do(promises: Promises):
    moment = START + 70 * SECOND

    assert promises.holds("q", START + 35 * SECOND, moment)
    assert not promises.holds("q", START + 36 * SECOND, moment)


def test_what_is_of_no_more_use_is_forgotten(promises: Promises):
    assert not promises.holds("q", START + 46 * SECOND, START + MINUTE)
    assert promises._moments["q"] == []


@given(kept=st.lists(st.integers(-60, 900)), now=st.integers(0, 60), delay=st.integers(0, 900))
def test_what_holds_comes_after_the_commit_and_not_after_the_moment(kept: list[int], now: int, delay: int):
    promises = Promises()
    promises.add("q", [START + seconds * SECOND for seconds in kept])
    moment = now + delay

    holds = promises.holds("q", START + now * SECOND, START + moment * SECOND)

    assert holds <= any(now + 25 <= seconds <= moment + 1 for seconds in kept)
    assert holds >= any(now + 25 <= seconds and moment - 30 <= seconds <= moment for seconds in kept)
