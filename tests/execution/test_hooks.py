"""Hooks: what is to be done about a command that failed for good or expired, stored with its end or tried again."""

import asyncio
import threading
from datetime import timedelta

import pytest
from staging import wait_until

from durex_core import AsyncContext, Context, Spec
from durex_core.errors import Cancel, NonRetryable
from durex_core.model import State
from durex_core.results import Next, Repeat, Retry, Spawn, SpawnThen
from durex_core.rules.lifecycle import MAX_HOOK_TRIES

SOON = timedelta(milliseconds=100)
LATER = timedelta(hours=1)


@pytest.fixture
def undo(app):
    """Register a command of another queue, that nobody serves, for hooks to ask for."""

    @app.command("undo", queue="elsewhere")
    def undo(payload: object = None) -> None: ...

    return undo


def waiting(stage):
    return stage.run("SELECT name, payload FROM commands WHERE queue = 'elsewhere' ORDER BY created_at, id")


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
    assert len(waiting(stage)) == 1


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
    assert len(waiting(stage)) == 2


def test_a_hook_that_fails_is_tried_again_and_its_handler_is_not(app, undo, work, finished, stage):
    ran = []

    @app.command("pay")
    def pay() -> None:
        ran.append("handler")
        raise ValueError("no money")

    @pay.on_recover
    def refund(error) -> Next:
        ran.append(f"hook: {error.message}")
        if len(ran) < 4:
            raise OSError("the bank is closed")
        return Next(undo.spec())

    work(queues=["pay"])
    enqueued = pay.enqueue()
    for tries in range(1, 3):
        wait_until(lambda least=tries: len(app.get(enqueued.id).history) == least)
        assert app.get(enqueued.id).state in {State.SCHEDULED, State.STARTED, State.PENDING}
        assert waiting(stage) == []
        due_now(app, stage)

    command = finished(enqueued)
    assert ran == ["handler", "hook: no money", "hook: no money", "hook: no money"]
    assert (command.state, command.attempt, command.error.message) == (State.DEAD_LETTER, 1, "no money")
    assert command.recovery.enqueued == 1
    assert [event.event for event in app.history(enqueued.id)] == [
        "created",
        "started",
        "failed",
        "hook_failed",
        "hook_failed",
        "recovered",
    ]
    assert len(waiting(stage)) == 1


def due_now(app, stage):
    stage.make_due()
    app.wake.ready({})


def test_a_hook_that_always_fails_is_given_up_and_the_command_ends_without_it(app, work, stage):
    ran = []

    @app.command("pay")
    async def pay() -> None:
        raise ValueError("no money")

    @pay.on_recover
    async def refund() -> None:
        ran.append("hook")
        raise OSError("the bank is closed")

    work()
    enqueued = pay.enqueue()

    def is_over():
        due_now(app, stage)
        return app.get(enqueued.id).state.is_terminal

    wait_until(is_over)
    command = app.get(enqueued.id)
    assert len(ran) == MAX_HOOK_TRIES
    assert (command.state, command.attempt, command.error.message) == (State.DEAD_LETTER, 1, "no money")
    assert (command.recovery.error.type, command.recovery.error.message) == ("OSError", "the bank is closed")


def test_a_hook_that_says_so_is_not_tried_again(app, work, finished):
    ran = []

    @app.command("pay")
    def pay() -> None:
        raise ValueError("no money")

    @pay.on_recover
    def refund() -> None:
        ran.append("hook")
        raise NonRetryable("there is no such account")

    work()

    assert finished(pay.enqueue()).recovery.error.message == "there is no such account"
    assert ran == ["hook"]


def test_a_hook_that_cannot_read_the_payload_is_told_of_and_not_skipped_in_silence(app, work, finished):
    @app.command("pay")
    def pay(payload: object) -> None:
        raise ValueError(payload)

    @pay.on_recover
    def refund(payload: int) -> None: ...

    work()

    assert finished(pay.enqueue("no number")).recovery.error.type == "InvalidPayload"


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
    assert len(waiting(stage)) == 1


def test_a_crash_in_a_hook_counts_as_a_try_of_it_and_not_as_an_attempt(app, undo, work, finished, stage):
    ran = []

    @app.command("pay", retries=0)
    def pay() -> None:
        ran.append("handler")

    @pay.on_recover
    def refund(ctx: Context) -> Next:
        ran.append("hook")
        if len(ran) == 1:
            # Another worker takes it over, as it does after a kill.
            stage.expire_lease(ctx.id)
            app.wake.ready({})
            wait_until(lambda: len(ran) == 2)
        return Next(undo.spec())

    enqueued = pay.enqueue()
    stage.start_elsewhere(enqueued.id, attempt=1, lease_seconds=-1)
    work(queues=["pay"])

    command = finished(enqueued)
    assert ran == ["hook", "hook"]
    assert (command.state, command.attempt) == (State.DEAD_LETTER, 1)
    assert [past.outcome for past in command.history] == ["crashed", "crashed"]
    assert len(waiting(stage)) == 1


def test_the_hook_of_an_attempt_that_timed_out_has_a_context_that_is_not_cancelled(app, work, finished):
    seen = []
    release = threading.Event()

    @app.command("sync", timeout=SOON)
    def sync(ctx: Context) -> None:
        wait_until(lambda: ctx.is_cancelled)
        release.wait(20)

    @app.command("async", timeout=SOON)
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


def test_a_hook_that_outlives_the_timeout_is_tried_again(app, work, finished, stage):
    ran = []

    @app.command("pay", timeout=SOON)
    def pay() -> None:
        raise ValueError("no money")

    @pay.on_recover
    async def refund() -> None:
        ran.append("hook")
        if len(ran) == 1:
            await asyncio.Event().wait()

    work()
    enqueued = pay.enqueue()
    wait_until(lambda: app.get(enqueued.id).history)
    (past,) = app.get(enqueued.id).history
    assert (past.outcome, past.error.message, past.hook_error.type) == ("failed", "no money", "TimedOut")
    due_now(app, stage)

    assert finished(enqueued).recovery.error is None
    assert ran == ["hook", "hook"]


def test_a_hook_that_its_worker_interrupts_by_stopping_is_run_by_another(app, other, work, finished, stage):
    began = threading.Event()
    release = threading.Event()

    for one in (app, other):
        one.command("undo", queue="elsewhere")(lambda payload: payload)

    @app.command("pay")
    def pay() -> None:
        raise ValueError("no money")

    @pay.on_recover
    def refund() -> Next:
        began.set()
        release.wait(20)
        return Next(Spec("undo", "too late"))

    hand = work(queues=["pay"], grace=timedelta(0))
    enqueued = pay.enqueue()
    assert began.wait(10)
    hand.stop()
    release.set()

    command = app.get(enqueued.id)
    assert (command.state, command.attempt, waiting(stage)) == (State.SCHEDULED, 1, [])
    assert command.history[0].hook_error.message == "the worker stopped"
    other.command("pay", on_recover=lambda: Next(Spec("undo")))(lambda: "never")
    due_now(app, stage)
    work(other, queues=["pay"])

    command = finished(enqueued)
    assert (command.state, command.attempt, command.error.message) == (State.DEAD_LETTER, 1, "no money")
    assert len(waiting(stage)) == 1


def test_a_hook_whose_handler_this_worker_does_not_know_is_left_to_one_that_does(app, other, work, finished, stage):
    other.command("pay", queue="shared")(lambda: None)
    app.command("else", queue="shared")(lambda: None)
    ran = []
    enqueued = other.enqueue("pay")
    stage.start_elsewhere(enqueued.id, attempt=1, lease_seconds=-1)

    hand = work(app)
    wait_until(lambda: len(app.get(enqueued.id).history) == 2)
    hand.stop()
    assert app.get(enqueued.id).history[-1].hook_error.type == "HandlerMissing"
    other.unregister("pay")
    other.command("pay", queue="shared", on_recover=lambda error: ran.append(error.type))(lambda: ran.append("handler"))
    stage.make_due()
    work(other)

    assert finished(enqueued).state is State.DEAD_LETTER
    assert ran == ["Crashed"]


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
    assert len(waiting(stage)) == 1
