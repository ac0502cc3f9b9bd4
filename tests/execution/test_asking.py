"""A handler that checks in a loop hears of what another process cancelled, without a heartbeat of its worker."""

import asyncio
import threading
from datetime import timedelta

import pytest
from staging import wait_until

from durex_core import AsyncContext, Context, Spec
from durex_core.errors import AttemptCancelled, DatabaseUnavailable
from durex_core.execution import context as module
from durex_core.model import State

LONG = timedelta(hours=1)


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_the_check_asks_the_database(app, other, work, kind, monkeypatch):
    monkeypatch.setattr(module, "_ASK_EVERY_SECONDS", 0.01)
    began, stopped = threading.Event(), []

    def sync(ctx: Context) -> None:
        began.set()
        while True:
            threading.Event().wait(0.02)
            look(ctx.raise_if_cancelled)

    async def asynchronous(ctx: AsyncContext) -> None:
        began.set()
        while True:
            await asyncio.sleep(0.02)
            try:
                await ctx.raise_if_cancelled()
            except AttemptCancelled as error:
                stopped.append(error.attempt)
                raise

    def look(check):
        try:
            check()
        except AttemptCancelled as error:
            stopped.append(error.attempt)
            raise

    wait = app.command("wait")(sync if kind == "sync" else asynchronous)
    other.command("wait")(lambda: None)
    work(lease=LONG)  # its own heartbeat would come in twenty minutes
    enqueued = wait.enqueue()
    assert began.wait(10)

    other.cancel(enqueued.id)

    wait_until(lambda: stopped)
    assert (stopped, app.get(enqueued.id).state) == ([1], State.CANCELLED)


def test_between_two_questions_it_asks_nobody(app, work, finished, monkeypatch):
    beats = []

    @app.command("look")
    def look(ctx: Context) -> None:
        for _ in range(1000):
            ctx.raise_if_cancelled()

    monkeypatch.setattr(Context, "heartbeat", lambda _: beats.append(1))
    work()

    finished(look.enqueue())
    assert beats == []


def test_a_database_that_does_not_answer_stops_nobody(app, work, finished, monkeypatch):
    monkeypatch.setattr(module, "_ASK_EVERY_SECONDS", -1.0)

    @app.command("look")
    def look(ctx: Context) -> str:
        with monkeypatch.context() as patch:
            patch.setattr(Context, "heartbeat", gone)
            ctx.raise_if_cancelled()
        return "went on"

    def gone(_):
        raise DatabaseUnavailable("gone")

    work()

    assert finished(look.enqueue()).result == "went on"


def test_a_command_keeps_a_bounded_number_of_undoings(app, work, finished, monkeypatch):
    monkeypatch.setattr(module, "MAX_COMPENSATIONS", 3)
    app.command("undo")(lambda payload: payload)

    @app.command("order", retries=1)
    def order(ctx: Context) -> None:
        for number in range(3 if ctx.attempt == 1 else 4):
            ctx.compensate_with(Spec("undo", number))
        raise ValueError("once more")

    work()

    command = finished(order.enqueue())
    assert (command.attempt, command.error.type, "more than 3" in command.error.message) == (2, "InvalidSpec", True)
