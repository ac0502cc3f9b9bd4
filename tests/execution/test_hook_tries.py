"""A hook that fails, hangs, crashes or is interrupted is tried again, and its handler is not."""

import asyncio
import threading
from datetime import timedelta

from staging import wait_until

from durex_core import Context, Spec
from durex_core.errors import NonRetryable
from durex_core.model import State
from durex_core.results import Next
from durex_core.rules.endings import MAX_HOOK_TRIES

SOON = timedelta(milliseconds=100)


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
        assert stage.in_queue("elsewhere") == []
        stage.make_due(app.wake)

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
    assert len(stage.in_queue("elsewhere")) == 1


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
        stage.make_due(app.wake)
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
    assert len(stage.in_queue("elsewhere")) == 1


def test_a_hook_that_outlives_the_timeout_is_tried_again(app, work, finished, stage):
    ran = []

    @app.command("pay", timeout=timedelta(seconds=1))
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
    stage.make_due(app.wake)

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
    assert (command.state, command.attempt, stage.in_queue("elsewhere")) == (State.SCHEDULED, 1, [])
    assert command.history[0].hook_error.message == "the worker stopped"
    other.command("pay", on_recover=lambda: Next(Spec("undo")))(lambda: "never")
    stage.make_due(app.wake)
    work(other, queues=["pay"])

    command = finished(enqueued)
    assert (command.state, command.attempt, command.error.message) == (State.DEAD_LETTER, 1, "no money")
    assert len(stage.in_queue("elsewhere")) == 1


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
