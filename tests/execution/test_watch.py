"""The watch: what takes too long is ended in time, whatever else goes on in the process."""

import threading
from datetime import timedelta

import pytest
from staging import wait_until

from durex_core.clock import monotonic_seconds
from durex_core.execution.watch import Watch
from durex_core.model import State


class Limited:
    """Something that is to end so many seconds from now."""

    def __init__(self, seconds, error=None):
        self.ends_at_seconds = monotonic_seconds() + seconds
        self.ended = threading.Event()
        self._error = error

    def end(self):
        self.ended.set()
        if self._error is not None:
            raise self._error


@pytest.fixture
def watch():
    """A watch that is closed at the end."""
    made = Watch()
    yield made
    made.close()


def test_it_ends_what_is_late_the_earliest_first(watch):
    far, near = Limited(30), Limited(0.02)
    watch.add(far)
    watch.add(near)
    assert near.ended.wait(10)
    assert not far.ended.is_set()


def test_what_was_discarded_is_left_alone(watch):
    discarded, last = Limited(0.02), Limited(0.05)
    watch.add(discarded)
    watch.discard(discarded)
    watch.add(last)
    assert last.ended.wait(10)
    assert not discarded.ended.is_set()


def test_one_that_cannot_be_ended_keeps_none_of_the_others(watch, caplog):
    for error in (ValueError("broken"), SystemExit()):
        watch.add(Limited(0.01, error))
    last = Limited(0.03)
    watch.add(last)
    assert last.ended.wait(10)
    wait_until(lambda: "could not be ended" in caplog.text)


def test_a_watch_that_nobody_needs_has_no_thread():
    before = threading.active_count()
    Watch().close()
    assert threading.active_count() == before


def test_a_coroutine_that_blocks_the_loop_delays_no_other_ones_timeout(app, work, finished):
    blocked = threading.Event()

    @app.command("block")
    async def block() -> None:
        blocked.set()
        threading.Event().wait(3)  # it should not, and does

    @app.command("slow", timeout=timedelta(milliseconds=100))
    def slow() -> None:
        threading.Event().wait(1.5)

    work(concurrency=4)
    block.enqueue()
    assert blocked.wait(10)
    began_at = monotonic_seconds()
    command = finished(slow.enqueue())
    assert command.state is State.DEAD_LETTER
    assert command.error.type == "TimedOut"
    assert monotonic_seconds() - began_at < 1.5
