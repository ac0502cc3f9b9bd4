"""Inline, `enqueue` returns when the command, and what follows from it at this moment, has run."""

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from factories import START

from durex_core import Durex
from durex_core.model import State
from durex_core.results import Next
from durex_core.testing import EndlessLoop, Harness
from durex_core.testing.wakes import InlineWake

HOUR = timedelta(hours=1)


@pytest.fixture
def harness(app: Durex, throwaway_url: str) -> Iterator[Harness]:
    """A harness on each kind of database that runs what is enqueued."""
    with Harness(app, start=START, database=throwaway_url, inline=True) as harness:
        yield harness


@pytest.mark.usefixtures("harness")
def test_enqueue_returns_when_the_command_has_run(app):
    @app.command("double")
    def double(number: int) -> int:
        return 2 * number

    enqueued = double.enqueue(21)

    assert (app.get(enqueued.id).state, app.get(enqueued.id).result) == (State.COMPLETED, 42)


@pytest.mark.usefixtures("harness")
def test_what_handlers_enqueue_or_return_has_run_too(app):
    @app.command("count")
    def count(down: int) -> Next | None:
        seen.append(down)
        if down == 3:
            count.enqueue(2)
            assert seen == [3]
        return Next(count.spec(0)) if down == 2 else None

    seen: list[int] = []
    count.enqueue(3)

    assert seen == [3, 2, 0]


def test_a_failure_does_not_raise_where_it_was_enqueued(app, harness):
    @app.command("doomed", retries=2)
    def doomed() -> None:
        raise ValueError("no")

    doomed.enqueue()

    (failure,) = harness.failures
    assert (failure.attempt, failure.error.message) == (3, "no")


def test_what_is_due_later_waits_for_its_time(app, harness):
    @app.command("remind")
    def remind() -> None:
        seen.append(harness.now)

    seen = []
    remind.enqueue(delay=HOUR)
    assert seen == []
    harness.advance(2 * HOUR)
    assert seen == [START + HOUR]


def test_async_callers_and_handlers(app, harness):
    @app.command("greet")
    async def greet(name: str) -> str:
        if name == "first":
            await app.aenqueue("greet", "second")
        return f"hello {name}"

    async def call() -> None:
        await app.aenqueue("greet", "first")
        assert {command.result for command in harness.commands()} == {"hello first", "hello second"}

    asyncio.run(call())


@pytest.mark.usefixtures("harness")
def test_a_loop_is_found_where_it_was_enqueued(app):
    @app.command("ping")
    def ping() -> Next:
        return Next(ping.spec())

    with pytest.raises(EndlessLoop, match="of 'ping'"):
        ping.enqueue()


def test_nothing_is_left_lying_when_several_threads_enqueue(app, harness):
    seen = []
    lock = threading.Lock()

    @app.command("count")
    def count(number: int) -> None:
        with lock:
            seen.append(number)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(count.enqueue, range(40)))

    assert sorted(seen) == list(range(40))
    assert harness.run_until_idle() == 0


def test_news_that_come_while_something_runs_are_looked_at_before_the_end():
    runs = []

    def run() -> None:
        runs.append("looked")
        if len(runs) == 1:
            wake.ready({})

    wake = InlineWake(run, threading.Lock())
    wake.ready({})

    assert runs == ["looked", "looked"]
