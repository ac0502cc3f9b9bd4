"""Deadlines: by when a command must have ended, or its first attempt begun; it expires, whatever is left of it."""

import asyncio
import threading
from datetime import UTC, datetime, timedelta

from staging import wait_until

from durex_core import AsyncContext, Context
from durex_core.backoff import Constant
from durex_core.clock import utc_now
from durex_core.model import State
from durex_core.results import Repeat

SOON = timedelta(milliseconds=300)
LATER = timedelta(hours=1)
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


def test_what_is_overdue_does_not_begin(app, work, finished):
    ran = []

    @app.command("ship", on_expired=lambda ctx: ran.append(("expired", ctx.attempt)))
    def ship() -> None:
        ran.append("ship")

    enqueued = ship.enqueue(deadline_at=LONG_AGO, delay=timedelta(0))
    work()

    command = finished(enqueued)
    assert ran == [("expired", 0)]
    assert (command.state, command.attempt, command.error.type) == (State.EXPIRED, 0, "DeadlinePassed")
    assert [event.event for event in app.history(enqueued.id)] == ["created", "expired", "recovered"]


def test_a_running_async_handler_is_cancelled_at_the_deadline_and_its_command_expires(app, work, finished):
    seen = []

    @app.command("ship", deadline=SOON, retries=5, timeout=LATER)
    async def ship(ctx: AsyncContext) -> None:
        assert ctx.remaining_time <= SOON
        try:
            await asyncio.Event().wait()
        finally:
            seen.append(ctx.is_cancelled)

    ship.on_expired(lambda ctx: seen.append(("expired", ctx.is_cancelled)))
    ship.on_recover(lambda: seen.append("recover"))
    work()

    command = finished(ship.enqueue())
    assert (command.state, command.attempt, command.error.type) == (State.EXPIRED, 1, "DeadlinePassed")
    assert command.finished_at >= command.deadline_at
    wait_until(lambda: len(seen) == 2)
    assert sorted(seen, key=str) == [("expired", False), True]


def test_a_running_sync_handler_is_told_of_the_deadline(app, work, finished):
    told = threading.Event()

    @app.command("ship", deadline=SOON, retries=5)
    def ship(ctx: Context) -> str:
        wait_until(lambda: ctx.is_cancelled)
        told.set()
        return "too late"

    work()

    command = finished(ship.enqueue())
    assert (command.state, command.result) == (State.EXPIRED, None)
    assert told.wait(10)


def test_a_timeout_before_the_deadline_leaves_time_for_another_attempt(app, work, finished):
    @app.command("ship", deadline=LATER, retries=1, timeout=timedelta(seconds=1))
    async def ship(ctx: AsyncContext) -> int:
        if ctx.attempt == 1:
            await asyncio.Event().wait()
        return ctx.attempt

    work()

    assert finished(ship.enqueue()).result == 2


def test_a_retry_that_would_come_after_the_deadline_does_not_come(app, work, finished):
    ran = []

    @app.command("ship", deadline=SOON, retries=5, backoff=Constant(LATER))
    def ship(ctx: Context) -> None:
        ran.append(ctx.attempt)
        raise ValueError("no van")

    ship.on_expired(lambda ctx: ran.append(("expired", ctx.attempt)))
    work()

    command = finished(ship.enqueue())
    assert (command.state, command.attempt) == (State.EXPIRED, 1)
    assert command.finished_at < command.ready_at
    assert ran == [1, ("expired", 1)]
    assert [event.event for event in app.history(command.id)] == [
        "created",
        "started",
        "failed",
        "expired",
        "recovered",
    ]


def test_the_deadline_is_counted_from_when_the_command_is_due(app, work, finished):
    @app.command("ship", deadline=LATER)
    def ship() -> None: ...

    work()
    enqueued = ship.enqueue(delay=SOON)

    command = app.get(enqueued.id)
    assert command.deadline_at - command.ready_at == LATER
    assert finished(enqueued).state is State.COMPLETED


def test_a_spec_may_do_without_its_handler_s_deadline(app, work, finished):
    @app.command("ship", deadline=timedelta(microseconds=1))
    def ship() -> None: ...

    work()

    assert finished(ship.enqueue(deadline=timedelta(0))).state is State.COMPLETED
    assert finished(ship.enqueue()).state is State.EXPIRED


def test_what_has_not_begun_within_its_time_expires_and_what_has_may_take_longer(app, work, finished):
    @app.command("ship", start_within=SOON, retries=1, backoff=Constant(2 * SOON))
    def ship(ctx: Context) -> int:
        if ctx.attempt == 1:
            raise ValueError("once")
        return ctx.attempt

    late = ship.enqueue()
    wait_until(lambda: utc_now() > app.get(late.id).expires_at)
    work()

    command = finished(late)
    assert (command.state, command.attempt, command.error.type) == (State.EXPIRED, 0, "StartedTooLate")
    assert finished(ship.enqueue()).result == 2


def test_an_idle_worker_ends_what_expires_while_it_waits_for_its_time(app, work, finished):
    @app.command("ship")
    def ship() -> None: ...

    work()

    command = finished(ship.enqueue(delay=LATER, deadline_at=utc_now() + SOON), timeout_seconds=10)
    assert (command.state, command.attempt) == (State.EXPIRED, 0)


def test_each_run_of_a_repeating_command_has_the_deadline_anew(app, work):
    @app.command("poll", deadline=LATER)
    def poll() -> Repeat:
        return Repeat(delay=LATER)

    work()
    enqueued = poll.enqueue()
    wait_until(lambda: app.get(enqueued.id).run == 2)

    command = app.get(enqueued.id)
    assert command.deadline_at - command.ready_at == LATER
