"""Sagas: what was done by a command that fails for good is undone, the last step first, all of it or nothing."""

import threading
from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest
from staging import wait_until

from durex_core import AsyncContext, Context
from durex_core.errors import AttemptCancelled, LeaseLost, NotAllowed
from durex_core.model import State
from durex_core.results import ContinueSequence, Next, Repeat

SOON = timedelta(milliseconds=100)


@pytest.fixture
def undo(app):
    """Register the command that undoes a step; `undo.done` is what was undone, in order."""

    @app.command("undo")
    def undo(step: str) -> str:
        undo.done.append(step)
        if step.startswith("bad"):
            raise ValueError(step)
        return step

    undo.done = []
    return undo


def test_the_steps_of_a_failed_command_are_undone_one_after_another_the_last_one_first(
    app, undo, work, finished, ended
):
    @app.command("order")
    def order(ctx: Context) -> None:
        ctx.compensate_with(undo.spec("reserve"))
        ctx.compensate_with(undo.spec("charge"))
        assert ctx.saga_step(lambda n: f"parcel {n}", lambda parcel: undo.spec(parcel), 7) == "parcel 7"  # noqa: PLW0108
        raise ValueError("the van broke down")

    work(concurrency=8)
    traceparent = f"00-{'a' * 32}-{'b' * 16}-01"
    enqueued = order.enqueue(correlation_id="order 42", traceparent=traceparent)

    assert finished(enqueued).state is State.DEAD_LETTER
    commands = ended("undo", 3)
    assert undo.done == ["parcel 7", "charge", "reserve"]
    assert {(c.parent_id, c.correlation_id, c.traceparent) for c in commands} == {
        (enqueued.id, "order 42", traceparent)
    }
    assert all(earlier.finished_at <= later.started_at for earlier, later in pairwise(commands))


def test_the_steps_of_an_async_handler_are_undone_too(app, undo, work, ended):
    async def ship(parcel: int, *, fast: bool) -> str:
        return f"parcel {parcel} {'fast' if fast else ''}"

    @app.command("order")
    async def order(ctx: AsyncContext) -> None:
        await ctx.compensate_with(undo.spec("reserve"))
        assert await ctx.saga_step(ship, undo.spec("shipped"), 7, fast=True) == "parcel 7 fast"
        raise ValueError("the van broke down")

    work()
    order.enqueue()
    ended("undo", 2)

    assert undo.done == ["shipped", "reserve"]


def test_a_step_that_fails_has_nothing_to_undo(app, undo, work, finished, ended):
    def ship() -> None:
        raise ValueError("the van broke down")

    @app.command("order")
    def order(ctx: Context) -> None:
        ctx.saga_step(lambda: None, undo.spec("reserve"))
        ctx.saga_step(ship, undo.spec("ship"))

    work()
    finished(order.enqueue())
    ended("undo", 1)

    assert undo.done == ["reserve"]


def test_what_ends_well_or_is_cancelled_or_repeats_undoes_nothing(app, undo, work, finished, stage):
    @app.command("order")
    def order(ctx: Context, how: str) -> object:
        if ctx.run == 2:
            raise ValueError("the second run has nothing to undo")
        ctx.compensate_with(undo.spec("reserve"))
        if how == "cancelled":
            app.cancel(ctx.id)
        return Repeat(delay=timedelta(0)) if how == "repeats" else how

    work()

    assert finished(order.enqueue("well")).state is State.COMPLETED
    assert finished(order.enqueue("cancelled")).state is State.CANCELLED
    assert finished(order.enqueue("repeats")).state is State.DEAD_LETTER
    assert stage.run("SELECT count(*) FROM all_commands WHERE name = 'undo'") == [(0,)]


def test_a_step_that_every_attempt_does_again_is_undone_once_and_as_the_last_one_did_it(app, undo, work, ended):
    @app.command("order", retries=2)
    def order(ctx: Context) -> None:
        ctx.compensate_with(undo.spec(f"reserve {ctx.attempt}"))
        if ctx.attempt == 2:
            ctx.compensate_with(undo.spec(f"charge {ctx.attempt}"))
        raise ValueError("no")

    work()
    order.enqueue()
    ended("undo", 2)

    assert undo.done == ["charge 2", "reserve 3"]


def test_a_step_that_cannot_be_undone_keeps_none_of_the_others_from_it(app, undo, work, ended):
    @app.command("order")
    def order(ctx: Context) -> None:
        for step in ("reserve", "bad charge", "ship"):
            ctx.compensate_with(undo.spec(step))
        raise ValueError("no")

    work()
    order.enqueue()

    states = {command.payload: command.state for command in ended("undo", 3)}
    assert undo.done == ["ship", "bad charge", "reserve"]
    assert states == {"ship": "completed", "bad charge": "dead_letter", "reserve": "completed"}


def test_the_steps_of_a_whole_sequence_are_undone(app, undo, work, ended):
    @app.command("reserve")
    def reserve(ctx: Context) -> ContinueSequence:
        ctx.compensate_with(undo.spec("reserve"))
        return ContinueSequence(reserved=True)

    @app.command("charge")
    async def charge(ctx: AsyncContext, data: dict[str, Any]) -> ContinueSequence:
        await ctx.compensate_with(undo.spec("charge"))
        return ContinueSequence(charged=data["reserved"])

    @app.command("ship", retries=1)
    def ship(ctx: Context, data: dict[str, Any]) -> None:
        ctx.compensate_with(undo.spec("ship"))
        raise ValueError(data)

    work()
    reserve.enqueue(sequence=["charge", "ship"])
    commands = ended("undo", 3)

    assert undo.done == ["ship", "charge", "reserve"]
    assert {command.parent_id for command in commands} == {ended("ship")[0].id}


def test_what_is_registered_survives_a_crash_right_after(app, undo, work, ended, stage):
    @app.command("order", retries=0)
    def order(ctx: Context) -> None:
        ctx.compensate_with(undo.spec("reserve"))
        stage.expire_lease(ctx.id)
        app.wake.ready({})
        wait_until(lambda: undo.done)

    work()
    order.enqueue()
    ended("undo")

    (command,) = ended("order")
    assert (command.state, command.error.type, undo.done) == (State.DEAD_LETTER, "Crashed", ["reserve"])


def test_the_steps_of_a_command_that_expires_are_undone_too(app, undo, work, finished, ended):
    @app.command("order", deadline=timedelta(milliseconds=300))
    def order(ctx: Context) -> None:
        ctx.compensate_with(undo.spec("reserve"))
        wait_until(lambda: ctx.is_cancelled)

    work()

    assert finished(order.enqueue()).state is State.EXPIRED
    ended("undo")
    assert undo.done == ["reserve"]


def test_undoing_and_what_the_hook_asks_for_are_stored_together_with_the_failure(app, undo, work, ended, stage):
    @app.command("notify")
    def notify() -> None: ...

    @app.command("order", on_recover=lambda: Next(notify.spec()))
    def order(ctx: Context) -> None:
        ctx.compensate_with(undo.spec("reserve"))
        raise ValueError("no")

    with stage.refusing("notify"):
        work()
        enqueued = order.enqueue()
        wait_until(lambda: app.get(enqueued.id).history)
        # The database refused what the hook asked for: nothing is stored but that.
        command = app.get(enqueued.id)
        assert (command.state, command.attempt, command.error) == (State.SCHEDULED, 1, None)
        assert (command.history[0].outcome, command.history[0].error.message) == ("failed", "no")
        assert command.history[0].hook_error is not None
        assert stage.run("SELECT count(*) FROM all_commands WHERE name <> 'order'") == [(0,)]
    stage.make_due(app.wake)

    (command,) = ended("order")
    assert (command.state, command.attempt, command.recovery.enqueued) == (State.DEAD_LETTER, 1, 1)
    ended("notify")
    ended("undo")
    assert undo.done == ["reserve"]


def test_a_failure_whose_undoing_the_database_refuses_ends_without_it_and_says_so(app, undo, work, finished, stage):
    @app.command("order", retries=0)
    def order(ctx: Context) -> None:
        ctx.compensate_with(undo.spec("reserve"))
        raise ValueError("no")

    with stage.refusing("undo"):
        work()
        command = finished(order.enqueue())

    assert (command.state, command.attempt) == (State.DEAD_LETTER, 1)
    assert command.recovery.error is not None
    assert stage.run("SELECT count(*) FROM all_commands WHERE name = 'undo'") == [(0,)]


def test_a_refused_child_of_a_success_fails_the_attempt_and_runs_the_hook(app, work, finished, stage):
    ran = []

    @app.command("child")
    def child() -> None: ...

    @app.command("parent", retries=1)
    def parent(ctx: Context) -> Next:
        ran.append(ctx.attempt)
        return Next(child.spec(), result="never")

    parent.on_recover(lambda: ran.append("hook"))
    with stage.refusing("child"):
        work()
        command = finished(parent.enqueue())

    assert (command.state, command.attempt, command.result, command.recovery.enqueued) == ("dead_letter", 2, None, 0)
    assert [past.outcome for past in command.history] == ["refused"]
    assert ran == [1, 2, "hook"]


def test_nothing_is_registered_by_an_attempt_that_is_over(app, undo, work, finished, stage):
    told = {}

    @app.command("late", timeout=SOON)
    def late(ctx: Context) -> None:
        wait_until(lambda: ctx.is_cancelled)
        told["late"] = outcome_of(lambda: ctx.compensate_with(undo.spec("late")))

    @app.command("lost")
    def lost(ctx: Context) -> None:
        app.cancel(ctx.id)
        told["lost"] = outcome_of(lambda: ctx.compensate_with(undo.spec("lost")))
        told["lost again"] = outcome_of(lambda: ctx.compensate_with(undo.spec("lost")))

    work()
    finished(late.enqueue())
    finished(lost.enqueue())
    wait_until(lambda: len(told) == 3)

    assert told == {"late": AttemptCancelled, "lost": LeaseLost, "lost again": LeaseLost}
    assert stage.run("SELECT count(*) FROM all_commands WHERE name = 'undo'") == [(0,)]


def outcome_of(call):
    try:
        return call()
    except Exception as error:  # noqa: BLE001  which one is what this is about
        return type(error)


def test_a_step_that_is_registered_while_the_time_is_up_is_either_refused_or_undone(app, undo, work, ended, stage):
    accepted = []

    @app.command("order", timeout=timedelta(milliseconds=30))
    def order(ctx: Context, number: int) -> None:
        for step in range(10_000):
            ctx.compensate_with(undo.spec(f"{number}.{step}"))
            accepted.append(f"{number}.{step}")

    app.command("undo", queue="elsewhere", replace=True)(lambda step: step)
    work(queues=["order"])
    for number in range(5):
        order.enqueue(number)
    ended("order", 5)
    wait_until(lambda: len(accepted) <= stage.run("SELECT count(*) FROM all_commands WHERE name = 'undo'")[0][0])

    stored = {row[0] for row in stage.run("SELECT payload FROM commands WHERE name = 'undo'")}
    stored = {text.strip('"') for text in stored}
    assert set(accepted) <= stored


def test_a_hook_registers_nothing(app, undo, work, finished):
    told = []

    @app.command("order")
    def order() -> None:
        raise ValueError("no")

    @order.on_recover
    def recover(ctx: Context) -> None:
        told.append(outcome_of(lambda: ctx.compensate_with(undo.spec("reserve"))))

    work()
    finished(order.enqueue())

    assert told == [NotAllowed]


def test_what_cannot_be_enqueued_cannot_be_registered(app, undo, work, finished, stage):
    @app.command("order", retries=3)
    def order(ctx: Context) -> None:
        ctx.compensate_with(undo.spec(5))

    work()

    command = finished(order.enqueue())
    assert (command.state, command.attempt, command.error.type) == (State.DEAD_LETTER, 1, "InvalidPayload")
    assert stage.run("SELECT count(*) FROM all_commands WHERE name = 'undo'") == [(0,)]


@pytest.mark.parametrize(
    "option",
    [{"unique_key": "k"}, {"idempotency_key": "k"}, {"delay": timedelta(seconds=1)}],
    ids=lambda o: next(iter(o)),
)
def test_an_undoing_that_another_command_could_stand_for_is_refused(app, undo, work, finished, option):
    @app.command("order")
    def order(ctx: Context) -> None:
        ctx.compensate_with(undo.spec("charge", **option))

    work()

    error = finished(order.enqueue()).error
    assert (error.type, f"compensation.{next(iter(option))}" in error.message) == ("InvalidSpec", True)


def test_steps_registered_from_several_threads_are_all_undone(app, undo, work, ended):
    @app.command("order")
    def order(ctx: Context) -> None:
        together = threading.Barrier(8)

        def step(number: int) -> None:
            together.wait(10)
            ctx.compensate_with(undo.spec(str(number)))

        threads = [threading.Thread(target=step, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(10)
        raise ValueError("no")

    work()
    order.enqueue()
    ended("undo", 8)

    assert sorted(undo.done) == [str(number) for number in range(8)]
