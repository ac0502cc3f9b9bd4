"""What a handler can know of its attempt, and tell of it while it runs."""

import asyncio
import logging
import threading
from datetime import timedelta
from typing import Any

import pytest
from staging import wait_until

from durex_core import AsyncContext, Context
from durex_core.clock import monotonic_seconds
from durex_core.errors import InvalidPayload, PayloadTooLarge
from durex_core.model import State
from durex_core.results import Next

TRACEPARENT = f"00-{'a' * 32}-{'b' * 16}-01"


def test_the_ids_of_a_command_and_of_its_parent(app, work, ended):
    @app.command("child", queue="children", metadata={"colour": "red", "size": 1})
    def child(ctx: Context) -> dict[str, Any]:
        return {
            "id": str(ctx.id),
            "name": ctx.name,
            "queue": ctx.queue,
            "parent_id": str(ctx.parent_id),
            "correlation_id": ctx.correlation_id,
            "traceparent": ctx.traceparent,
            "metadata": dict(ctx.metadata),
            "attempt": ctx.attempt,
            "run": ctx.run,
            "is_last_attempt": ctx.is_last_attempt,
            "children": list(ctx.children),
            "remaining_time": ctx.remaining_time,
        }

    @app.command("parent")
    def parent() -> Next:
        return Next(child.spec(metadata={"size": 2}, retries=1))

    work()
    enqueued = parent.enqueue(correlation_id="order 42", traceparent=TRACEPARENT)

    (command,) = ended("child")
    assert command.result == {
        "id": str(command.id),
        "name": "child",
        "queue": "children",
        "parent_id": str(enqueued.id),
        "correlation_id": "order 42",
        "traceparent": TRACEPARENT,
        "metadata": {"colour": "red", "size": 2},
        "attempt": 1,
        "run": 1,
        "is_last_attempt": False,
        "children": [],
        "remaining_time": None,
    }


def test_progress_can_be_seen_while_the_command_runs_and_stays_with_it(app, work, finished):
    seen = threading.Event()

    @app.command("count")
    def count(ctx: Context) -> None:
        for number in range(3):
            ctx.report_progress({"done": number, "of": 3})
        seen.wait(20)

    work()
    enqueued = count.enqueue()

    wait_until(lambda: app.get(enqueued.id).progress == {"done": 2, "of": 3})
    assert app.get(enqueued.id).state is State.STARTED
    seen.set()
    assert finished(enqueued).progress == {"done": 2, "of": 3}


def test_progress_of_an_async_handler_is_there_when_the_call_returns(app, work, finished):
    @app.command("count")
    async def count(ctx: AsyncContext) -> object:
        await ctx.report_progress(0.5)
        return (await asyncio.to_thread(app.get, ctx.id)).progress

    work()

    assert finished(count.enqueue()).result == 0.5


@pytest.mark.parametrize(
    ("progress", "error"), [(object(), InvalidPayload), (float("nan"), InvalidPayload), ("x" * 2000, PayloadTooLarge)]
)
def test_progress_that_cannot_be_stored_is_refused_and_leaves_what_was_there(make_app, work, finished, progress, error):
    app = make_app(max_payload_bytes=1000)

    @app.command("count")
    def count(ctx: Context) -> None:
        ctx.report_progress("half")
        with pytest.raises(error):
            ctx.report_progress(progress)

    work(app)

    command = finished(count.enqueue())
    assert (command.state, command.progress) == (State.COMPLETED, "half")


def test_a_heartbeat_extends_the_lease(app, work, finished):
    @app.command("long")
    def long(ctx: Context) -> None:
        wait_until(lambda: app.get(ctx.id).lease_expires_at > ctx.command.lease_expires_at or ctx.heartbeat())

    work(lease=timedelta(hours=1))

    assert finished(long.enqueue()).state is State.COMPLETED


def test_the_remaining_time_is_known_from_the_first_line_and_shrinks(app, work, finished):
    @app.command("measure", timeout=timedelta(seconds=60))
    def measure(ctx: Context) -> list[float]:
        first = ctx.remaining_time.total_seconds()
        began = monotonic_seconds()
        wait_until(lambda: monotonic_seconds() > began + 0.05)
        return [first, ctx.remaining_time.total_seconds()]

    @app.command("measure_async")
    async def measure_async(ctx: AsyncContext) -> float:
        return ctx.remaining_time.total_seconds()

    work()

    first, later = finished(measure.enqueue()).result
    assert 59 < first <= 60
    assert first - 1 < later <= first - 0.05
    assert 29 < finished(measure_async.enqueue(deadline=timedelta(seconds=30))).result <= 30
    assert 9 < finished(measure_async.enqueue(deadline=timedelta(hours=1), timeout=timedelta(seconds=10))).result <= 10


def test_no_time_is_left_when_it_is_up(app, work, finished):
    left = []

    @app.command("late", timeout=timedelta(milliseconds=50))
    def late(ctx: Context) -> None:
        wait_until(lambda: ctx.is_cancelled)
        left.append(ctx.remaining_time)

    work()
    finished(late.enqueue())
    wait_until(lambda: left)

    assert left == [timedelta(0)]


def test_a_record_of_the_logger_carries_the_ids_and_what_its_caller_adds(app, work, finished, caplog):
    @app.command("log", retries=1)
    def log(ctx: Context) -> None:
        if ctx.attempt == 1:
            raise ValueError("once")
        ctx.logger.info("packed %s", "it", extra={"parcel": 7})

    work()
    with caplog.at_level(logging.INFO, "durex.handlers"):
        enqueued = log.enqueue(correlation_id="order 42")
        finished(enqueued)

    (record,) = [record for record in caplog.records if record.name == "durex.handlers"]
    assert record.getMessage() == "packed it"
    assert (record.command_id, record.command_name, record.attempt) == (str(enqueued.id), "log", 2)
    assert (record.correlation_id, record.parcel) == ("order 42", 7)


def test_an_attempt_that_is_wanted_may_go_on(app, work, finished):
    @app.command("check")
    def check(ctx: Context) -> bool:
        ctx.raise_if_cancelled()
        return ctx.is_cancelled

    work()

    assert finished(check.enqueue()).result is False
