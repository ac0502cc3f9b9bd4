"""Hooks: what is to be done about a command that failed for good or expired, stored with its end or tried again."""

import asyncio
import threading
from datetime import timedelta

from staging import wait_until

from durex_core import AsyncContext, Context, Spec
from durex_core.errors import Cancel, NonRetryable
from durex_core.model import State
from durex_core.results import Next, Repeat, Retry, Spawn, SpawnThen

SOON = timedelta(milliseconds=100)
LATER = timedelta(hours=1)


def test_the_hook_of_a_failure_runs_once_after_the_last_attempt_and_its_children_are_stored(
    app, undo, work, finished, stage
):
    ran = []

    @app.command("pay", retries=2)
    def pay(ctx: Context, order: str) -> None:
        ran.append(ctx.attempt)
        raise ValueError(f"no money for {order}")

    @pay.on_recover
    def refund(ctx: Context, order: str, error) -> Spawn:
        ran.append((ctx.attempt, order, error.type, error.message))
        return Spawn(undo.spec(1), undo.spec(2))

    work(queues=["pay"])
    traceparent = f"00-{'a' * 32}-{'b' * 16}-01"
    enqueued = pay.enqueue("order 42", correlation_id="42", traceparent=traceparent)

    command = finished(enqueued)
    assert ran == [1, 2, 3, (3, "order 42", "ValueError", "no money for order 42")]
    assert (command.state, command.attempt, command.lease_number) == (State.DEAD_LETTER, 3, 3)
    assert (command.recovery.enqueued, command.recovery.error) == (2, None)
    children = [app.get(row[0]) for row in stage.run("SELECT id FROM commands")]
    assert {(c.parent_id, c.correlation_id, c.traceparent) for c in children} == {(enqueued.id, "42", traceparent)}
    assert [event.message for event in app.history(enqueued.id)][-1].startswith("its hook enqueued 2 commands")


def test_an_async_hook_of_a_sync_handler_and_the_other_way_round(app, work, finished):
    ran = []

    @app.command("sync")
    def sync() -> None:
        raise ValueError("sync")

    @sync.on_recover
    async def after_sync(ctx: AsyncContext) -> None:
        await asyncio.sleep(0)
        ran.append((type(ctx), threading.current_thread().name))

    @app.command("async")
    async def asynchronous() -> None:
        raise ValueError("async")

    @asynchronous.on_recover
    def after_async(ctx: Context) -> None:
        ran.append((type(ctx), threading.current_thread().name))

    work()
    finished(sync.enqueue())
    finished(asynchronous.enqueue())

    assert ran == [(AsyncContext, "durex-loop"), (Context, "durex-handler")]


def test_only_failures_for_good_have_their_hook_run(app, work, finished):
    ran = []

    @app.command("flaky", retries=1)
    def flaky(ctx: Context, how: str) -> object:
        if how == "cancelled":
            raise Cancel
        if ctx.attempt == 1:
            raise ValueError("once")
        return how

    flaky.on_recover(lambda: ran.append("recover"))
    flaky.on_expired(lambda: ran.append("expired"))
    work()

    assert finished(flaky.enqueue("well")).state is State.COMPLETED
    assert finished(flaky.enqueue("cancelled")).state is State.CANCELLED
    assert ran == []


def test_the_hook_of_what_opts_out_of_the_dead_letter_queue_runs_too(app, undo, work, finished, stage):
    @app.command("fail", dead_letter=False, on_recover=lambda: Next(undo.spec()))
    def fail() -> None:
        raise NonRetryable("no")

    work(queues=["fail"])

    assert finished(fail.enqueue()).state is State.FAILED
    assert len(stage.in_queue("elsewhere")) == 1


def test_what_a_hook_may_ask_for_and_what_not(app, undo, work, finished, stage):
    asked = {
        "nothing": None,
        "a value": {"dropped": True},
        "next": Next(undo.spec(), result="dropped"),
        "join": SpawnThen([], undo.spec()),
        "repeat": Repeat(),
        "retry": Retry(),
        "unknown": Next(Spec("unheard_of")),
        "bad": Next(undo.spec(unique_key="")),
    }

    @app.command("fail", retries=0)
    def fail(which: str) -> None:
        raise ValueError(which)

    @fail.on_recover
    def recover(which: str) -> object:
        return asked[which]

    work(queues=["fail"])
    ended = {which: finished(fail.enqueue(which)) for which in asked}

    assert {command.state for command in ended.values()} == {State.DEAD_LETTER}
    assert {command.result for command in ended.values()} == {None}
    assert {which: command.recovery.enqueued for which, command in ended.items() if not command.recovery.error} == {
        "nothing": 0,
        "a value": 0,
        "next": 1,
        "join": 1,
    }
    assert {which: command.recovery.error.type for which, command in ended.items() if command.recovery.error} == {
        "repeat": "InvalidResult",
        "retry": "InvalidResult",
        "unknown": "UnknownCommand",
        "bad": "InvalidSpec",
    }
    assert len(stage.in_queue("elsewhere")) == 2


def test_the_hook_runs_after_the_last_attempt_crashed(app, undo, work, finished, stage):
    ran = []

    @app.command("pay", retries=1)
    def pay() -> None:
        ran.append("handler")

    @pay.on_recover
    def refund(ctx: Context, error) -> Next:
        ran.append((ctx.attempt, error.type))
        return Next(undo.spec())

    enqueued = pay.enqueue()
    stage.start_elsewhere(enqueued.id, attempt=2, lease_seconds=-1)
    work(queues=["pay"])

    command = finished(enqueued)
    assert ran == [(2, "Crashed")]
    assert (command.state, command.recovery.enqueued) == (State.DEAD_LETTER, 1)
    assert len(stage.in_queue("elsewhere")) == 1


def test_the_hook_of_an_attempt_that_timed_out_has_a_context_that_is_not_cancelled(app, work, finished):
    seen = []
    release = threading.Event()

    # The hook has as much time as the handler had, and is to end within it on a busy machine too.
    @app.command("sync", timeout=timedelta(seconds=2))
    def sync(ctx: Context) -> None:
        wait_until(lambda: ctx.is_cancelled)
        release.wait(20)

    @app.command("async", timeout=timedelta(seconds=2))
    async def asynchronous() -> None:
        await asyncio.Event().wait()

    def recover(ctx: Context, error) -> None:
        ctx.raise_if_cancelled()
        ctx.heartbeat()
        seen.append((error.type, ctx.is_cancelled, ctx.remaining_time > timedelta(0)))

    sync.on_recover(recover)
    asynchronous.on_recover(recover)
    work()

    for one in (sync, asynchronous):
        assert finished(one.enqueue()).recovery.error is None
    assert seen == [("TimedOut", False, True)] * 2
    release.set()


def test_the_hook_of_a_cancelled_command_does_not_run_though_its_handler_fails_then(app, other, work):
    ran, began, is_over = [], threading.Event(), threading.Event()

    @app.command("pay")
    def pay(ctx: Context) -> None:
        began.set()
        try:
            wait_until(lambda: ctx.is_cancelled)
            raise ValueError("no money")
        finally:
            is_over.set()

    pay.on_recover(lambda: ran.append("hook"))
    hand = work(lease=timedelta(seconds=1))
    enqueued = pay.enqueue()
    assert began.wait(10)
    other.cancel(enqueued.id)
    assert is_over.wait(10)
    hand.stop()

    assert app.get(enqueued.id).state is State.CANCELLED
    assert ran == []


def test_the_hook_of_a_command_whose_time_was_over_before_it_began(app, undo, work, finished, stage):
    ran = []

    @app.command("pay")
    def pay(order: str) -> None:
        ran.append(order)

    @pay.on_expired
    def expired(ctx: Context, order: str) -> Next:
        ran.append((ctx.attempt, f"too late for {order}"))
        return Next(undo.spec())

    pay.on_recover(lambda: ran.append("recover"))
    enqueued = pay.enqueue("42", delay=LATER, deadline=LATER)
    stage.run("UPDATE commands SET ready_at = created_at, deadline_at = created_at, expires_at = created_at")
    work(queues=["pay"])

    command = finished(enqueued)
    assert ran == [(0, "too late for 42")]
    assert (command.state, command.recovery.enqueued) == (State.EXPIRED, 1)
    assert len(stage.in_queue("elsewhere")) == 1
