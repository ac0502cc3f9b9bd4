"""Whatever a command may do in its life, it does in the harness: durex's own machinery runs it."""

from datetime import timedelta

import pytest
from factories import START

from durex_core import Context
from durex_core.errors import RateLimited
from durex_core.model import State
from durex_core.observer import Observer
from durex_core.results import Repeat, SpawnThen
from durex_core.testing import EndlessLoop

MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)


def test_a_repetition_is_seen_run_by_run(app, harness):
    @app.command("poll", period=HOUR)
    def poll(ctx: Context):
        return Repeat(result=ctx.command.run)

    poll.enqueue()

    assert harness.advance(3 * HOUR) == 4
    runs = harness.commands(poll)
    assert [(run.result, run.finished_at) for run in runs if run.state is State.COMPLETED] == [
        (number + 1, START + number * HOUR) for number in range(4)
    ]
    assert [run.state for run in runs].count(State.REPEATING) == 1


def test_a_repetition_without_a_delay_is_a_loop(app, harness):
    @app.command("spin")
    def spin():
        return Repeat(delay=timedelta(0))

    spin.enqueue()

    with pytest.raises(EndlessLoop, match="'spin'"):
        harness.run_until_idle(limit=20)


def test_what_waits_for_others_runs_when_they_have_ended(app, harness):
    @app.command("part")
    def part(number: int):
        return number * number

    @app.command("whole")
    def whole(ctx: Context):
        return sum(child.result for child in ctx.children)

    @app.command("split")
    def split():
        return SpawnThen([part.spec(1), part.spec(2), part.spec(3, delay=HOUR)], whole.spec())

    split.enqueue()

    assert harness.run_until_idle() == 3
    assert harness.commands(whole)[0].state is State.WAITING
    harness.advance(2 * HOUR)
    assert (harness.commands(whole)[0].result, harness.commands(whole)[0].finished_at) == (14, START + HOUR)


def test_what_expires_does_so_at_its_moment(app, harness):
    @app.command("late", retries=10, deadline=HOUR)
    def late():
        raise RateLimited(25 * MINUTE)

    late.enqueue()
    harness.advance(2 * HOUR)

    (command,) = harness.commands(late)
    assert (command.state, command.finished_at) == (State.EXPIRED, START + HOUR)
    assert [past.started_at - START for past in command.history] == [0 * MINUTE, 25 * MINUTE, 50 * MINUTE]


def test_a_hook_of_the_end_runs(app, harness):
    recovered = []

    @app.command("doomed")
    def doomed(payload: str):
        raise ValueError(payload)

    @doomed.on_recover
    def undo(payload: str):
        recovered.append(payload)

    doomed.enqueue("a")
    harness.run_until_idle()

    assert recovered == ["a"]
    assert len(harness.failures) == 1


def test_middleware_limits_and_observers_of_the_application_are_in_use(app, harness):
    heard = []

    class Ear(Observer):
        def started(self, command):
            heard.append(("started", command.name))

        def settled(self, settlement, seconds):  # noqa: ARG002
            heard.append(("settled", settlement.state))

    def around(ctx, call_next):
        heard.append(("before", ctx.name))
        return call_next() * 2

    @app.command("twice")
    def twice():
        return 21

    app.observe(Ear())
    app.use(around)
    twice.enqueue()
    harness.run_until_idle()

    assert heard == [("started", "twice"), ("before", "twice"), ("settled", State.COMPLETED)]
    assert harness.commands(twice)[0].result == 42
