"""What a handler may say of its next attempt: at once, later, at a given time, or none."""

from datetime import timedelta

import pytest
from staging import wait_until

from durex_core import AsyncContext, Context
from durex_core.backoff import Constant
from durex_core.errors import Cancel, NonRetryable, RateLimited
from durex_core.model import State
from durex_core.results import Next, Retry

LATER = timedelta(hours=1)
MUCH_LATER = timedelta(hours=4)


def waiting(app, enqueued):
    """Return a command that waits for its second attempt, and for how long it does."""
    wait_until(lambda: app.get(enqueued.id).history)
    command = app.get(enqueued.id)
    return command, command.ready_at - command.history[-1].ended_at


def test_retry_uses_up_a_retry_and_follows_at_once_whatever_the_backoff(app, work, finished):
    @app.command("again", retries=2, backoff=Constant(LATER))
    def again(ctx: Context) -> object:
        return "at last" if ctx.is_last_attempt else Retry()

    work()

    command = finished(again.enqueue())
    assert (command.state, command.attempt, command.result) == (State.COMPLETED, 3, "at last")
    assert [(past.attempt, past.outcome) for past in command.history] == [(1, "retrying"), (2, "retrying")]


def test_retry_may_be_for_later(app, work):
    @app.command("again", retries=1)
    async def again() -> Retry:
        return Retry(delay=LATER, reason="the shop is closed")

    work()

    command, waits = waiting(app, again.enqueue())
    assert (command.state, waits) == (State.SCHEDULED, LATER)
    assert (command.history[0].error.type, command.history[0].error.message) == ("Retry", "the shop is closed")


def test_retry_with_none_left_fails_the_command_and_runs_its_hook_and_never_completes_it(app, work, finished, ended):
    @app.command("notify")
    def notify(why: str) -> str:
        return why

    @app.command("again", retries=1)
    def again() -> Retry:
        return Retry(reason="not yet")

    @again.on_recover
    def recover(error) -> Next:
        return Next(notify.spec(error.message))

    work()

    command = finished(again.enqueue())
    assert (command.state, command.attempt, command.result) == (State.DEAD_LETTER, 2, None)
    assert (command.error.type, command.error.message) == ("Retry", "not yet")
    assert [past.outcome for past in command.history] == ["retrying"]
    assert ended("notify")[0].result == "not yet"


@pytest.mark.parametrize(
    "delay", [timedelta(seconds=-1), timedelta(days=5000), 5], ids=["negative", "too long", "no delay"]
)
def test_a_delay_that_no_command_may_have_fails_the_command_for_good(app, work, finished, delay):
    @app.command("retry", retries=5)
    def retry() -> Retry:
        return Retry(delay=delay)

    @app.command("limited", retries=5)
    def limited() -> None:
        raise RateLimited(delay)

    work()

    for enqueued, what in ((retry.enqueue(), "Retry"), (limited.enqueue(), "RateLimited")):
        command = finished(enqueued)
        assert (command.state, command.attempt, command.error.type) == (State.DEAD_LETTER, 1, "InvalidResult")
        assert command.error.message.startswith(f"{what}: ")


def test_a_reason_that_no_database_can_hold_is_cleaned(app, work, finished):
    @app.command("retry")
    def retry() -> Retry:
        return Retry(reason="a\0b" + 10_000 * "!")

    work()

    command = finished(retry.enqueue())
    assert (command.state, command.error.type) == (State.DEAD_LETTER, "Retry")
    assert "\0" not in command.error.message
    assert len(command.error.message) == 2000


def test_rate_limited_waits_for_the_given_time_whatever_the_backoff(app, work):
    @app.command("call", retries=1, backoff=Constant(LATER))
    async def call() -> None:
        raise RateLimited(MUCH_LATER)

    work()

    command, waits = waiting(app, call.enqueue())
    assert (command.state, waits) == (State.SCHEDULED, MUCH_LATER)
    assert command.history[0].outcome == "retrying"


def test_rate_limited_without_a_time_waits_for_the_backoff(app, work):
    @app.command("call", retries=1, backoff=Constant(LATER))
    def call() -> None:
        raise RateLimited

    work()

    assert waiting(app, call.enqueue())[1] == LATER


def test_rate_limited_counts_as_an_attempt(app, work, finished):
    @app.command("call", retries=2)
    def call() -> None:
        raise RateLimited(timedelta(0), "429")

    work()

    command = finished(call.enqueue())
    assert (command.state, command.attempt) == (State.DEAD_LETTER, 3)
    assert (command.error.type, command.error.message) == ("RateLimited", "429")


def test_a_handler_may_cancel_its_own_command(app, work, finished):
    recovered = []

    @app.command("give_up", retries=5, on_recover=lambda error: recovered.append(error))  # noqa: PLW0108
    def give_up() -> None:
        raise Cancel("the customer left")

    @app.command("give_up_async", retries=5)
    async def give_up_async() -> None:
        raise Cancel

    work()

    command = finished(give_up.enqueue())
    assert (command.state, command.attempt) == (State.CANCELLED, 1)
    assert (command.error.type, command.error.message) == ("Cancelled", "the customer left")
    assert finished(give_up_async.enqueue()).error.message == "the handler cancelled its command"
    assert recovered == []


def test_exceptions_that_a_handler_or_the_application_never_retries_fail_for_good(make_app, work, finished):
    app = make_app(never_retry=(KeyError,))

    def fail(which: str) -> None:
        raise {"handler": ZeroDivisionError, "app": KeyError, "sub": IndexError, "other": OSError}[which](which)

    @app.command("sync", retries=1, never_retry=(ArithmeticError,))
    def sync(which: str) -> None:
        fail(which)

    @app.command("async", retries=1, never_retry=(LookupError,))
    async def asynchronous(which: str) -> None:
        fail(which)

    work(app)
    enqueued = [(one, which) for one in (sync, asynchronous) for which in ("handler", "app", "sub", "other")]
    attempts = [(one.name, which, finished(one.enqueue(which)).attempt) for one, which in enqueued]

    assert attempts == [
        ("sync", "handler", 1),
        ("sync", "app", 1),
        ("sync", "sub", 2),
        ("sync", "other", 2),
        ("async", "handler", 2),
        ("async", "app", 1),
        ("async", "sub", 1),
        ("async", "other", 2),
    ]


def test_non_retryable_fails_for_good_whatever_is_left_and_as_failed_without_the_dead_letter_queue(app, work, finished):
    @app.command("fatal", retries=5)
    async def fatal(ctx: AsyncContext) -> None:
        raise NonRetryable(f"attempt {ctx.attempt}")

    work()

    command = finished(fatal.enqueue())
    assert (command.state, command.attempt, command.error.message) == (State.DEAD_LETTER, 1, "attempt 1")
    assert finished(fatal.enqueue(dead_letter=False)).state is State.FAILED
