"""Cancelling a command wins over whatever its handler then reports, and its handler hears of it.

It is cancelled by another application, as by another process, unless a test says otherwise.
"""

import asyncio
import threading
from datetime import timedelta

import pytest
from staging import wait_until

from durex_core import AsyncContext, Context
from durex_core.errors import AttemptCancelled, LeaseLost, NotAllowed
from durex_core.model import State
from durex_core.results import Next, Spawn

LEASE = timedelta(seconds=1)
"""Three heartbeats a second."""


def test_a_running_async_handler_is_cancelled_at_the_next_heartbeat(app, other, work):
    began, cancelled = threading.Event(), threading.Event()

    @app.command("wait", retries=3)
    async def wait(ctx: AsyncContext) -> None:
        began.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            assert ctx.is_cancelled
            cancelled.set()
            raise

    hand = work(lease=LEASE)
    enqueued = wait.enqueue()
    assert began.wait(10)
    other.cancel(enqueued.id, "not wanted")

    assert cancelled.wait(10)
    hand.stop()
    command = app.get(enqueued.id)
    assert (command.state, command.attempt, command.error.message) == (State.CANCELLED, 1, "not wanted")


def test_a_running_sync_handler_can_see_it_and_stop(app, other, work):
    began, seen = threading.Event(), []

    @app.command("wait", retries=3)
    def wait(ctx: Context) -> None:
        began.set()
        wait_until(lambda: ctx.is_cancelled)
        try:
            ctx.raise_if_cancelled()
        except AttemptCancelled as error:
            seen.append((error.command_id, error.attempt))
            raise

    hand = work(lease=LEASE)
    enqueued = wait.enqueue()
    assert began.wait(10)
    other.cancel(enqueued.id)
    wait_until(lambda: seen)
    hand.stop()

    assert seen == [(enqueued.id, 1)]
    assert app.get(enqueued.id).state is State.CANCELLED


@pytest.mark.parametrize("tell", ["heartbeat", "report_progress"])
@pytest.mark.parametrize("kind", ["sync", "async"])
def test_whoever_asks_the_database_hears_of_it_at_once(app, other, work, tell, kind):
    heard = []

    def sync(ctx: Context) -> None:
        other.cancel(ctx.id)
        assert not ctx.is_cancelled
        try:
            getattr(ctx, tell)(*arguments)
        finally:
            heard.append(ctx.is_cancelled)

    async def asynchronous(ctx: AsyncContext) -> None:
        await asyncio.to_thread(other.cancel, ctx.id)
        try:
            await getattr(ctx, tell)(*arguments)
        except LeaseLost:
            heard.append(ctx.is_cancelled)

    arguments = ["half"] if tell == "report_progress" else []
    app.command("ask", retries=3)({"sync": sync, "async": asynchronous}[kind])
    hand = work(lease=timedelta(minutes=1))
    enqueued = app.enqueue("ask")
    wait_until(lambda: heard)
    hand.stop()

    assert heard == [True]
    assert (app.get(enqueued.id).state, app.get(enqueued.id).progress) == (State.CANCELLED, None)


def test_an_attempt_of_this_process_is_told_at_once(app, work):
    began, seen = threading.Event(), threading.Event()

    @app.command("wait")
    async def wait() -> None:
        began.set()
        try:
            await asyncio.Event().wait()
        finally:
            seen.set()

    hand = work(lease=timedelta(hours=1))
    enqueued = wait.enqueue()
    assert began.wait(10)
    app.cancel(enqueued.id)

    assert seen.wait(10)
    hand.stop()


REPORTS = {
    "result": lambda leaf: "too late",  # noqa: ARG005
    "child": lambda leaf: Next(leaf.spec()),
    "children": lambda leaf: Spawn(leaf.spec(), leaf.spec(), result="too late"),
}


@pytest.mark.parametrize("report", [*REPORTS, "error"])
def test_what_its_handler_reports_then_changes_nothing(app, other, work, stage, report):
    is_over = threading.Event()

    @app.command("leaf", queue="elsewhere")
    def leaf() -> None: ...

    @app.command("work", retries=3)
    def slow(ctx: Context) -> object:
        other.cancel(ctx.id)
        is_over.set()
        if report == "error":
            raise ValueError("too late")
        return REPORTS[report](leaf)

    hand = work(queues=["work"])
    enqueued = slow.enqueue()
    assert is_over.wait(10)
    hand.stop()

    command = app.get(enqueued.id)
    assert (command.state, command.result, command.error.type) == (State.CANCELLED, None, "Cancelled")
    assert stage.run("SELECT count(*) FROM commands") == [(0,)]
    assert [event.event for event in app.history(enqueued.id)] == ["created", "started", "cancelled"]


def test_a_worker_goes_on_after_a_command_of_its_own_was_cancelled(app, work, finished):
    @app.command("cancel_self")
    def cancel_self(ctx: Context) -> None:
        app.cancel(ctx.id)

    @app.command("greet")
    def greet() -> str:
        return "hello"

    work(concurrency=1)
    for _ in range(3):
        cancel_self.enqueue()

    assert finished(greet.enqueue()).result == "hello"


def test_what_has_ended_cannot_be_cancelled(app, work, finished):
    @app.command("greet")
    def greet() -> str:
        return "hello"

    work()
    enqueued = greet.enqueue()
    finished(enqueued)

    with pytest.raises(NotAllowed):
        app.cancel(enqueued.id)
    assert app.get(enqueued.id).result == "hello"
