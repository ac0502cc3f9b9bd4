"""A deployment that has nothing to do leaves its database alone."""

from datetime import timedelta

from wakes.stories import HOURS, MINUTES, deployed, enqueue, work

DAY = 24 * HOURS


def test_an_idle_day_connects_to_the_database_for_its_sweeps_alone():
    with deployed(sweep=6 * HOURS) as cloud:
        cloud.run(DAY + MINUTES)

        assert cloud.sweeps == 4
        assert [round(seconds / 3600) for seconds, _ in cloud.database.connects] == [6, 12, 18, 24]
        assert {home for _, home in cloud.database.connects} == {"tick-1"}
        assert (cloud.sqs.sent, cloud.scheduler.made) == (0, 0)


def test_a_deployment_whose_work_is_done_is_idle_two_minutes_later():
    with deployed(sweep=6 * HOURS) as cloud:
        enqueue(cloud, work.spec({"fails": 1}), work.spec({}))
        assert cloud.run_until_done(2 * MINUTES)
        cloud.run(2 * MINUTES)
        busy = len(cloud.database.connects)

        cloud.run(DAY)

        assert len(cloud.database.connects) - busy == cloud.sweeps == 4


def test_what_is_due_tomorrow_keeps_the_database_asleep_until_then():
    with deployed(sweep=None) as cloud:
        enqueue(cloud, work.spec({}, delay=DAY))
        cloud.run(DAY - 3 * MINUTES)

        assert [home for _, home in cloud.database.connects] == ["api"]

        cloud.run(10 * MINUTES)

        assert [home for _, home in cloud.database.connects] == ["api", "tick-1", "work-1"]
        assert cloud.deployed.tick.invocations == 1


def test_an_idle_deployment_costs_no_more_wakes_after_its_echo():
    with deployed(sweep=None) as cloud:
        enqueue(cloud, work.spec({}))
        cloud.run(DAY)

        assert cloud.sqs.sent == 2
        assert not any(queue.live for queue in cloud.deployed.queues.values())
        assert cloud.now - cloud.world.timeline.start == timedelta(days=1)
