"""A running attempt keeps its lease; one that lost it is told to stop, and changes nothing any more."""

import threading
from datetime import timedelta

from staging import wait_until

from durex_core import Context
from durex_core.backoff import Constant
from durex_core.model import State
from durex_core.results import Next

SHORT = timedelta(seconds=1.2)


def test_a_handler_that_takes_longer_than_its_lease_keeps_it(app, work, finished):
    attempts = []

    @app.command("long", retries=3)
    def long(ctx: Context) -> str:
        attempts.append(ctx.attempt)
        lease = ctx.command.lease_expires_at
        wait_until(lambda: app.get(ctx.id).lease_expires_at > lease + SHORT)
        return "done"

    work(lease=SHORT)

    command = finished(long.enqueue())
    assert (command.state, command.attempt, command.lease_number, command.history) == (State.COMPLETED, 1, 1, ())
    assert command.finished_at - command.started_at > SHORT
    assert attempts == [1]


def test_a_lost_lease_tells_its_handler_and_what_it_returns_is_dropped(app, work, finished, stage):
    told = []

    @app.command("leaf", queue="elsewhere")
    def leaf() -> None: ...

    @app.command("work", retries=3)
    def slow(ctx: Context) -> Next:
        if ctx.attempt == 1:
            stage.run("UPDATE commands SET lease_number = lease_number + 1 WHERE id = %s", str(ctx.id))
            wait_until(lambda: ctx.is_cancelled)
            told.append(ctx.command.lease_number)
        return Next(leaf.spec(), result=f"attempt {ctx.attempt}")

    work(lease=SHORT, queues=["work"])

    command = finished(slow.enqueue())
    assert told == [1]
    assert (command.result, command.attempt, command.lease_number) == ("attempt 2", 2, 3)
    assert [(past.outcome, past.attempt, past.lease_number) for past in command.history] == [("crashed", 1, 2)]
    assert stage.count("commands") == 1


def test_an_attempt_whose_command_was_claimed_anew_by_its_own_worker_is_told_too(app, work, finished, stage):
    second_began = threading.Event()
    first_knows = threading.Event()

    @app.command("work", retries=3)
    def slow(ctx: Context) -> str:
        if ctx.attempt == 1:
            stage.expire_lease(ctx.id)
            assert second_began.wait(10)
            wait_until(lambda: ctx.is_cancelled)
            first_knows.set()
        else:
            second_began.set()
            assert first_knows.wait(10)
            assert not ctx.is_cancelled
        return f"attempt {ctx.attempt}"

    work(lease=SHORT)

    command = finished(slow.enqueue())
    assert (command.result, command.attempt, command.lease_number) == ("attempt 2", 2, 2)
    assert [past.outcome for past in command.history] == ["crashed"]


def test_attempts_of_one_command_that_end_together_count_once(app, work, finished, stage):
    both = threading.Barrier(2)

    @app.command("leaf", queue="elsewhere")
    def leaf() -> None: ...

    @app.command("work", retries=3)
    def slow(ctx: Context) -> Next:
        if ctx.attempt == 1:
            stage.expire_lease(ctx.id)
            app._bell.ring()
        both.wait(10)
        return Next(leaf.spec(), result=f"attempt {ctx.attempt}")

    work(lease=timedelta(seconds=30), queues=["work"])

    for _ in range(5):
        assert finished(slow.enqueue()).result == "attempt 2"
    assert stage.count("commands") == 5


def test_an_expired_lease_is_taken_over_without_a_ring(app, work, finished, stage):
    @app.command("work", retries=1)
    def again(ctx: Context) -> int:
        return ctx.attempt

    idle = work(lease=SHORT)
    finished(again.enqueue())
    idle.stop()
    abandoned = again.enqueue()
    stage.start_elsewhere(abandoned.id, lease_seconds=1)
    work(lease=SHORT)

    command = finished(abandoned, timeout_seconds=10)
    assert (command.result, command.lease_number) == (2, 2)
    assert [past.outcome for past in command.history] == ["crashed"]


def test_a_vanished_worker_is_missed_within_two_leases_by_one_that_was_idle(app, work, finished, stage):
    @app.command("work", retries=1)
    def again(ctx: Context) -> int:
        return ctx.attempt

    work(lease=SHORT)
    finished(again.enqueue())
    abandoned = again.enqueue(delay=timedelta(days=1))
    # Another worker claims it while this one is idle again, and is killed. Postgres tells nobody of that.
    threading.Event().wait(0.5)
    stage.start_elsewhere(abandoned.id, lease_seconds=1)

    assert finished(abandoned, timeout_seconds=10).lease_number == 2


def test_the_last_crash_of_the_budget_ends_the_command_without_another_run(app, work, finished, stage):
    runs = []

    @app.command("work", retries=1)
    def crash(ctx: Context) -> None:
        runs.append(ctx.attempt)

    enqueued = crash.enqueue()
    stage.start_elsewhere(enqueued.id, attempt=2, lease_seconds=-1)
    work()

    command = finished(enqueued)
    assert runs == []
    assert (command.state, command.attempt, command.error.type) == (State.DEAD_LETTER, 2, "Crashed")
    assert [(past.attempt, past.outcome, past.worker) for past in command.history] == [(2, "crashed", "gone")]


def test_a_backoff_is_kept_across_workers(app, work, finished):
    wait = timedelta(milliseconds=400)

    @app.command("flaky", retries=1, backoff=Constant(wait))
    def flaky(ctx: Context) -> None:
        if ctx.attempt == 1:
            raise ValueError("once")

    first = work()
    enqueued = flaky.enqueue()
    wait_until(lambda: app.get(enqueued.id).state is State.SCHEDULED)
    first.stop()
    work()

    command = finished(enqueued)
    assert command.state is State.COMPLETED
    assert command.started_at - command.history[0].ended_at >= wait
