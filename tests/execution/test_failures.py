"""Whatever a handler raises or returns, its command ends in a state that a person can see, and the worker goes on."""

import asyncio
import logging
import math
from datetime import timedelta

import pytest
from pydantic import BaseModel

from durex_core import Context
from durex_core.backoff import Constant
from durex_core.errors import NonRetryable
from durex_core.model import State


class Unspeakable(Exception):
    def __init__(self, how):
        super().__init__("never read")
        self.how = how

    def __str__(self):
        raise self.how


class Mute(Exception):
    def __repr__(self):
        raise SystemExit


class Order(BaseModel):
    id: str
    amount: int


ODD_EXCEPTIONS = {
    "plain": ValueError("no"),
    "without a message": ValueError(),
    "NUL": ValueError("a\0b"),
    "lone surrogate": ValueError("a\ud800b"),
    "huge": ValueError("x" * 10_000_000),
    "many": ExceptionGroup("many", [ValueError(str(number)) for number in range(1000)]),
    "its __str__ raises": Unspeakable(RuntimeError("broken")),
    "its __str__ exits": Unspeakable(SystemExit(3)),
    "its __str__ raises what cannot be shown either": Unspeakable(Mute()),
    "a bytes argument": OSError(5, b"\xff\0"),
    "a name with NUL": type("Odd", (Exception,), {"__qualname__": "O\0dd"})("named oddly"),
    "SystemExit": SystemExit(1),
    "KeyboardInterrupt": KeyboardInterrupt(),
    "GeneratorExit": GeneratorExit(),
    "CancelledError": asyncio.CancelledError(),
    "StopIteration": StopIteration(1),
    "RecursionError": RecursionError("deep"),
    "MemoryError": MemoryError(),
}

REFUSED_RESULTS = {
    "NaN": math.nan,
    "infinity inside": {"a": [1, -math.inf]},
    "NUL": "a\0b",
    "NUL in a key": {"a\0b": 1},
    "lone surrogate": ["\ud800"],
    "object": object(),
    "function": len,
    "bytes that are no text": b"\xff\xfe",
    "too large": "x" * 200_000,
    "refers to itself": (loop := [], loop.append(loop))[0],
}


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
def test_an_odd_exception_ends_its_command_and_nothing_else(app, work, finished, is_async):
    def odd(which: str) -> None:
        if which in ODD_EXCEPTIONS:
            raise ODD_EXCEPTIONS[which]

    async def odd_async(which: str) -> None:
        odd(which)

    handle = app.command("odd")(odd_async if is_async else odd)
    work(concurrency=2)
    enqueued = {which: handle.enqueue(which) for which in ODD_EXCEPTIONS}

    ended = {which: finished(one) for which, one in enqueued.items()}
    assert {command.state for command in ended.values()} == {State.DEAD_LETTER}
    assert all(len(command.error.message) <= 2_000 for command in ended.values())
    assert all(len(command.error.traceback) <= 16_000 for command in ended.values())
    assert ended["plain"].error.type == "ValueError"
    assert ended["plain"].error.message == "no"
    assert "ODD_EXCEPTIONS[which]" in ended["plain"].error.traceback
    assert ended["NUL"].error.message == "a\N{REPLACEMENT CHARACTER}b"
    assert ended["lone surrogate"].error.message == "a?b"
    assert ended["its __str__ exits"].error.message == "(cannot be read: SystemExit)"
    assert ended["its __str__ exits"].error.type.endswith("Unspeakable")
    assert ended["SystemExit"].error.type == "SystemExit"
    assert finished(handle.enqueue("none")).state is State.COMPLETED


def test_an_interrupt_counts_as_a_failed_attempt_and_is_tried_again(app, work, finished):
    @app.command("exit", retries=1)
    def leave(ctx: Context) -> str:
        if ctx.attempt == 1:
            raise SystemExit(1)
        return "stayed"

    work()

    command = finished(leave.enqueue())
    assert (command.state, command.result, command.history[0].outcome) == (State.COMPLETED, "stayed", "failed")


def test_an_exit_in_a_task_of_an_async_handler_does_not_end_the_event_loop(app, work, finished):
    async def leave() -> None:
        raise SystemExit(1)

    @app.command("careless")
    async def careless() -> None:
        await asyncio.create_task(leave())

    @app.command("slow", timeout=timedelta(milliseconds=100))
    async def slow() -> None:
        await asyncio.Event().wait()

    work()

    command = finished(careless.enqueue())
    assert (command.state, command.error.type) == (State.DEAD_LETTER, "SystemExit")
    assert finished(slow.enqueue()).error.type == "TimedOut"


def test_an_async_handler_that_cancels_itself_has_failed(app, work, finished):
    @app.command("cancel_myself")
    async def cancel_myself() -> None:
        asyncio.current_task().cancel()
        await asyncio.Event().wait()

    work()

    command = finished(cancel_myself.enqueue())
    assert (command.state, command.error.type) == (State.DEAD_LETTER, "asyncio.exceptions.CancelledError")


def test_a_failure_for_good_is_not_tried_again(app, work, finished):
    class Hopeless(NonRetryable):
        pass

    @app.command("hopeless", retries=5)
    def hopeless() -> None:
        raise Hopeless("the account is closed")

    work()

    command = finished(hopeless.enqueue())
    assert (command.state, command.attempt, command.history) == (State.DEAD_LETTER, 1, ())
    assert command.error.message == "the account is closed"


def test_retries_end_in_the_dead_letter_queue_with_every_attempt_in_the_history(app, work, finished):
    @app.command("always", retries=2, backoff=Constant(timedelta(milliseconds=10)))
    def always(ctx: Context) -> None:
        raise ValueError(f"attempt {ctx.attempt}")

    work()

    command = finished(always.enqueue())
    assert (command.state, command.attempt, command.lease_number) == (State.DEAD_LETTER, 3, 3)
    assert [past.error.message for past in command.history] == ["attempt 1", "attempt 2"]
    assert command.error.message == "attempt 3"


def test_a_command_that_opts_out_of_the_dead_letter_queue_ends_as_failed(app, work, finished):
    @app.command("careless", dead_letter=False)
    def careless() -> None:
        raise ValueError("nobody minds")

    work()

    assert finished(careless.enqueue()).state is State.FAILED


def test_a_payload_that_no_longer_decodes_is_dead_lettered_at_once(app, other, work, finished):
    runs = []

    @other.command("process")
    def process_before(order: dict[str, str]) -> None: ...

    enqueued = process_before.enqueue({"id": "42"}, retries=5)

    @app.command("process")
    def process_now(order: Order) -> None:
        runs.append(order)

    work()

    command = finished(enqueued)
    assert (command.state, command.attempt, command.history) == (State.DEAD_LETTER, 1, ())
    assert command.error.type == "InvalidPayload"
    assert command.error.message == "payload.amount: Field required"
    assert runs == []


def test_a_traceback_begins_at_the_application(app, work, finished):
    """What led to the handler is the same for all, and nothing that a reader could mend."""

    @app.use
    def around(_, call_next):
        return call_next()

    @app.command("raise")
    def raising(number: int) -> None:
        try:
            int("x" * number)
        except ValueError as error:
            raise KeyError(number) from error

    work()
    told = finished(raising.enqueue(3)).error.traceback
    cause, _, error = told.partition("The above exception was the direct cause")
    assert "int(" in cause
    frames = [line.strip() for line in error.splitlines() if line.lstrip().startswith("File ")]
    assert [frame.rsplit(" ", 1)[-1] for frame in (frames[0], frames[-1])] == ["around", "raising"]


def test_a_traceback_of_what_durex_itself_refused_says_where(app, work, finished):
    @app.command("returns")
    def returns() -> object:
        return object()

    work()
    assert "File " in finished(returns.enqueue()).error.traceback


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
def test_a_result_that_cannot_be_stored_fails_its_command_for_good(app, work, finished, is_async):
    app.registry.max_payload_bytes = 100_000

    def give(which: str) -> object:
        return REFUSED_RESULTS.get(which)

    async def give_async(which: str) -> object:
        return give(which)

    handle = app.command("give", retries=5)(give_async if is_async else give)
    work()
    enqueued = {which: handle.enqueue(which) for which in REFUSED_RESULTS}

    ended = {which: finished(one) for which, one in enqueued.items()}
    assert {command.state for command in ended.values()} == {State.DEAD_LETTER}
    assert {command.error.type for command in ended.values()} == {"InvalidResult"}
    assert {command.attempt for command in ended.values()} == {1}
    assert ended["infinity inside"].error.message == (
        "the handler's result was refused: result.a[1]: is -inf, which JSON cannot hold; use null or text"
    )
    assert finished(handle.enqueue("none")).result is None


def test_results_that_json_can_hold_come_back_as_they_were_returned(app, work, finished):
    results = [None, 0, -1.5, True, "", "ü\u2028\U0001f600", [], {}, {"a": [{"b": None}]}, 2**60, 0.1]

    @app.command("give")
    def give(number: int) -> object:
        return results[number]

    work()
    enqueued = [give.enqueue(number) for number in range(len(results))]

    assert [finished(one).result for one in enqueued] == results


def test_models_and_dates_are_stored_as_their_json(app, work, finished):
    @app.command("give")
    def give() -> object:
        return {"order": Order(id="42", amount=9), "after": timedelta(minutes=1), "tags": {"one"}}

    work()

    assert finished(give.enqueue()).result == {"order": {"id": "42", "amount": 9}, "after": "PT1M", "tags": ["one"]}


def test_a_handler_that_returns_a_coroutine_by_mistake_is_told_so(app, work, finished):
    async def reply() -> str:
        return "never"

    @app.command("forgot")
    def forgot() -> object:
        return reply()

    @app.command("forgot_twice")
    async def forgot_twice() -> object:
        return reply()

    work()

    for handle in (forgot, forgot_twice):
        command = finished(handle.enqueue())
        assert (command.state, command.error.type) == (State.DEAD_LETTER, "InvalidResult")
        assert "returned a coroutine" in command.error.message


def test_an_outcome_that_the_database_refuses_fails_its_attempt_and_no_other(app, work, finished, stage):
    stage.refuse_result("forbidden")

    @app.command("say", retries=1)
    def say(word: str) -> str:
        return word

    work()
    refused = say.enqueue("forbidden")
    others = [say.enqueue(f"word {number}") for number in range(20)]

    command = finished(refused)
    assert (command.state, command.attempt) == (State.DEAD_LETTER, 2)
    assert [past.outcome for past in command.history] == ["refused"]
    assert command.error.type == "DatabaseError"
    assert {finished(one).state for one in others} == {State.COMPLETED}


def test_a_log_that_raises_costs_no_slot(app, work, finished):
    class Broken(logging.Handler):
        def emit(self, record):
            raise OSError(f"no space left for {record.levelname}")

    @app.command("doomed")
    def doomed() -> None:
        raise ValueError("to be logged")

    broken = Broken()
    logger = logging.getLogger("durex_core.execution.runner")
    logger.addHandler(broken)
    try:
        work(concurrency=1)
        assert {finished(doomed.enqueue()).state for _ in range(3)} == {State.DEAD_LETTER}
    finally:
        logger.removeHandler(broken)
