"""Middleware: around every handler, the first one added outermost, plain or async around plain or async."""

import asyncio
import contextvars
import threading
from datetime import timedelta

import pytest
from staging import wait_until

from durex_core import AsyncContext, Context, Spec
from durex_core.errors import NonRetryable
from durex_core.model import State
from durex_core.results import Next, Retry

SOON = timedelta(milliseconds=200)
KINDS = ["plain", "async"]

pair = pytest.mark.parametrize(("outer", "inner"), [(outer, inner) for outer in KINDS for inner in KINDS])


def make(kind, before=lambda ctx: None, after=lambda value: value):  # noqa: ARG005
    """Return a middleware of a kind that does something before and after what lies inside of it."""

    def plain(ctx, call_next):
        before(ctx)
        return after(call_next())

    async def asynchronous(ctx, call_next):
        before(ctx)
        return after(await call_next())

    return {"plain": plain, "async": asynchronous}[kind]


def handlers_of(app, work):
    """Register a handler of each kind."""

    @app.command("plain")
    def plain() -> object:
        return work()

    @app.command("async")
    async def asynchronous() -> object:
        await asyncio.sleep(0)
        return work()

    return {"plain": plain, "async": asynchronous}


@pair
def test_the_first_one_added_is_the_outermost(app, work, finished, outer, inner):
    seen = []

    def named(kind, name):
        return make(kind, lambda ctx: seen.append(f"{name} {ctx.name}"), lambda value: [name, value])

    app.use(named(outer, "first"), named(inner, "second"))
    app.use(named(outer, "third"))
    handlers = handlers_of(app, lambda: "result")
    work()

    for kind in KINDS:
        handler = handlers[kind]
        assert finished(handler.enqueue()).result == ["first", ["second", ["third", "result"]]]
        assert seen == [f"first {kind}", f"second {kind}", f"third {kind}"]
        seen.clear()


@pair
def test_it_may_answer_for_what_lies_inside_of_it(app, work, finished, outer, inner):
    ran = []

    def plain(ctx, call_next):  # noqa: ARG001
        return Next(Spec("leaf"), result="short")

    async def asynchronous(ctx, call_next):  # noqa: ARG001
        return Next(Spec("leaf"), result="short")

    app.use({"plain": plain, "async": asynchronous}[outer])
    handler = handlers_of(app, lambda: ran.append("handler"))[inner]
    app.command("leaf", queue="elsewhere")(lambda: None)
    work(queues=["plain", "async"])
    enqueued = handler.enqueue()

    assert finished(enqueued).result == "short"
    assert (ran, len(app.find(names=["leaf"]).commands)) == ([], 1)


@pair
def test_it_sees_what_is_raised_inside_of_it_and_may_raise_or_return_something_else(app, work, finished, outer, inner):
    def plain(ctx, call_next):
        try:
            return call_next()
        except LookupError as error:
            return settle(ctx, error)

    async def asynchronous(ctx, call_next):
        try:
            return await call_next()
        except LookupError as error:
            return settle(ctx, error)

    def settle(ctx, error):
        if ctx.attempt == 1:
            return Retry(reason=f"saw {error!r}")
        raise NonRetryable("enough") from error

    def fail():
        raise KeyError("no such parcel")

    app.use({"plain": plain, "async": asynchronous}[outer])
    handler = handlers_of(app, fail)[inner]
    work()

    command = finished(handler.enqueue(retries=5))
    assert (command.state, command.attempt, command.error.message) == (State.DEAD_LETTER, 2, "enough")
    assert command.history[0].error.message == "saw KeyError('no such parcel')"


@pair
def test_whatever_is_raised_ends_the_attempt_and_the_worker_goes_on(app, work, finished, outer, inner):
    errors = [SystemExit(1), KeyboardInterrupt(), asyncio.CancelledError(), StopIteration(1), GeneratorExit()]
    left = list(errors)

    def fail():
        raise left.pop()

    app.use(make(outer))
    handler = handlers_of(app, fail)[inner]
    work(concurrency=1)

    assert {finished(handler.enqueue()).state for _ in errors} == {State.DEAD_LETTER}
    left.append(ValueError("the last one"))
    assert finished(handler.enqueue()).error.message == "the last one"


@pair
def test_an_attempt_that_takes_too_long_is_timed_out_through_it(app, work, finished, outer, inner):
    release = threading.Event()
    ended = threading.Event()

    @app.command("plain", timeout=SOON)
    def plain(ctx: Context) -> None:
        wait_until(lambda: ctx.is_cancelled)
        ended.set()

    @app.command("async", timeout=SOON)
    async def asynchronous() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    app.use(make(outer), make(outer))
    work(concurrency=1)

    for _ in range(2):
        command = finished(app.enqueue(inner))
        assert (command.state, command.error.type) == (State.DEAD_LETTER, "TimedOut")
        assert ended.wait(10)
        ended.clear()
    release.set()


def test_a_coroutine_under_a_plain_middleware_that_begins_when_the_time_is_up_is_cancelled(app, work, finished):
    handlers_before = handler_threads()

    def slow(ctx, call_next):
        wait_until(lambda: ctx.is_cancelled)
        return call_next()

    @app.command("late", timeout=SOON)
    async def late() -> None:
        await asyncio.Event().wait()

    app.use(slow)
    work()

    assert finished(late.enqueue()).error.type == "TimedOut"
    # The thread that waits for the coroutine would wait for good.
    wait_until(lambda: handler_threads() <= handlers_before)


def handler_threads():
    return {thread for thread in threading.enumerate() if thread.name == "durex-handler"}


def test_an_async_middleware_that_waits_after_a_crossing_is_cancelled_too(app, work, finished):
    cancelled = threading.Event()

    async def linger(ctx, call_next):  # noqa: ARG001
        await call_next()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise

    @app.command("quick", timeout=SOON)
    async def quick() -> None: ...

    app.use(linger, make("plain"))
    work()

    assert finished(quick.enqueue()).error.type == "TimedOut"
    assert cancelled.wait(10)


def test_plain_handlers_under_async_middleware_run_side_by_side_up_to_the_concurrency(app, work, finished):
    together = threading.Barrier(40)
    app.use(make("async"))

    @app.command("meet")
    def meet() -> None:
        together.wait(20)

    work(concurrency=40)
    enqueued = [meet.enqueue() for _ in range(40)]

    assert {finished(one).state for one in enqueued} == {State.COMPLETED}


def test_stuck_handlers_under_async_middleware_keep_nobody_from_running(app, work, finished):
    release = threading.Event()
    app.use(make("async"))

    @app.command("stuck", timeout=SOON)
    def stuck() -> None:
        release.wait(20)

    @app.command("quick")
    def quick() -> str:
        return "done"

    work(concurrency=2)
    for _ in range(40):
        stuck.enqueue()

    assert finished(quick.enqueue(priority=-1)).result == "done"
    release.set()


variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="nothing")


@pair
def test_handlers_see_the_context_variables_that_it_sets(app, work, finished, outer, inner):
    app.use(make(outer, lambda ctx: variable.set(f"set for {ctx.name}")))
    handler = handlers_of(app, variable.get)[inner]
    work()

    assert finished(handler.enqueue()).result == f"set for {inner}"
    assert variable.get() == "nothing"


@pytest.mark.parametrize(("kind", "context"), [("plain", Context), ("async", AsyncContext)])
def test_it_has_the_context_of_the_handler(app, work, finished, kind, context):
    seen = []
    app.use(make("plain", seen.append))
    handler = handlers_of(app, lambda: None)[kind]
    work()
    enqueued = handler.enqueue(correlation_id="order 42")
    finished(enqueued)

    (ctx,) = seen
    assert type(ctx) is context
    assert (ctx.id, ctx.correlation_id, ctx.attempt) == (enqueued.id, "order 42", 1)


def test_hooks_run_without_it(app, work, finished):
    seen = []
    app.use(make("plain", lambda ctx: seen.append("middleware")))  # noqa: ARG005

    @app.command("fail", on_recover=lambda: seen.append("hook"))
    def fail() -> None:
        raise ValueError("no")

    work()
    finished(fail.enqueue())

    assert seen == ["middleware", "hook"]


def test_a_payload_that_no_longer_fits_is_refused_inside_of_it(app, other, work, finished):
    seen = []

    def watch(ctx, call_next):
        try:
            return call_next()
        except Exception as error:
            seen.append((ctx.name, type(error).__name__))
            raise

    other.command("count")(lambda number: number)

    @app.command("count", retries=3)
    async def count(number: int) -> int:
        return number

    app.use(watch)
    work()

    command = finished(other.enqueue("count", "no number"))
    assert (command.state, command.attempt) == (State.DEAD_LETTER, 1)
    assert seen == [("count", "InvalidPayload")]
