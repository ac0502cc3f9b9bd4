"""The line: who is next, and how long there was somebody."""

from types import SimpleNamespace

import pytest

from durex_core.execution import line as module
from durex_core.execution.line import Line
from durex_core.rules.ahead import Tally
from durex_core.rules.outcomes import Released, Returned


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """The line's clock, which stands still."""
    clock = SimpleNamespace(seconds=0.0)
    monkeypatch.setattr(module, "monotonic_seconds", lambda: clock.seconds)
    return clock


@pytest.fixture
def went() -> list[object]:
    """Whom the line sent to the event loop."""
    return []


@pytest.fixture
def line(went: list[object]) -> Line:
    """A line of which two may be called side by side."""
    return Line(2, went.append)


def turn(*, is_async: bool = False) -> SimpleNamespace:
    return SimpleNamespace(is_async=is_async, has_begun=False, has_ended=False, waits_since_seconds=0.0)


def test_they_begin_in_order_and_no_more_than_there_is_room_for(line: Line, went: list[object]):
    first, second, third = turn(), turn(is_async=True), turn()
    line.join([first, second, third], 0.0, is_urgent=False)

    assert line.proceed() is first
    assert (line.take(), line.take(), went) == (first, None, [second])
    assert [each.has_begun for each in (first, second, third)] == [True, True, False]
    line.leave(Returned())
    assert line.take() is third


def test_who_is_urgent_comes_first_and_who_has_ended_not_at_all(line: Line):
    first, ended, urgent = turn(), turn(), turn()
    line.join([ended, first], 0.0, is_urgent=False)
    line.join([urgent], 0.0, is_urgent=True)
    ended.has_ended = True

    assert (line.take(), line.take(), line.take()) == (urgent, first, None)
    assert not ended.has_begun


def test_the_tally_counts_those_that_ended_by_themselves_in_the_time_in_which_somebody_was_there(
    line: Line, clock: SimpleNamespace
):
    assert line.tally(5.0) == Tally(0, 0.0)
    line.join([turn(), turn()], 10.0, is_urgent=False)
    line.take()
    line.take()
    assert line.tally(11.0) == Tally(0, 1.0)
    clock.seconds = 12.0
    line.leave(Returned())
    line.leave(Released("given back"))
    assert line.tally(20.0) == Tally(1, 2.0)
    line.join([turn()], 30.0, is_urgent=False)
    assert line.tally(30.5) == Tally(1, 2.5)


def test_time_is_over_too_when_those_that_are_left_in_line_have_ended(line: Line, clock: SimpleNamespace):
    began, withdrawn = turn(), turn()
    line.join([began, withdrawn], 10.0, is_urgent=False)
    line.take()
    withdrawn.has_ended = True
    clock.seconds = 13.0
    line.leave(Returned())
    assert line.take() is None
    assert line.tally(20.0) == Tally(1, 3.0)
