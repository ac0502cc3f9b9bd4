"""An attempt that runs out of time is over, whatever its handler still does."""

import asyncio
import threading
from datetime import timedelta

from staging import wait_until

from durex_core import AsyncContext, Context
from durex_core.model import State

SOON = timedelta(milliseconds=100)


def test_an_async_handler_is_cancelled_when_its_time_is_up(app, work, finished):
    cancelled = threading.Event()

    @app.command("wait", timeout=SOON)
    async def wait(ctx: AsyncContext) -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            assert ctx.is_cancelled
            cancelled.set()
            raise

    work()

    command = finished(wait.enqueue())
    assert (command.state, command.error.type) == (State.DEAD_LETTER, "TimedOut")
    assert "attempt 1 ran longer than 0:00:00.1" in command.error.message
    assert command.finished_at - command.started_at >= SOON
    assert cancelled.wait(5)


def test_a_sync_handler_is_told_that_its_time_is_up(app, work, finished):
    told = threading.Event()

    @app.command("wait", timeout=SOON)
    def wait(ctx: Context) -> None:
        wait_until(lambda: ctx.is_cancelled)
        told.set()

    work()

    assert finished(wait.enqueue()).error.type == "TimedOut"
    assert told.wait(5)


def test_what_a_handler_returns_after_its_time_changes_nothing(app, work, finished, stage):
    release = threading.Event()
    returned = threading.Event()

    @app.command("leaf")
    def leaf() -> None: ...

    @app.command("late", timeout=SOON)
    def late() -> object:
        release.wait(20)
        returned.set()
        return "too late"

    @app.command("late_async", timeout=SOON)
    async def late_async() -> str:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return "too late"

    work()
    ended = [finished(late.enqueue()), finished(late_async.enqueue())]
    release.set()
    assert returned.wait(5)
    finished(leaf.enqueue())

    for before in ended:
        after = app.get(before.id)
        assert (after.state, after.error.type, after.result) == (State.DEAD_LETTER, "TimedOut", None)
        assert after == before
    assert stage.count("finished_commands") == 3


def test_a_timed_out_attempt_is_tried_again(app, work, finished):
    @app.command("slow_once", timeout=timedelta(seconds=1), retries=1)
    async def slow_once(ctx: AsyncContext) -> str:
        if ctx.attempt == 1:
            await asyncio.Event().wait()
        return "in time"

    work()

    command = finished(slow_once.enqueue())
    assert (command.state, command.result, command.attempt) == (State.COMPLETED, "in time", 2)
    assert [past.outcome for past in command.history] == ["timed_out"]


def test_stuck_handlers_cost_no_concurrency(app, work, finished):
    release = threading.Event()
    together = threading.Barrier(2)

    @app.command("stuck", timeout=SOON)
    def stuck() -> None:
        release.wait(20)

    @app.command("meet")
    def meet() -> int:
        return together.wait(10)

    work(concurrency=2)
    for _ in range(3):
        assert {finished(one).error.type for one in [stuck.enqueue(), stuck.enqueue()]} == {"TimedOut"}

    assert sum(thread.name == "durex-handler" for thread in threading.enumerate()) >= 6
    pair = [meet.enqueue(), meet.enqueue()]
    assert sorted(finished(one).result for one in pair) == [0, 1]
    release.set()
    wait_until(lambda: sum(thread.name == "durex-handler" for thread in threading.enumerate()) == 2)


def test_handlers_that_end_just_when_their_time_is_up_leave_the_worker_whole(app, work, stage):
    @app.command("close_call", timeout=timedelta(milliseconds=10))
    def close_call(number: int) -> None:
        threading.Event().wait(0.009 + 0.0002 * (number % 10))

    app.enqueue_many([close_call.spec(number) for number in range(200)])
    work(concurrency=2)

    wait_until(lambda: stage.count("finished_commands") == 200)
    assert {row[0] for row in stage.run("SELECT state FROM finished_commands")} <= {"completed", "dead_letter"}


def test_a_handler_without_a_timeout_may_take_its_time(app, work, finished):
    @app.command("free")
    async def free() -> None:
        await asyncio.sleep(0.3)

    work()

    assert finished(free.enqueue()).state is State.COMPLETED


def test_a_spec_may_shorten_or_lengthen_its_handler_s_timeout(app, work, finished):
    @app.command("wait", timeout=SOON)
    async def wait() -> None:
        await asyncio.sleep(0.3)

    work()

    longer = wait.enqueue(timeout=timedelta(seconds=10))
    shorter = wait.enqueue(timeout=timedelta(milliseconds=20))
    assert finished(longer).state is State.COMPLETED
    assert "0:00:00.02" in finished(shorter).error.message
