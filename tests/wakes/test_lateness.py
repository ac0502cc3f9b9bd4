"""How late a command starts after it is due."""

from datetime import timedelta

import pytest
from wakes.stories import HOURS, MINUTES, SECONDS, app, deployed, enqueue, work

from durex_core.testing.cloud import Faults, RandomFaults

DELAYS = [SECONDS, 30 * SECONDS, 13 * MINUTES, 14 * MINUTES, 14.5 * MINUTES, 20 * MINUTES, 3 * HOURS, 24 * HOURS]
BEGINS = [timedelta(0), 3 * MINUTES, 9 * MINUTES + 59 * SECONDS]


class Skewed(RandomFaults):
    """Clocks that differ by up to two minutes and alarms that come up to a minute late, and nothing else."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed, rate=0)
        self.latency = 0.05


@pytest.mark.parametrize("delay", DELAYS, ids=str)
@pytest.mark.parametrize("begins", BEGINS, ids=str)
def test_a_command_starts_within_two_seconds_of_its_time(delay: timedelta, begins: timedelta):
    for seed in range(3):
        late = lateness(delay, begins, Skewed(seed))

        assert timedelta(0) <= late <= 2 * SECONDS


@pytest.mark.parametrize("delay", DELAYS, ids=str)
def test_a_moment_is_kept_as_a_delay_is(delay: timedelta):
    assert timedelta(0) <= lateness(delay, 7 * MINUTES, Faults(), as_moment=True) <= 2 * SECONDS


@pytest.mark.parametrize("delay", DELAYS, ids=str)
def test_a_moment_is_late_by_what_the_clock_of_the_machine_that_enqueues_is_behind(delay: timedelta):
    """Its own clock is all it has to tell SQS how long to keep the wake back."""
    for seed in range(5):
        late = lateness(delay, 7 * MINUTES, Skewed(seed), as_moment=True)

        assert timedelta(0) <= late <= MINUTES + 2 * SECONDS


def test_without_a_delay_it_starts_at_once():
    assert lateness(timedelta(0), timedelta(0), Faults()) < SECONDS


def lateness(delay: timedelta, begins: timedelta, faults: Faults, *, as_moment: bool = False) -> timedelta:
    """Enqueue a command some time after the beginning, and return how late it started."""
    with deployed(faults=faults, sweep=None) as cloud:
        due = cloud.now + begins + delay
        spec = work.spec({}, run_at=due) if as_moment else work.spec({}, delay=delay)
        ids = enqueue(cloud, spec, after=begins)
        assert cloud.run_until_done(begins + delay + HOURS)
        command = app.get(ids[0])
        assert command.started_at is not None
        return command.started_at - (due if as_moment else command.ready_at)
