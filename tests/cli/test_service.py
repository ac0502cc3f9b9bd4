import threading

import pytest

from durex_core.local.service import Service


class Part:
    """Runs until it is stopped or told how to end."""

    def __init__(self):
        self.ending = threading.Event()
        self.error = None
        self.stops = 0

    def run(self):
        assert self.ending.wait(10)
        if self.error:
            raise self.error

    def stop(self):
        self.stops += 1
        self.ending.set()


def test_the_parts_run_during_the_block_and_are_stopped_at_its_end():
    parts = Part(), Part()
    with Service(*parts):
        assert [part.stops for part in parts] == [0, 0]
    assert all(part.stops for part in parts)


def test_a_part_that_fails_stops_the_others_and_its_error_is_told():
    failing, other = Part(), Part()
    service = Service(failing, other)
    service.start()
    failing.error = RuntimeError("broken")
    failing.ending.set()
    with pytest.raises(RuntimeError, match="broken"):
        service.wait()
    assert other.stops


def test_a_part_that_ends_by_itself_stops_the_others():
    ending, other = Part(), Part()
    service = Service(ending, other)
    service.start()
    ending.ending.set()
    service.wait()
    assert other.stops


def test_the_first_error_is_the_one_that_is_told():
    first, second = Part(), Part()
    first.error, second.error = RuntimeError("first"), RuntimeError("a consequence")
    service = Service(first, second)
    service.start()
    first.ending.set()
    with pytest.raises(RuntimeError, match="first"):
        service.wait()
