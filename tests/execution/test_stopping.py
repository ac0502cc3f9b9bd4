"""A worker that is asked to stop lets attempts end, gives back the others uncounted, and takes nothing more."""

import asyncio
import threading
from datetime import timedelta

from staging import wait_until

from durex_core import AsyncContext, Context
from durex_core.clock import monotonic_seconds
from durex_core.model import State
from durex_core.results import Next

NO_GRACE = timedelta(0)


def test_what_runs_may_end_within_the_grace(app, work):
    began = threading.Semaphore(0)
    release = threading.Event()

    @app.command("sync")
    def sync() -> str:
        began.release()
        release.wait(20)
        return "ended"

    @app.command("async")
    async def asynchronous() -> str:
        began.release()
        await asyncio.to_thread(release.wait, 20)
        return "ended"

    hand = work(grace=timedelta(seconds=20))
    enqueued = [sync.enqueue(), asynchronous.enqueue()]
    assert all(began.acquire(timeout=10) for _ in enqueued)
    hand.worker.stop()
    release.set()
    hand.stop()

    for one in enqueued:
        command = app.get(one.id)
        assert (command.state, command.result, command.attempt) == (State.COMPLETED, "ended", 1)


def test_what_does_not_end_within_the_grace_is_given_back_and_not_counted(app, other, work, finished):
    began = threading.Semaphore(0)
    release = threading.Event()
    cancelled = []

    @app.command("sync", retries=0)
    def sync(ctx: Context) -> str:
        began.release()
        release.wait(20)
        cancelled.append(ctx.is_cancelled)
        return "too late"

    @app.command("async", retries=0)
    async def asynchronous(ctx: AsyncContext) -> str:
        began.release()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.append(ctx.is_cancelled)

    hand = work(grace=timedelta(milliseconds=50))
    enqueued = [sync.enqueue(), asynchronous.enqueue()]
    assert all(began.acquire(timeout=10) for _ in enqueued)
    hand.stop()
    release.set()
    wait_until(lambda: cancelled == [True, True])

    for one in enqueued:
        command = app.get(one.id)
        assert (command.state, command.attempt, command.lease_number) == (State.PENDING, 0, 1)
        assert [(past.outcome, past.error.message) for past in command.history] == [("released", "the worker stopped")]

    other.command("sync")(lambda: "by another")
    other.command("async")(lambda: "by another")
    work(other)
    for one in enqueued:
        command = finished(one)
        assert (command.state, command.result, command.attempt) == (State.COMPLETED, "by another", 1)
        assert command.lease_number == 2


def test_an_idle_worker_stops_at_once(app, work, finished):
    @app.command("quick")
    def quick() -> None: ...

    hand = work(grace=timedelta(seconds=20))
    finished(quick.enqueue())

    began = monotonic_seconds()
    hand.stop()
    assert monotonic_seconds() - began < 2


def test_a_worker_that_was_stopped_before_it_ran_returns_without_a_claim(app):
    @app.command("quick")
    def quick() -> None: ...

    enqueued = quick.enqueue()
    worker = app.worker()
    worker.stop()
    worker.run()

    assert app.get(enqueued.id).state is State.PENDING


def test_nothing_is_claimed_after_stop(app, work):
    began = threading.Event()
    release = threading.Event()

    @app.command("first")
    def first() -> None:
        began.set()
        release.wait(20)

    @app.command("second")
    def second() -> None: ...

    hand = work(grace=timedelta(seconds=20))
    running = first.enqueue()
    assert began.wait(10)
    hand.worker.stop()
    late = second.enqueue()
    release.set()
    hand.stop()

    assert app.get(running.id).state is State.COMPLETED
    assert (app.get(late.id).state, app.get(late.id).lease_number) == (State.PENDING, 0)


def test_a_worker_that_stops_tells_the_others_of_what_it_leaves(app, other, work, finished):
    began = threading.Event()

    @app.command("stuck")
    def stuck() -> None:
        began.set()
        threading.Event().wait(3)

    hand = work(grace=NO_GRACE)
    enqueued = stuck.enqueue()
    assert began.wait(10)
    other.command("stuck")(lambda: "by another")
    other.command("idle")(lambda: "idle")
    work(other)
    finished(other.enqueue("idle"))
    hand.stop()

    assert finished(enqueued, timeout_seconds=5).result == "by another"


def test_a_child_of_the_last_attempt_reaches_an_idle_worker_of_another_queue(app, other, work, finished, stage):
    began = threading.Event()
    release = threading.Event()

    @app.command("parent")
    def parent() -> Next:
        began.set()
        release.wait(20)
        return Next(child.spec())

    @app.command("child")
    def child() -> None: ...

    hand = work(queues=["parent"], grace=timedelta(seconds=20))
    enqueued = parent.enqueue()
    assert began.wait(10)
    other.command("child")(lambda: "by another")
    other.command("idle")(lambda: "idle")
    work(other)
    finished(other.enqueue("idle"))
    hand.worker.stop()
    release.set()
    hand.stop()

    assert finished(enqueued).state is State.COMPLETED
    wait_until(lambda: stage.count("finished_commands") == 3, timeout_seconds=5)


def test_a_handler_that_blocks_the_event_loop_cannot_keep_the_worker_from_stopping(app, work):
    began = threading.Event()
    release = threading.Event()

    @app.command("blocking")
    async def blocking() -> None:
        began.set()
        release.wait(30)

    hand = work(grace=NO_GRACE)
    enqueued = blocking.enqueue()
    assert began.wait(10)
    hand.stop()

    assert app.get(enqueued.id).state is State.PENDING
    release.set()


def test_stop_reaches_a_worker_that_is_busy_while_another_of_the_same_application_waits(app, work, finished, stage):
    @app.command("quick")
    def quick() -> None: ...

    idle = work()
    finished(quick.enqueue())
    with stage.holding_writes():
        # Its first turn waits for the lock. Were there one ring for both, the idle worker would use it up.
        busy = work()
        if stage.is_postgres:
            wait_until(stage.has_waiters)
        else:
            threading.Event().wait(0.3)
        busy.worker.stop()
        threading.Event().wait(0.3)

    busy.stop(timeout_seconds=10)
    idle.stop(timeout_seconds=10)
