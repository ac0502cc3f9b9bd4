"""A command that repeats: each run is filed with its result, and opens the next one."""

from datetime import timedelta

import pytest
from staging import wait_until

from durex_core import AsyncContext, Context
from durex_core.model import DEFAULT_PERIOD, State
from durex_core.results import Repeat

SOON = timedelta(milliseconds=10)


def test_each_run_follows_after_the_period_and_keeps_its_own_result(app, work, finished, stage):
    payloads = []

    @app.command("poll", period=SOON)
    def poll(ctx: Context, payload: str) -> object:
        payloads.append(payload)
        return Repeat(result=ctx.run * 10) if ctx.run < 3 else "over"

    work()
    enqueued = poll.enqueue("the same")

    last = finished(enqueued)
    assert (last.state, last.run, last.attempt, last.result) == (State.COMPLETED, 3, 1, "over")
    assert stage.runs(enqueued.id) == [(1, "completed", 10), (2, "completed", 20), (3, "completed", "over")]
    assert payloads == ["the same"] * 3
    assert stage.count("commands") == 0


def waiting(app, enqueued):
    """Return a command that waits for its next run."""
    wait_until(lambda: app.get(enqueued.id).run == 2)
    return app.get(enqueued.id)


@pytest.mark.parametrize(
    ("returned", "period", "waits"),
    [
        (Repeat(), None, DEFAULT_PERIOD),
        (Repeat(), timedelta(hours=2), timedelta(hours=2)),
        (Repeat(delay=timedelta(hours=3)), timedelta(hours=2), timedelta(hours=3)),
        (Repeat(delay=timedelta(hours=3)), None, timedelta(hours=3)),
    ],
    ids=["a minute", "the period", "the delay before the period", "the delay"],
)
def test_the_next_run_waits_for_the_delay_else_the_period_else_a_minute(app, work, returned, period, waits):
    @app.command("poll", period=period)
    async def poll() -> Repeat:
        return returned

    work()

    command = waiting(app, poll.enqueue())
    assert (command.state, command.attempt) == (State.REPEATING, 0)
    assert command.ready_at - command.history[0].ended_at == waits
    assert [past.outcome for past in command.history] == ["repeating"]


def test_a_spec_s_period_beats_its_handler_s(app, work):
    @app.command("poll", period=timedelta(hours=2))
    def poll() -> Repeat:
        return Repeat()

    work()

    command = waiting(app, poll.enqueue(period=timedelta(hours=5)))
    assert command.ready_at - command.history[0].ended_at == timedelta(hours=5)


def test_a_delay_of_zero_means_at_once(app, work, finished):
    @app.command("again", period=timedelta(hours=2))
    def again(ctx: Context) -> object:
        return Repeat(delay=timedelta(0)) if ctx.run < 50 else ctx.run

    work()

    assert finished(again.enqueue()).result == 50


def test_the_next_run_may_have_another_payload(app, work, finished):
    @app.command("count")
    def count(ctx: Context, number: int) -> object:
        return Repeat(delay=SOON, payload=number + 1) if ctx.run < 4 else number

    work()

    assert finished(count.enqueue(7)).result == 10


def test_a_payload_that_the_handler_could_not_take_fails_the_command_for_good(app, work, finished, stage):
    @app.command("count", retries=3)
    def count(number: int) -> object:  # noqa: ARG001  its type is what matters
        return Repeat(payload="no number")

    work()
    enqueued = count.enqueue(1)

    command = finished(enqueued)
    assert (command.state, command.attempt, command.run) == (State.DEAD_LETTER, 1, 1)
    assert command.error.type == "InvalidPayload"
    assert stage.runs(enqueued.id) == [(1, "dead_letter", None)]


@pytest.mark.parametrize(
    "delay", [timedelta(seconds=-1), timedelta(days=5000), 5], ids=["negative", "too long", "no delay"]
)
def test_a_delay_out_of_bounds_fails_the_command_for_good(app, work, finished, delay):
    @app.command("poll", retries=3)
    def poll() -> Repeat:
        return Repeat(delay=delay)

    work()

    command = finished(poll.enqueue())
    assert (command.state, command.attempt, command.error.type) == (State.DEAD_LETTER, 1, "InvalidResult")
    assert command.error.message.startswith("Repeat: ")


def test_every_run_has_a_fresh_budget_of_attempts(app, work, finished):
    attempts = []

    @app.command("flaky", retries=1, period=SOON)
    async def flaky(ctx: AsyncContext) -> object:
        attempts.append((ctx.run, ctx.attempt))
        if ctx.attempt == 1:
            raise ValueError("once in each run")
        return Repeat() if ctx.run < 3 else None

    work()

    assert finished(flaky.enqueue()).state is State.COMPLETED
    assert attempts == [(1, 1), (1, 2), (2, 1), (2, 2), (3, 1), (3, 2)]


def test_a_run_that_fails_for_good_is_the_last_one(app, work, finished, stage):
    @app.command("poll", period=SOON)
    def poll(ctx: Context) -> Repeat:
        if ctx.run == 3:
            raise ValueError("enough")
        return Repeat(result=ctx.run)

    work()
    enqueued = poll.enqueue()

    assert (finished(enqueued).state, finished(enqueued).run) == (State.DEAD_LETTER, 3)
    assert stage.runs(enqueued.id) == [(1, "completed", 1), (2, "completed", 2), (3, "dead_letter", None)]


def test_the_lease_number_rises_over_all_runs(app, work, finished):
    leases = []

    @app.command("poll", period=SOON)
    def poll(ctx: Context) -> object:
        leases.append(ctx.command.lease_number)
        return Repeat() if ctx.run < 4 else None

    work()
    finished(poll.enqueue())

    assert leases == [1, 2, 3, 4]


def test_a_unique_key_is_held_between_the_runs(app, work):
    @app.command("poll")
    def poll() -> Repeat:
        return Repeat()

    work()
    first = poll.enqueue(unique_key="only one")
    waiting(app, first)

    again = poll.enqueue(unique_key="only one")
    assert (again.id, again.created) == (first.id, False)


def test_the_key_to_hand_to_other_systems_is_another_one_in_each_run(app, work, finished, stage):
    @app.command("poll", retries=1)
    def poll(ctx: Context) -> object:
        if ctx.attempt == 1:
            raise ValueError("once in each run")
        return Repeat(result=ctx.idempotency_key, delay=SOON) if ctx.run < 2 else ctx.idempotency_key

    work()
    enqueued = poll.enqueue()
    finished(enqueued)

    assert [result for _, _, result in stage.runs(enqueued.id)] == [f"{enqueued.id}:1", f"{enqueued.id}:2"]
