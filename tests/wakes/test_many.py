"""Many commands at once: few messages, and as many workers as the mapping allows."""

from datetime import timedelta

import pytest
from wakes.stories import SECONDS, deployed, enqueue, many

COMMANDS = 10_000


def test_ten_thousand_commands_are_told_of_by_eleven_messages_and_bring_the_fleet_to_its_maximum():
    with deployed(maximum=30, sweep=None) as cloud:
        enqueue(cloud, *many(COMMANDS, takes=20.0))
        cloud.run(timedelta(seconds=0.03))
        told_by = cloud.sqs.sent
        cloud.run(20 * SECONDS)

        assert told_by == 11
        assert cloud.deployed.workers["work"].most_running == 30


@pytest.mark.parametrize("takes", [0.1, 5.0])
def test_to_work_them_off_costs_fewer_messages_than_there_are_commands(takes: float):
    """Even if one poller receives all that the invocation before it passed on."""
    with deployed(maximum=20, sweep=None) as cloud:
        enqueue(cloud, *many(COMMANDS // 10, takes=takes))

        assert cloud.run_until_done(600 * SECONDS)
        assert cloud.sqs.sent < COMMANDS // 10
