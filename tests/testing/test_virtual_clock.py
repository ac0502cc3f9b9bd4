"""Virtual time stands still until it is moved, and never goes back."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from factories import START

from durex_core.clock import utc_now
from durex_core.testing import ClockError, VirtualClock

HOUR = timedelta(hours=1)


def test_it_stands_still_until_it_is_moved():
    clock = VirtualClock(START)

    assert (clock.now, clock.now) == (START, START)
    clock.advance(HOUR)
    assert clock.now == START + HOUR
    clock.set(START + 3 * HOUR)
    assert clock.now == START + 3 * HOUR


def test_it_begins_at_the_real_now_unless_told_otherwise():
    before = utc_now()

    assert before <= VirtualClock().now <= utc_now()


def test_it_tells_utc_whatever_zone_it_is_given():
    clock = VirtualClock(datetime(2026, 3, 1, 12, tzinfo=timezone(HOUR)))

    assert clock.now == datetime(2026, 3, 1, 11, tzinfo=UTC)
    assert clock.now.tzinfo is UTC


def test_it_never_goes_back():
    clock = VirtualClock(START)

    with pytest.raises(ClockError, match="never goes back"):
        clock.advance(-HOUR)
    with pytest.raises(ClockError, match="never goes back"):
        clock.set(START - HOUR)
    clock.set(START)
    assert clock.now == START


def test_a_moment_without_a_zone_is_refused():
    with pytest.raises(ClockError, match="has no time zone"):
        VirtualClock(datetime(2026, 3, 1, 12))  # noqa: DTZ001  what is refused
