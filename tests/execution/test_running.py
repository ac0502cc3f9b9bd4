"""A command that was enqueued runs, and what its handler returns is stored."""

import threading
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from pydantic import BaseModel

from durex_core import AsyncContext, Context
from durex_core.backoff import Constant
from durex_core.model import State


class Order(BaseModel):
    id: str
    placed_at: datetime


@dataclass
class Point:
    x: int
    y: int


def test_a_command_runs_once_and_its_result_is_stored(app, work, finished):
    runs = []

    @app.command("add")
    def add(ctx: Context, numbers: list[int]) -> dict[str, Any]:
        runs.append(ctx.id)
        return {"sum": sum(numbers), "attempt": ctx.attempt}

    enqueued = add.enqueue([1, 2, 3])
    work()

    command = finished(enqueued)
    assert (command.state, command.result, command.error) == (State.COMPLETED, {"sum": 6, "attempt": 1}, None)
    assert (command.attempt, command.lease_number, command.history) == (1, 1, ())
    assert runs == [enqueued.id]
    assert command.created_at <= command.started_at <= command.finished_at


def test_a_coroutine_function_runs_and_its_result_is_stored(app, work, finished):
    @app.command("add")
    async def add(ctx: AsyncContext, numbers: list[int]) -> dict[str, Any]:
        return {"sum": sum(numbers), "name": ctx.name, "thread": threading.current_thread().name}

    work()

    command = finished(add.enqueue([1, 2, 3]))
    assert command.result == {"sum": 6, "name": "add", "thread": "durex-loop"}


TYPES = {
    "model": (
        Order,
        {"id": "42", "placed_at": "2026-01-02T03:04:05Z"},
        Order(id="42", placed_at=datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)),
    ),
    "dataclass": (Point, {"x": 1, "y": 2}, Point(1, 2)),
    "plain": (Any, {"free": [1, None, "ü\u2028"]}, {"free": [1, None, "ü\u2028"]}),
    "tuple": (tuple[int, ...], [1, 2], (1, 2)),
    "null": (int | None, None, None),
}


def test_a_handler_receives_its_payload_in_the_type_that_it_asks_for(app, work, finished):
    received = {}

    def reader(name):
        def read(payload):
            received[name] = payload

        read.__annotations__ = {"payload": TYPES[name][0]}
        return app.command(name)(read)

    enqueued = [reader(name).enqueue(payload) for name, (_, payload, _) in TYPES.items()]
    work()

    assert {finished(one).state for one in enqueued} == {State.COMPLETED}
    assert received == {name: seen for name, (_, _, seen) in TYPES.items()}


def test_handlers_may_leave_out_the_context_the_payload_or_both(app, work, finished):
    @app.command("neither")
    def neither():
        return "neither"

    @app.command("context_only")
    def context_only(ctx):
        return ctx.name

    @app.command("payload_only")
    async def payload_only(payload: int):
        return payload

    @app.command("both")
    async def both(ctx, payload):
        return [ctx.name, payload]

    work()

    assert finished(neither.enqueue()).result == "neither"
    assert finished(context_only.enqueue()).result == "context_only"
    assert finished(payload_only.enqueue(5)).result == 5
    assert finished(both.enqueue("free")).result == ["both", "free"]


def test_a_handler_knows_the_facts_of_its_attempt(app, work, finished):
    @app.command("tell", retries=1)
    def tell(ctx: Context) -> dict[str, Any]:
        if not ctx.is_last_attempt:
            raise RuntimeError("once more")
        return {
            "id": str(ctx.id),
            "attempt": ctx.attempt,
            "correlation_id": ctx.correlation_id,
            "key": ctx.idempotency_key,
            "is_cancelled": ctx.is_cancelled,
        }

    work()

    enqueued = tell.enqueue(correlation_id="order 42")
    assert finished(enqueued).result == {
        "id": str(enqueued.id),
        "attempt": 2,
        "correlation_id": "order 42",
        "key": f"{enqueued.id}:1",
        "is_cancelled": False,
    }


def test_higher_priority_runs_first_and_among_equals_the_longest_ready(app, work, finished):
    order = []

    @app.command("note")
    def note(label: str) -> None:
        order.append(label)

    labels = [("low", -5), ("first", 0), ("second", 0), ("high", 9)]
    enqueued = [note.enqueue(label, priority=priority) for label, priority in labels]
    work(concurrency=1)

    for one in enqueued:
        finished(one)
    assert order == ["high", "first", "second", "low"]


def test_a_delayed_command_waits_for_its_time(app, work, finished):
    @app.command("later")
    def later() -> None: ...

    work()
    enqueued = later.enqueue(delay=timedelta(milliseconds=300))

    assert app.get(enqueued.id).state is State.SCHEDULED
    command = finished(enqueued)
    waited = command.started_at - command.created_at
    assert timedelta(milliseconds=298) <= waited < timedelta(seconds=5)


def test_a_failed_attempt_is_tried_again_after_its_backoff(app, work, finished):
    @app.command("flaky", retries=2, backoff=Constant(timedelta(milliseconds=200)))
    def flaky(ctx: Context) -> str:
        if ctx.attempt < 3:
            raise ValueError(f"attempt {ctx.attempt} fails")
        return "at last"

    work()

    command = finished(flaky.enqueue())
    assert (command.state, command.result, command.attempt, command.lease_number) == (State.COMPLETED, "at last", 3, 3)
    assert [(past.attempt, past.outcome, past.error.message) for past in command.history] == [
        (1, "failed", "attempt 1 fails"),
        (2, "failed", "attempt 2 fails"),
    ]
    starts = [past.started_at for past in command.history] + [command.started_at]
    ends = [past.ended_at for past in command.history]
    assert all(start - end >= timedelta(milliseconds=198) for end, start in zip(ends, starts[1:], strict=True))


def test_a_retry_without_backoff_follows_at_once(app, work, finished):
    @app.command("flaky", retries=1)
    async def flaky(ctx: AsyncContext) -> None:
        if ctx.attempt == 1:
            raise ValueError("once")

    work()

    command = finished(flaky.enqueue(), timeout_seconds=5)
    assert (command.state, command.attempt) == (State.COMPLETED, 2)


def test_attempts_run_side_by_side_up_to_the_concurrency(app, work, finished):
    together = threading.Barrier(5)

    @app.command("meet")
    def meet() -> int:
        return together.wait(10)

    enqueued = [meet.enqueue() for _ in range(5)]
    work(concurrency=5)

    assert sorted(finished(one).result for one in enqueued) == [0, 1, 2, 3, 4]


def test_no_more_attempts_run_at_a_time_than_the_concurrency(app, work, finished):
    lock = threading.Lock()
    now = most = 0

    @app.command("count")
    def count() -> None:
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
        threading.Event().wait(0.02)
        with lock:
            now -= 1

    enqueued = [count.enqueue() for _ in range(20)]
    work(concurrency=3)

    for one in enqueued:
        finished(one)
    assert most == 3


def test_handlers_that_enqueue_are_heard_by_their_own_worker(app, work, finished):
    ids = []

    @app.command("inner")
    def inner() -> str:
        return "inner"

    @app.command("outer")
    def outer() -> None:
        ids.append(inner.enqueue())

    work()

    finished(outer.enqueue())
    assert finished(ids[0], timeout_seconds=5).result == "inner"


def test_an_async_handler_can_enqueue_without_blocking_its_loop(app, work, finished):
    ids = []

    @app.command("inner")
    async def inner() -> str:
        return "inner"

    @app.command("outer")
    async def outer() -> None:
        ids.append(await app.aenqueue("inner"))

    work()

    finished(outer.enqueue())
    assert finished(ids[0], timeout_seconds=5).result == "inner"


def test_a_worker_of_some_queues_leaves_the_others_alone(app, work, finished):
    @app.command("mine", queue="left")
    def mine() -> None: ...

    @app.command("theirs", queue="right")
    def theirs() -> None: ...

    other = theirs.enqueue()
    work(queues=["left"])

    finished(mine.enqueue())
    assert app.get(other.id).state is State.PENDING
